"""--strict: what else would only get a warning is refused."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

import neuronat
from neuronat.errors import UnusableInputError
from neuronat.space.volume import Volume

pytestmark = pytest.mark.usefixtures("swift_pipeline")

LARGE = np.diag([-2.5, 2.5, 2.5, 1.0])  # thick slices, and a brain's size
OPTIONS = ("--no-crf", "--quiet", "--device", "cpu")


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def test_a_scan_with_a_warning_is_refused_before_it_is_segmented(run, phantom, untrained_folder, tmp_path: Path):
    scan = save(tmp_path / "x.nii", phantom[0].values, LARGE)
    assert run("check", scan).exit_code == 0
    for arguments in (("check", scan), ("segment", scan, "-o", tmp_path / "out", "--model", untrained_folder)):
        done = run(*arguments, "--strict")
        assert (done.exit_code, done.stderr.count("\n")) == (65, 1)
        assert done.stderr.startswith("neuronat: x.nii: refused by --strict: thick slices (2.5 mm)")
    assert not (tmp_path / "out").exists()


def test_a_result_in_doubt_is_not_kept(run, phantom_files, untrained_folder: Path, tmp_path: Path):
    out, model = tmp_path / "out", ("--model", untrained_folder)
    done = run("segment", phantom_files.scan, "-o", out, *model, *OPTIONS, "--force", "--strict")
    assert (done.exit_code, done.stderr.count("\n")) == (65, 1)
    assert "refused by --strict: brain tissue of 28 ml" in done.stderr
    assert not out.exists()


def test_notes_do_not_count(run, phantom, tmp_path: Path):
    scan = save(
        tmp_path / "x.nii",
        np.kron(phantom[0].values, np.ones((2, 2, 2)))[..., None],
        LARGE / 2 + np.diag([0, 0, 0, 0.5]),
    )
    done = run("check", scan, "--strict")
    assert done.exit_code == 0, done.stderr
    assert "has 4 dimensions, those after the third of extent 1: read as 3D" in done.stdout


def test_a_result_made_without_is_not_taken_for_a_strict_one(
    run, phantom_files, untrained_folder: Path, tmp_path: Path
):
    arguments = (
        "segment",
        phantom_files.scan,
        "-o",
        tmp_path / "out",
        "--model",
        untrained_folder,
        *OPTIONS,
        "--force",
    )
    assert run(*arguments).exit_code == 0
    done = run(*arguments, "--strict")
    assert (done.exit_code, "settings strict: False there, True wanted" in done.stderr) == (2, True)


def test_python_is_as_strict(phantom, phantom_files, untrained_folder: Path):
    strict = neuronat.SegmentConfig(force=True, strict=True, has_crf=False, device="cpu")
    for scan in (phantom_files.scan, phantom[0]):
        with pytest.raises(UnusableInputError, match="refused by --strict: brain tissue of 28 ml"):
            neuronat.segment(scan, untrained_folder, config=strict)
    thick = Volume(phantom[0].values, LARGE)
    with pytest.raises(UnusableInputError, match="refused by --strict: thick slices"):
        neuronat.segment(thick, untrained_folder, config=strict)
    grey = phantom[0].values
    ct = Volume(np.select([grey > 900, grey > 0], [grey, grey / 10], -1000).astype(np.float32), LARGE)
    with pytest.raises(UnusableInputError, match="Hounsfield units"):
        neuronat.segment(ct, untrained_folder)
