import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from neuronat.errors import UnavailableError, UnusableInputError, UsageError
from neuronat.labels import load_scheme
from neuronat.pipeline.settings import SegmentConfig
from neuronat.pipeline.targets import target_files
from neuronat.prepare.tissue import TOOLS, TissueTool
from neuronat.space.files import read_label_map, read_mask, read_volume, write_volume
from neuronat.space.volume import Volume

FORCED = SegmentConfig(force=True)


def by_thresholds(intensities, mask):
    return np.where(mask, 1 + (intensities > 0.5) + (intensities > 0.85), 0)


@pytest.fixture(autouse=True)
def tool(monkeypatch) -> TissueTool:
    """A tool that needs nothing installed, in the place of a real one; no bias field is looked for."""
    made = TissueTool("hmrf", "Thresholds", "numpy", "numpy", {"low": 0.5}, by_thresholds)
    monkeypatch.setitem(TOOLS, "hmrf", made)
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))
    return made


def write_finished(marker, output):
    """Say that a result of one file is whole."""
    fields = {"version": "1", "inputs": {}, "models": {}, "settings": {}}
    hashes = {output.name: hashlib.sha256(output.read_bytes()).hexdigest()}
    marker.write_text(json.dumps(fields | {"outputs": hashes}), encoding="utf-8")


def outcomes(*arguments, config=FORCED):
    return [(o.target.name, o.state) for o in target_files(*arguments, config)]


def test_a_target_lies_on_the_scans_own_grid_and_fills_its_mask(phantom_files, tmp_path):
    assert outcomes([phantom_files.scan], ["hmrf"], tmp_path / "out") == [("sub-01_seg-hmrf", "done")]
    labels = read_label_map(tmp_path / "out" / "sub-01_seg-hmrf_dseg.nii.gz", load_scheme("hmrf"))
    scan, mask = read_volume(phantom_files.scan).volume, read_mask(phantom_files.mask).values > 0
    np.testing.assert_array_equal(labels.affine, scan.affine)
    np.testing.assert_array_equal(labels.ids > 0, mask)
    means = [float(scan.values[labels.ids == tissue].mean()) for tissue in (1, 2, 3)]
    assert means == sorted(means)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "seg-hmrf_dseg.tsv",
        "sub-01_seg-hmrf_done.json",
        "sub-01_seg-hmrf_dseg.json",
        "sub-01_seg-hmrf_dseg.nii.gz",
    ]


def test_the_sidecar_names_tool_version_settings_and_seconds(phantom_files, tmp_path):
    list(target_files([phantom_files.scan], ["hmrf"], tmp_path, FORCED))
    sidecar = json.loads((tmp_path / "sub-01_seg-hmrf_dseg.json").read_text(encoding="utf-8"))
    assert sidecar["Tool"] == {
        "Name": "Thresholds",
        "Package": "numpy",
        "Version": np.__version__,
        "Settings": {"low": 0.5},
    }
    assert [maker["Name"] for maker in sidecar["GeneratedBy"]] == ["neuronat", "Thresholds"]
    assert sidecar["Sources"] == ["sub-01_desc-brain_T1w.nii.gz"]
    assert sidecar["Forced"] is True
    assert 0 <= sidecar["ToolSeconds"] < 60
    assert 0 <= sidecar["ToolCpuSeconds"] < 60


def test_what_is_done_is_not_done_again_and_what_differs_is_refused(tool, phantom_files, tmp_path, monkeypatch):
    scans = [phantom_files.scan]
    outcomes(scans, ["hmrf"], tmp_path)
    label_map = tmp_path / "sub-01_seg-hmrf_dseg.nii.gz"
    before = label_map.stat().st_mtime_ns
    assert outcomes(scans, ["hmrf", "hmrf"], tmp_path) == [("sub-01_seg-hmrf", "already done")]
    assert label_map.stat().st_mtime_ns == before
    label_map.write_bytes(b"damaged")
    assert outcomes(scans, ["hmrf"], tmp_path) == [("sub-01_seg-hmrf", "done")]
    monkeypatch.setitem(TOOLS, "hmrf", replace(tool, settings={"low": 0.4}))
    with pytest.raises(UsageError, match=r"holds another result of sub-01_seg-hmrf \(settings tool: .*--overwrite"):
        outcomes(scans, ["hmrf"], tmp_path)
    assert outcomes(scans, ["hmrf"], tmp_path, config=replace(FORCED, overwrite=True)) == [("sub-01_seg-hmrf", "done")]


