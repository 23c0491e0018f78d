"""Rows of the specification of bad and odd inputs (1 to 57) that are about content, DICOM headers and models.

Rows 27, 29, 42 to 47, 51 and 52 stand beside what they test; their tests carry the number of the row in their names.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import safetensors.torch
import torch

pytestmark = pytest.mark.usefixtures("swift_pipeline")

LARGE = np.diag([-2.5, 2.5, 2.5, 1.0])  # makes the phantom as large as a brain


def save(path: Path, array: np.ndarray, affine: np.ndarray = LARGE) -> Path:
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def refused(run, untrained_folder: Path, tmp_path: Path) -> Callable[..., str]:
    """Segments what must be refused with one line and a code, unless forced; returns the line."""

    def line(path: Path, *options: object, code: int = 65, can_force: bool = False) -> str:
        model = () if "--model" in options else ("--model", untrained_folder)
        arguments = (*model, "--no-crf", "--quiet", "--device", "cpu", *options)
        done = run("segment", path, "-o", tmp_path / "out", *arguments)
        assert (done.exit_code, done.stderr.count("\n"), done.stdout) == (code, 1, ""), done.stderr
        assert not (tmp_path / "out").exists()
        if can_force:
            forced = run("segment", path, "-o", tmp_path / "forced", *arguments, "--force")
            assert forced.exit_code == 0, forced.stderr
            (sidecar,) = (tmp_path / "forced").glob("*_seg-deepnat25_dseg.json")
            assert json.loads(sidecar.read_text())["Forced"] is True
        return done.stderr

    return line


@pytest.fixture
def grey(phantom) -> np.ndarray:
    return np.rint(phantom[0].values).astype(np.int16)


def test_row_21_inverted_contrast(refused, grey: np.ndarray, tmp_path: Path):
    image = nibabel.Nifti1Image(grey, LARGE)
    image.header.set_slope_inter(-1, 1500)
    image.to_filename(tmp_path / "x.nii")
    assert "grey values do not rise from the rim to the depth" in refused(tmp_path / "x.nii", can_force=True)


@pytest.mark.parametrize("name", ["sub-01_T2w.nii.gz", "FLAIR.nii", "sub-01_acq-x_bold.nii.gz", "head_CT.nii"])
def test_row_38_a_name_that_says_another_contrast(refused, grey: np.ndarray, tmp_path: Path, name: str):
    assert "is not T1-weighted (its name says " in refused(save(tmp_path / name, grey))


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"Modality": "CT"}, "its sidecar says modality CT"),
        ({"Modality": "PT"}, "its sidecar says modality PT"),
        ({"Modality": "MR", "SeriesDescription": "t2_space_dark-fluid"}, "its sidecar says FLAIR"),
        ({"SeriesDescription": "ep2d_bold_rest"}, "its sidecar says EPI"),
        ({"EchoTime": 0.09}, "its echo time of 90 ms is not that of a T1"),
    ],
)
def test_row_38_a_sidecar_that_says_another_contrast(refused, grey: np.ndarray, tmp_path: Path, sidecar, words: str):
    scan = save(tmp_path / "x.nii.gz", grey)
    (tmp_path / "x.json").write_text(json.dumps(sidecar))
    assert words in refused(scan)


def test_row_38_an_echo_time_in_the_header(refused, grey: np.ndarray, tmp_path: Path):
    image = nibabel.Nifti1Image(grey, LARGE)
    image.header["descrip"] = b"TE=85;Time=101500.000"
    image.to_filename(tmp_path / "x.nii.gz")
    assert "its echo time of 85 ms is not that of a T1" in refused(tmp_path / "x.nii.gz", can_force=True)


TISSUES = {"T2": (1.0, 0.55, 0.4), "FLAIR": (0.1, 1.0, 0.6), "PD": (0.95, 1.0, 0.8), "EPI": (1.0, 0.7, 0.55)}


@pytest.mark.parametrize("kind", TISSUES)
@pytest.mark.parametrize("has_mask", [False, True])
def test_row_38_another_contrast_under_a_neutral_name(
    refused, phantom, tmp_path: Path, rng: np.random.Generator, kind: str, has_mask: bool
):
    fluid, grey, white = (1000 * level for level in TISSUES[kind])
    by_id = {0: fluid, 2: white, 4: fluid, 7: white, 14: fluid, 15: fluid, 16: white, 41: white, 43: fluid, 46: white}
    values = np.vectorize(lambda index: by_id.get(index, grey))(phantom[1].ids) + rng.normal(0, 20, phantom[2].shape)
    options = ("--mask", save(tmp_path / "m.nii", phantom[2].astype(np.uint8))) if has_mask else ()
    outside = rng.normal(300, 20, values.shape) if has_mask else 0
    scan = save(tmp_path / "x.nii", np.where(phantom[2], values, outside).astype(np.float32))
    assert "do not rise from the rim to the depth" in refused(scan, *options, can_force=True)


def test_row_38_labels_whose_tissues_are_not_in_the_order_of_a_t1(
    refused, grey: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scan = save(tmp_path / "x.nii", grey)
    monkeypatch.setattr("neuronat.pipeline.segment.contrast_doubts", lambda *_: ())
    line = refused(scan, can_force=True)  # the stand-in for the networks calls the darkest tissue white matter
    assert "x.nii: does not look like a T1-weighted human brain: as labelled, ventricles not darker than grey" in line


def test_row_38_hounsfield_units(refused, grey: np.ndarray, phantom, tmp_path: Path, rng: np.random.Generator):
    inside = phantom[2]
    values = np.where(inside, rng.normal(35, 8, grey.shape), -1000)
    values[:, :, 50:][inside[:, :, 50:]] = 900
    scan = save(tmp_path / "x.nii", values.astype(np.int16))
    assert "its grey values are Hounsfield units, as in CT" in refused(scan)


def test_row_38_a_sidecar_of_a_t1_or_no_json_at_all_says_nothing(run, grey: np.ndarray, tmp_path: Path):
    scan = save(tmp_path / "x.nii.gz", grey)
    for text in (
        '{"Modality": "MR", "SeriesDescription": "t1_mprage", "EchoTime": 0.0025}',
        "{",
        "[1]",
        '{"EchoTime": []}',
    ):
        (tmp_path / "x.json").write_text(text)
        assert run("check", scan).exit_code == 0


def test_row_39_a_ball_of_noise_is_no_brain(refused, phantom, tmp_path: Path, rng: np.random.Generator):
    values = np.where(phantom[2], rng.normal(500, 80, phantom[2].shape), 0)
    line = refused(save(tmp_path / "x.nii", values.astype(np.float32)), can_force=True)
    assert "grey and white matter cannot be told apart by their grey values" in line


@pytest.mark.parametrize("step_mm", [1.0, 1.8])
def test_row_39_bodies_too_small_for_a_brain(refused, grey: np.ndarray, tmp_path: Path, step_mm: float):
    scan = save(tmp_path / "x.nii", grey, np.diag([-step_mm, step_mm, step_mm, 1.0]))
    assert "a brain has 500 to 2200 ml" in refused(scan)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Modality": "CT"}, "its modality is CT, not MR"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "it was derived from other images"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImageType": ["DERIVED", "SECONDARY"]},
            "or is a picture of them",
        ),
        ({"BurnedInAnnotation": "YES"}, "its images carry burned-in text"),
    ],
)
def test_row_53_dicom_that_is_no_scan(refused, dicom_writer, grey: np.ndarray, tmp_path: Path, tags: dict, words: str):
    folder = dicom_writer(tmp_path / "in", grey, LARGE, **tags)
    assert words in refused(folder, "--series", "7")
    assert "1 series, 0 of them T1-weighted 3D" in refused(folder, code=2)


def sign_again(folder: Path) -> None:
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def change_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))
    sign_again(folder)


def cut_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def flip_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def break_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["foreground.conv1.bias"].fill_(torch.nan)
    safetensors.torch.save_file(tensors, path)
    sign_again(folder)


def pickle_weights(folder: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, folder / "weights.safetensors")
    sign_again(folder)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut_weights, "weights.safetensors is damaged, its sha256 differs"),
        (flip_weights, "weights.safetensors is damaged, its sha256 differs"),
        (break_weights, "foreground.conv1.bias holds values that are not"),
        (pickle_weights, "safetensors"),
        (lambda folder: change_card(folder, format=999), "format 999"),
        (lambda folder: change_card(folder, stages={"structures": {"n_classes": 26}}), "tensors too many"),
    ],
    ids=["row-56-cut", "row-56-flipped", "row-56-nan", "row-56-pickle", "row-56-newer", "row-56-architecture"],
)
def test_row_56_a_model_that_cannot_be_trusted(refused, phantom_files, untrained_folder, tmp_path, damage, words: str):
    model = Path(shutil.copytree(untrained_folder, tmp_path / "model"))
    damage(model)
    assert words in refused(phantom_files.scan, "--model", model, code=69)


@pytest.mark.parametrize("scan", [{"spacing_mm": 2.0}, {"modality": "T2w"}, {"orientation": "LIA"}])
def test_row_57_a_model_for_other_scans(refused, phantom_files, untrained_folder, tmp_path: Path, scan: dict):
    model = Path(shutil.copytree(untrained_folder, tmp_path / "model"))
    change_card(model, scan=scan)
    assert "expects " in refused(phantom_files.scan, "--model", model, code=69)
