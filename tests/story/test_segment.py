"""The main job from end to end, in processes of its own and in every orientation that a file can have."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff, ornt_transform
from scipy import ndimage

import neuronat
from neuronat.labels import load_scheme
from neuronat.pipeline import memory

ORIENTATIONS = [
    np.column_stack([order, flips])
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


def write_oriented(source: Path, orientation: np.ndarray, path: Path) -> None:
    """Store the voxels of an image in another order; every voxel keeps its place in the world."""
    image = nibabel.load(source)
    turned = apply_orientation(np.asarray(image.dataobj), orientation)
    affine = image.affine @ inv_ornt_aff(orientation, image.shape)
    nibabel.save(nibabel.Nifti1Image(turned, affine), path)


def labels_of(out: Path, stem: str) -> nibabel.Nifti1Image:
    return nibabel.load(out / f"{stem}_seg-deepnat25_dseg.nii.gz")


def label_in_orientations(run, model: Path, source: Path, folder: Path, orientations: list[np.ndarray]) -> list:
    """Segment one scan in several orientations; return the labels, turned back to the source's own voxel order."""
    scans = []
    for number, orientation in enumerate(orientations):
        scans.append(folder / f"turned{number}.nii.gz")
        write_oriented(source, orientation, scans[-1])
    options = ("--model", model, "--force", "--no-crf", "--quiet", "--device", "cpu")
    done = run("segment", *scans, "-o", folder / "out", *options)
    assert done.exit_code == 0, done.stderr
    back = []
    for scan, orientation in zip(scans, orientations, strict=True):
        image = labels_of(folder / "out", scan.name.removesuffix(".nii.gz"))
        np.testing.assert_array_equal(image.affine, nibabel.load(scan).affine)
        identity = np.column_stack([np.arange(3), np.ones(3)])
        back.append(apply_orientation(np.asarray(image.dataobj), ornt_transform(identity, orientation)))
    return back