def test_a_label_map_of_segment_is_not_replaced_unless_overwriting(phantom_files, tmp_path):
    scans, label_map = [phantom_files.scan], tmp_path / "sub-01_seg-hmrf_dseg.nii.gz"
    label_map.write_bytes(b"of segment")
    write_finished(tmp_path / "sub-01_done.json", label_map)
    with pytest.raises(
        UsageError, match=r"^sub-01_seg-hmrf_dseg in the output folder is of sub-01_done\.json; use --over"
    ):
        outcomes(scans, ["hmrf"], tmp_path)
    assert label_map.read_bytes() == b"of segment"
    assert outcomes(scans, ["hmrf"], tmp_path, config=replace(FORCED, overwrite=True)) == [("sub-01_seg-hmrf", "done")]


def test_a_label_map_that_segment_left_unfinished_is_replaced(phantom_files, tmp_path):
    label_map = tmp_path / "sub-01_seg-hmrf_dseg.nii.gz"
    label_map.write_bytes(b"of segment")
    write_finished(tmp_path / "sub-01_done.json", label_map)
    label_map.write_bytes(b"damaged")
    assert outcomes([phantom_files.scan], ["hmrf"], tmp_path) == [("sub-01_seg-hmrf", "done")]


def test_one_failure_stops_no_other_scan(phantom_files, tmp_path):
    found = list(target_files([tmp_path / "nowhere.nii.gz", phantom_files.scan], ["hmrf"], tmp_path / "out", FORCED))
    assert [outcome.state for outcome in found] == ["failed", "done"]
    assert str(found[0].failure).startswith("nowhere.nii.gz: ")


def test_a_name_too_long_for_the_label_map_fails_before_the_tool_runs(phantom_files, tmp_path):
    scan = tmp_path / ("x" * 240 + ".nii.gz")
    scan.symlink_to(phantom_files.scan)
    (found,) = target_files([scan], ["hmrf"], tmp_path / "out", FORCED)
    assert "names of its outputs would take 264 bytes, and 255 is the limit; give it a shorter" in str(found.failure)


def test_a_folder_in_the_place_of_a_sidecar_lets_no_label_map_through(phantom_files, tmp_path):
    (tmp_path / "sub-01_seg-hmrf_dseg.json").mkdir()
    (found,) = target_files([phantom_files.scan], ["hmrf"], tmp_path, FORCED)
    assert "sub-01_seg-hmrf_dseg.json: is a folder where a file is to be written" in str(found.failure)
    assert [path.name for path in tmp_path.iterdir()] == ["sub-01_seg-hmrf_dseg.json"]


def test_a_contrast_that_is_not_t1_is_refused_unless_forced(tmp_path, phantom):
    volume, _, mask = phantom
    affine = volume.affine.copy()
    affine[:3, :3] *= 2.9  # as large as a brain
    inverted = np.where(mask, volume.values.max() + 1 - volume.values, 0).astype(np.float32)
    scan = tmp_path / "sub-02_run-2.nii.gz"
    write_volume(scan, Volume(inverted, affine))
    (found,) = target_files([scan], ["hmrf"], tmp_path / "out", SegmentConfig())
    assert isinstance(found.failure, UnusableInputError)
    assert str(found.failure).startswith("sub-02_run-2.nii.gz: does not look like a T1-weighted human brain")


def test_a_raw_head_needs_a_mask(phantom_files, tmp_path):
    (found,) = target_files([phantom_files.scan], ["hmrf"], tmp_path, SegmentConfig(stripped="no"))
    assert str(found.failure).startswith("sub-01_desc-brain_T1w.nii.gz: is a raw head; give its brain --mask")


def test_nothing_starts_without_the_tool_or_with_names_that_clash(tool, phantom_files, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no tool is named"):
        outcomes([phantom_files.scan], [], tmp_path / "out")
    with pytest.raises(UsageError, match="their outputs would share the name sub-01"):
        outcomes([phantom_files.scan, phantom_files.mask], ["hmrf"], tmp_path / "out")
    monkeypatch.setitem(TOOLS, "hmrf", replace(tool, module="no_such_module"))
    with pytest.raises(UnavailableError, match="tool hmrf needs the package numpy"):
        outcomes([phantom_files.scan], ["hmrf"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
