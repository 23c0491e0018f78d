from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

import neuronat
from neuronat.errors import GridError, UnusableInputError
from neuronat.nets.store import save_model
from neuronat.pipeline import segment
from neuronat.pipeline.segment import read_inputs
from neuronat.pipeline.settings import SegmentConfig
from neuronat.space.scan import ReadOptions, Scan
from neuronat.space.volume import Volume

AFFINE = np.array([[1.5, 0, 0, -30], [0, 1.25, 0, -28], [0, 0, 1, -26], [0, 0, 0, 1.0]])
MIRRORED = np.diag([-1.0, 1, 1, 1]) @ AFFINE


def save(path: Path, values: np.ndarray, *, sform: np.ndarray | None, qform: np.ndarray | None) -> Path:
    image = nibabel.Nifti1Image(values, None)
    image.set_sform(sform, 0 if sform is None else 1)
    image.set_qform(qform, 0 if qform is None else 1)
    image.to_filename(path)
    return path


def config(mask: Path, **reading: object) -> SegmentConfig:
    return SegmentConfig(mask=mask, force=True, reading=ReadOptions(**reading))


@pytest.mark.parametrize(
    ("sform", "qform"), [(AFFINE, MIRRORED), (None, MIRRORED), (MIRRORED, None)], ids=["both", "qform", "sform"]
)
def test_a_mask_is_read_by_the_form_that_the_user_chose_for_the_scan(phantom, tmp_path: Path, sform, qform):
    volume, _, mask = phantom
    scan = save(tmp_path / "x.nii", volume.values, sform=AFFINE, qform=MIRRORED)
    given = save(tmp_path / "m.nii", mask.astype(np.uint8), sform=sform, qform=qform)
    inputs = read_inputs(scan, config(given, use_form="qform"))
    np.testing.assert_allclose(inputs.scan.volume.affine, MIRRORED, atol=1e-5)
    np.testing.assert_array_equal(inputs.mask, mask)
    if sform is not None and qform is not None:
        with pytest.raises(GridError, match=r"x\.nii: sform and qform are mirror images"):
            read_inputs(scan, config(given))


def test_a_mask_lies_as_the_user_says_of_the_scan(phantom, tmp_path: Path):
    volume, _, mask = phantom
    for name, values in (("x", volume.values), ("m", mask.astype(np.uint8))):
        nibabel.AnalyzeImage(values, np.diag([1.5, 1.25, 1.0, 1.0])).to_filename(tmp_path / f"{name}.img")
    inputs = read_inputs(tmp_path / "x.img", config(tmp_path / "m.img", assume_orientation="LAS"))
    np.testing.assert_array_equal(inputs.mask, mask)


def test_a_mask_of_two_frames_is_not_told_to_use_an_option_that_does_not_reach_it(phantom, tmp_path: Path):
    volume, _, mask = phantom
    scan = save(tmp_path / "x.nii", np.stack([volume.values] * 2, axis=3), sform=AFFINE, qform=AFFINE)
    given = save(tmp_path / "m.nii", np.stack([mask.astype(np.uint8)] * 2, axis=3), sform=AFFINE, qform=AFFINE)
    with pytest.raises(
        UnusableInputError, match=r"^m\.nii: has 4 dimensions .* save the frame that is meant as a file"
    ):
        read_inputs(scan, config(given, frame=1))


@pytest.mark.parametrize(("factor", "summand"), [(1.0, 0.0), (1.0, -1024.0), (1.0, 3000.0), (0.01, -2.0)])
def test_a_raw_head_looks_the_same_whatever_is_added_to_it(monkeypatch, phantom, factor, summand):
    # tilted by 30 degrees: what lies beyond the scan is air, too
    tilt = np.array([[0.866, -0.5, 0, 9], [0.5, 0.866, 0, -4], [0, 0, 1, 2], [0, 0, 0, 1]])
    seen = []

    def find_brain(_finder, grey, *_):
        seen.append(grey)
        return np.ones(grey.shape, bool)

    monkeypatch.setattr(segment, "find_brain", find_brain)
    networks = SimpleNamespace(stripper=None, device=None)
    for times, plus in ((1.0, 0.0), (factor, summand)):
        volume = Volume(phantom[0].values * np.float32(times) + np.float32(plus), tilt)
        scan = Scan(
            name="x.nii",
            volume=volume,
            warnings=(),
            file_format="NIfTI-1",
            stored_dtype=np.dtype("f4"),
            stored_shape=volume.values.shape,
            is_orientation_known=True,
            space_code=1,
        )
        segment._stripped(segment.Inputs(scan, None, "x", ("x.nii",)), networks, lambda *_: None)
    np.testing.assert_allclose(seen[1] / factor, seen[0], atol=2e-3)  # of 1000, float32


@pytest.mark.usefixtures("swift_pipeline", "any_labels")
@pytest.mark.parametrize(("others", "compared"), [((), None), (("freesurfer",), ("deepnat25", "freesurfer"))])
def test_labels_that_were_made_to_agree_are_not_compared(phantom, make_whole, tmp_path: Path, others, compared):
    save_model(make_whole("deepnat25", "neuromorphometrics", *others, n_coordinates=6), tmp_path / "tiny")
    forced = SegmentConfig(models=(str(tmp_path / "tiny"),), force=True)
    result = neuronat.segment(phantom[0], config=forced)
    assert list(result.labels) == ["deepnat25", "neuromorphometrics", *others]
    assert (result.agreement and result.agreement.mapped) == compared
