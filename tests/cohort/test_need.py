from pathlib import Path

from neuronat.cohort.entry import Entry
from neuronat.cohort.need import bytes_per_scan, disk_bytes_per_scan
from neuronat.pipeline.inspect import inspect_scan
from neuronat.pipeline.settings import SegmentConfig


def test_the_need_is_that_of_the_largest_scan_by_its_header(phantom_files, tmp_path: Path):
    (tmp_path / "broken.nii").write_bytes(b"nothing")
    small = bytes_per_scan([Entry(phantom_files.scan, "")])
    config = SegmentConfig(force=True)
    grid = inspect_scan(phantom_files.scan, config).grid
    # base, and a brain of 1.7 l with its box: 1.1 + 1.7 (0.6 + 2.6 0.1) GB; 40 bytes per voxel of both grids
    assert small == int(1e9 * (1.1 + 1.462 + 2 * 40 * 48 * 56 * 40 / 1e9))
    assert grid.shape == (40, 48, 56)
    unknown = bytes_per_scan([Entry(tmp_path / "broken.nii", ""), Entry(tmp_path / "none.nii", "")])
    assert unknown == int(1e9 * (1.1 + 1.462 + 2 * 256**3 * 40 / 1e9))
    assert bytes_per_scan([Entry(phantom_files.scan, "")], 32) < small
    assert bytes_per_scan([Entry(tmp_path / "broken.nii", ""), Entry(phantom_files.scan, "")]) == small


def test_probabilities_need_more_disk():
    assert disk_bytes_per_scan(has_probabilities=True) > 10 * disk_bytes_per_scan(has_probabilities=False)