@pytest.fixture
def plain_and_oblique(phantom_files, tmp_path: Path) -> dict[str, Path]:
    """The phantom as it is, and with a header that is rotated by 15 degrees around the front-back axis."""
    image = nibabel.load(phantom_files.scan)
    turn, angle = np.eye(4), np.deg2rad(15)
    turn[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    oblique = tmp_path / "oblique.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine), oblique)
    return {"plain": phantom_files.scan, "oblique": oblique}


@pytest.mark.usefixtures("swift_pipeline")
@pytest.mark.parametrize("kind", ["plain", "oblique"])
def test_rows_27_and_29_a_few_orientations_get_the_same_labels(
    run, untrained_folder: Path, plain_and_oblique: dict[str, Path], kind: str, tmp_path: Path
):
    few = [ORIENTATIONS[number] for number in (0, 7, 13, 30)]
    found = label_in_orientations(run, untrained_folder, plain_and_oblique[kind], tmp_path, few)
    assert len(np.unique(found[0])) == 26
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.slow
@pytest.mark.usefixtures("swift_pipeline")
def test_row_27_all_48_orientations_get_the_same_labels(run, untrained_folder: Path, phantom_files, tmp_path: Path):
    found = label_in_orientations(run, untrained_folder, phantom_files.scan, tmp_path, ORIENTATIONS)
    assert len(found) == 48
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.usefixtures("swift_pipeline")
def test_mirroring_voxels_and_header_together_moves_no_label_in_the_world(
    run, untrained_folder: Path, phantom_files, tmp_path: Path
):
    mirrored = tmp_path / "mirrored.nii.gz"
    write_oriented(phantom_files.scan, np.array([[0, -1], [1, 1], [2, 1]]), mirrored)
    options = ("--model", untrained_folder, "--force", "--no-crf", "--quiet")
    assert run("segment", phantom_files.scan, mirrored, "-o", tmp_path / "out", *options).exit_code == 0
    for index in load_scheme("deepnat25").ids[1:]:
        centres = []
        for stem in ("sub-01", "mirrored"):
            image = labels_of(tmp_path / "out", stem)
            ijk = np.argwhere(np.asarray(image.dataobj) == index).mean(0)
            centres.append(nibabel.affines.apply_affine(image.affine, ijk))
        np.testing.assert_allclose(centres[1], centres[0], atol=1e-3)


@pytest.mark.slow
def test_the_real_networks_label_the_phantom_and_repeat_themselves(
    run, untrained_folder: Path, phantom_files, tmp_path: Path
):
    for out in ("first", "second"):
        options = ("--model", untrained_folder, "--force", "--device", "cpu", "--quiet")
        done = run("segment", phantom_files.scan, "-o", tmp_path / out, *options)
        assert done.exit_code == 0, done.stderr
    first, second = (labels_of(tmp_path / out, "sub-01") for out in ("first", "second"))
    np.testing.assert_array_equal(np.asarray(second.dataobj), np.asarray(first.dataobj))
    assert np.count_nonzero(first.dataobj) > 100


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_leaves_nothing(untrained_folder: Path, phantom_files, tmp_path: Path, number: int, code: int):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "neuronat", "segment", str(phantom_files.scan), "-o", str(out), "--force"]
    environment = os.environ | {"HOME": str(tmp_path)}
    command += ["--model", str(untrained_folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "coordinates" in line:
                break
        process.send_signal(number)
        rest = process.stderr.read().splitlines()
    assert process.returncode == code
    assert rest[-1].startswith("neuronat: stopped; unfinished files were removed")
    assert not out.exists()


@pytest.mark.slow
def test_a_file_size_limit_gets_73_and_leaves_nothing(untrained_folder: Path, phantom_files, tmp_path: Path):
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from neuronat.cli.main import main\n"
        "main()\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, "segment", str(phantom_files.scan), "-o", str(out), "--quiet"]
    environment = os.environ | {"HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    done = subprocess.run(
        [*command, "--model", str(untrained_folder), "--force", "--no-crf"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 73, done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.usefixtures("swift_pipeline")
def test_where_memory_is_short_tiles_are_smaller_and_the_sidecar_says_so(
    run, untrained_folder: Path, phantom_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(memory, "memory_estimate_gb", lambda _grid, _brain_ml, *, tile_vox=64: float(tile_vox))
    monkeypatch.setattr(memory, "held_memory_bytes", lambda: 0)
    for free_gb, tile_vox in ((100, 64), (50, 48), (32, 32)):
        monkeypatch.setattr(memory, "free_memory_bytes", lambda free_gb=free_gb: free_gb * 10**9)
        out = tmp_path / str(free_gb)
        options = ("--model", untrained_folder, "--force", "--no-crf", "--quiet", "--device", "cpu")
        assert run("segment", phantom_files.scan, "-o", out, *options).exit_code == 0
        (sidecar,) = out.glob("*_seg-deepnat25_dseg.json")
        assert json.loads(sidecar.read_text(encoding="utf-8"))["TileVoxels"] == tile_vox
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 31 * 10**9)
    assert run("segment", phantom_files.scan, "-o", tmp_path / "31", *options).exit_code == 71


@pytest.mark.usefixtures("swift_pipeline")
def test_a_result_from_python_has_labels_volumes_and_probabilities(
    untrained_folder: Path, phantom_files, tmp_path: Path
):
    config = neuronat.SegmentConfig(has_crf=False, force=True, device="cpu")
    from_file = neuronat.segment(phantom_files.scan, untrained_folder, config=config)
    from_image = neuronat.segment(nibabel.load(phantom_files.scan), untrained_folder, config=config)
    from_volume = neuronat.segment(neuronat.load(phantom_files.scan), untrained_folder, config=config)
    for other in (from_image, from_volume):
        np.testing.assert_array_equal(other.labels["deepnat25"].ids, from_file.labels["deepnat25"].ids)
    values = from_file.probabilities["deepnat25"].values
    ids = np.array(load_scheme("deepnat25").ids)
    np.testing.assert_array_equal(ids[values.argmax(0)], from_file.labels["deepnat25"].ids)
    assert sum(row.n_voxels or 0 for row in from_file.volumes["deepnat25"]) == np.count_nonzero(
        from_file.labels["deepnat25"].ids
    )
    truth = neuronat.load_label_map(phantom_files.labels, "deepnat25")
    scores = neuronat.evaluate(from_file.labels["deepnat25"], truth)
    assert len(scores) == 25
    assert {score.dice for score in neuronat.evaluate(truth, truth)} == {1.0}
    written = from_image.save(tmp_path / "out")
    assert "scan_seg-deepnat25_dseg.nii.gz" in {path.name for path in written}
    image = labels_of(tmp_path / "out", "scan")
    np.testing.assert_array_equal(np.asarray(image.dataobj), from_file.labels["deepnat25"].ids)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.usefixtures("swift_pipeline", "any_labels")
def test_a_real_brain_passes_every_gate_and_0_8_mm_comes_back_on_its_own_grid(
    run, untrained_folder: Path, tmp_path: Path
):
    data = os.environ.get("NEURONAT_DATA")
    if not data:
        pytest.skip("NEURONAT_DATA names no folder of scans")
    source = Path(data) / "malc" / "sub-1000" / "anat" / "sub-1000_desc-brain_T1w.nii.gz"
    fine = tmp_path / "fine.nii.gz"
    image = nibabel.load(source)
    values = np.asarray(image.dataobj).astype(np.float32)
    shrunk = ndimage.zoom(values, 1.25, order=0, grid_mode=True, mode="grid-constant")
    affine = image.affine.copy()
    affine[:3, :3] *= 0.8
    affine[:3, 3] -= 0.1 * image.affine[:3, :3].sum(1)
    nibabel.save(nibabel.Nifti1Image(shrunk, affine), fine)
    shutil.copy(source, tmp_path / "plain.nii.gz")
    options = ("--model", untrained_folder, "--no-crf", "--quiet")
    done = run("segment", tmp_path / "plain.nii.gz", fine, "-o", tmp_path / "out", *options)
    assert done.exit_code == 0, done.stderr
    coarse, found = labels_of(tmp_path / "out", "plain"), labels_of(tmp_path / "out", "fine")
    assert found.shape == shrunk.shape
    np.testing.assert_allclose(found.affine, affine, atol=1e-6)
    # brain volumes agree up to the rim that linear interpolation of the mask rounds off
    volumes = [np.count_nonzero(i.dataobj) * abs(np.linalg.det(i.affine)) for i in (coarse, found)]
    np.testing.assert_allclose(volumes[1], volumes[0], rtol=0.02)
