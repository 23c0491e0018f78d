"""Fixtures that tests of several rooms share."""

import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from scipy.ndimage import binary_dilation

from neuronat.cli.main import group
from neuronat.labels import load_scheme
from neuronat.nets.card import Accuracy, ModelCard, StageSpec, TrainingRecord
from neuronat.nets.deepnat import DeepNat
from neuronat.nets.store import Model, load_model, save_model
from neuronat.phantom import make_phantom
from neuronat.space.files import write_label_map, write_mask, write_volume
from neuronat.space.volume import LabelMap, Volume


@pytest.fixture
def rng() -> np.random.Generator:
    """The only source of randomness."""
    return np.random.default_rng(20261121)


@pytest.fixture(scope="session")
def phantom() -> tuple[Volume, LabelMap, np.ndarray]:
    """A brain of ellipsoids (40, 48, 56): scan, labels of 25 structures, mask. Copy before changing it."""
    return make_phantom()


def make_card() -> ModelCard:
    return ModelCard(
        name="untrained",
        description="Random weights, for tests.",
        stages={"foreground": StageSpec(n_classes=2), "structures": StageSpec(n_classes=26)},
        schemes=("deepnat25",),
        training=TrainingRecord(material="none", n_scans=0, recipe={"rate": 0.01}, seed=3),
        licence="CC0-1.0",
        credits=("Made by a test.",),
        accuracy=(Accuracy(measure="mean dice", value=0.25, measured_on="nothing"),),
        crf={"appearance_weight": 1.0, "iterations": 2},
    )


@pytest.fixture(scope="session")
def untrained_model() -> Model:
    """A model as big as the real one, with random weights that are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        networks = {stage: DeepNat(spec.network_config).eval() for stage, spec in make_card().stages.items()}
    return Model(make_card(), networks, {"deepnat25": load_scheme("deepnat25")})


@pytest.fixture
def swift_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long: networks answer from intensities and coordinates, N4 finds no bias field."""

    def brain_probabilities(networks, intensities, coordinates, mask, *_rest):
        n_classes = networks["structures"].config.n_classes
        score = intensities[mask] + 0.3 * coordinates[:, mask].sum(0)
        rows = np.full((len(score), n_classes), 0.01, np.float32)
        rank = np.argsort(np.argsort(score, kind="stable"), kind="stable")
        rows[np.arange(len(score)), rank * n_classes // len(score)] = 1
        return rows / rows.sum(1, keepdims=True)

    monkeypatch.setattr("neuronat.pipeline.answers.brain_probabilities", brain_probabilities)
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))
    monkeypatch.setattr("neuronat.pipeline.networks.load_model", functools.cache(load_model))


@pytest.fixture
def any_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let labels pass that have nothing to do with the picture, as those of `swift_pipeline` on a real brain."""
    monkeypatch.setattr("neuronat.pipeline.segment.tissue_doubts", lambda *_: ())


@pytest.fixture(scope="session")
def untrained_folder(untrained_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model as a folder; tests copy it before they damage it."""
    folder = tmp_path_factory.mktemp("models") / "untrained"
    save_model(untrained_model, folder)
    return folder


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that logs and imported models of a test stay with it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def run(home: Path) -> Callable[..., Result]:  # noqa: ARG001
    """Run the command line in this process; stdout and stderr come back apart."""
    return lambda *arguments: CliRunner().invoke(group, [str(argument) for argument in arguments])


@dataclass(frozen=True)
class PhantomFiles:
    """The files of a phantom: scan (0 outside the brain), brain mask, true labels."""

    scan: Path
    mask: Path
    labels: Path


