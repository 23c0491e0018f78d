import json
from pathlib import Path

import nibabel
import numpy as np


def test_check_says_what_a_scan_is_and_computes_nothing(run, phantom_files, tmp_path: Path):
    image = nibabel.load(phantom_files.scan)
    affine = np.array([[0, 0, 1.5, -40], [-1, 0, 0, 30], [0, 1, 0, -20], [0, 0, 0, 1.0]])
    scan = tmp_path / "turned.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.int16), affine), scan)
    done = run("check", scan, "--force", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    assert told["shape"] == [40, 48, 56]
    assert told["spacing_mm"] == [1, 1, 1.5]
    assert told["orientation"] == "PSR"
    assert told["stored_type"] == "int16"
    assert (told["resampled"], told["rotated"]) == (True, False)
    assert told["working_shape"] == [84, 40, 48]  # 56 x 1.5 mm along x
    assert told["usable"] is True
    assert told["memory_gb"] > 1
    n_inside = np.count_nonzero(np.asarray(image.dataobj))
    np.testing.assert_allclose(told["brain_ml"], n_inside * 1.5 / 1000, atol=0.06)
    assert list(tmp_path.iterdir()) == [scan]


def test_check_ends_with_the_code_that_segment_would_have(run, phantom_files):
    done = run("check", phantom_files.scan)
    assert done.exit_code == 65
    assert done.stdout.endswith("would be refused\n")
    assert done.stderr.startswith("neuronat: sub-01_desc-brain_T1w.nii.gz: is not a skull-stripped brain (35 ml")
    told = json.loads(run("check", phantom_files.scan, "--json").stdout)
    assert (told["usable"], told["brain_ml"]) == (False, None)
    assert "35 ml" in told["reason"]


def test_check_looks_at_a_given_mask(run, phantom_files):
    done = run("check", phantom_files.scan, "--mask", phantom_files.mask, "--force")
    assert done.exit_code == 0
    assert "brain mask of 35 ml\n" in done.stdout
    assert "warning: brain of 36 x 43 x 50 mm" in done.stdout
    assert run("check", phantom_files.scan, "--mask", phantom_files.mask.parent / "none.nii").exit_code == 66


def test_check_reckons_with_the_tiles_that_segment_would_take(run, phantom_files, monkeypatch):
    for module in ("memory", "inspect"):
        estimate = f"neuronat.pipeline.{module}.memory_estimate_gb"
        monkeypatch.setattr(estimate, lambda _grid, _ml, *, tile_vox=64: float(tile_vox))
    told = {}
    for free_gb in (100.0, 50.0, 40.0):
        monkeypatch.setattr("neuronat.pipeline.memory._memory_gb", lambda free_gb=free_gb: free_gb)
        told[free_gb] = json.loads(run("check", phantom_files.scan, "--force", "--json").stdout)["memory_gb"]
    assert told == {100.0: 64, 50.0: 48, 40.0: 32}


def test_options_out_of_range_get_2(run, phantom_files):
    done = run("check", phantom_files.scan, "--frame", -1)
    assert (done.exit_code, done.stderr) == (2, "neuronat: frame must be 0 or above; got -1\n")


def test_check_refuses_the_size_that_segment_refuses(run, phantom, tmp_path: Path):
    scan = tmp_path / "narrow.nii"
    nibabel.save(nibabel.Nifti1Image(phantom[0].values, np.diag([-1.9, 4.2, 3.0, 1.0])), scan)
    for arguments in (("check", scan), ("segment", scan, "-o", tmp_path / "out", "--quiet")):
        done = run(*arguments)
        assert (done.exit_code, done.stderr.count("\n")) == (65, 1)
        assert "narrow.nii: does not look like a T1-weighted human brain: brain of" in done.stderr
    assert run("check", scan, "--force").exit_code == 0