@pytest.fixture(scope="session")
def phantom_files(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    folder = tmp_path_factory.mktemp("phantom")
    names = ("sub-01_desc-brain_T1w.nii.gz", "sub-01_desc-given_mask.nii.gz", "sub-01_desc-true_dseg.nii.gz")
    files = PhantomFiles(*(folder / name for name in names))
    volume, labels, mask = make_phantom()
    write_volume(files.scan, volume)
    write_mask(files.mask, mask, volume.affine)
    write_label_map(files.labels, labels)
    return files


def write_dicom(folder: Path, values: np.ndarray, affine: np.ndarray, *, name: str = "IM{:04d}", **tags: object):
    """Write (I, J, K) int16 values as a series, one file per k; `tags` replace those of a T1 of a made-up patient."""
    pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
    folder.mkdir(parents=True, exist_ok=True)
    to_lps = np.diag([-1.0, -1.0, 1.0])
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    for k in range(values.shape[2]):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        image = pydicom.dataset.Dataset()
        image.file_meta = meta
        fields = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "SeriesInstanceUID": "1.2.3.7", "StudyInstanceUID": "1.2.3",
            "SeriesNumber": 7, "Modality": "MR", "Manufacturer": "SIEMENS", "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "PatientName": "Winterbottom^Ermintrude", "PatientID": "MRN0815", "PatientBirthDate": "19010203",
            "InstitutionName": "Hospital Nowhere", "SeriesDescription": "t1_mprage Winterbottom",
            "MRAcquisitionType": "3D", "ScanningSequence": "GR", "SliceThickness": float(steps[2]),
            "StudyDate": "20200102", "PatientPosition": "HFS",
            "ImageOrientationPatient": [float(x) for x in (to_lps @ (affine[:3, :2] / steps[:2])).T.ravel()],
            "ImagePositionPatient": [float(x) for x in to_lps @ (affine[:3, 2] * k + affine[:3, 3])],
            "PixelSpacing": [float(steps[1]), float(steps[0])], "InstanceNumber": k + 1,
            "EchoTime": 2.5, "RepetitionTime": 1900.0, "InversionTime": 900.0, "FlipAngle": 9.0,
        } | tags  # fmt: skip
        fields |= {"SOPInstanceUID": f"{fields['SeriesInstanceUID']}.{k + 1}"}
        fields |= {"Rows": values.shape[1], "Columns": values.shape[0], "BitsAllocated": 16, "BitsStored": 16}
        fields |= {"HighBit": 15, "PixelRepresentation": 1, "SamplesPerPixel": 1}
        fields |= {"PhotometricInterpretation": "MONOCHROME2"}
        for tag, value in fields.items():
            setattr(image, tag, value)
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        image.PixelData = np.ascontiguousarray(values[:, :, k].T, "<i2").tobytes()
        image.save_as(folder / name.format(k + 1), enforce_file_format=True)
    return folder


@pytest.fixture(scope="session")
def dicom_writer() -> Callable[..., Path]:
    """Writes DICOM series: see `write_dicom`; skips the test where the extra is not installed."""
    pytest.importorskip("dcm2niix", reason="needs the extra dicom")
    return write_dicom


@pytest.fixture
def load_benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import a script of benchmarks/ as a module of its own; it finds its neighbours, and leaves torch's threads."""
    folder = Path(__file__).resolve().parents[1] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("dense", None)


@pytest.fixture
def labelled_phantoms(tmp_path: Path) -> Path:
    """A folder with scans/sub-01 and sub-02, masks and labels beside them, and folds.tsv, which holds out sub-02."""
    for number in (1, 2):
        volume, labels, mask = make_phantom((40, 42, 44), np.random.default_rng(number))
        start = tmp_path / "scans" / f"sub-0{number}"
        write_volume(start.with_name(start.name + "_T1w.nii.gz"), volume)
        write_label_map(start.with_name(start.name + "_dseg.nii.gz"), labels)
        rim = binary_dilation(mask)  # some background for the first stage
        write_mask(start.with_name(start.name + "_mask.nii.gz"), rim, volume.affine)
    (tmp_path / "folds.tsv").write_text("scan\tfold\nsub-01\t0\nsub-02\t1\n")
    return tmp_path
