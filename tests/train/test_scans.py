import numpy as np
import pytest
import torch

from neuronat.errors import MissingInputError, ShapeError, UnusableInputError
from neuronat.labels.scheme import LabelScheme
from neuronat.train.scans import (
    OUTSIDE,
    PackedScan,
    foreground_of,
    read_packed,
    stack_scans,
    unseen_ids,
    write_packed,
)

CPU = torch.device("cpu")


def test_a_packed_scan_comes_back_as_it_was(scan, tmp_path):
    back = read_packed(write_packed(scan, tmp_path))
    assert back.name == "sub-01"
    for name in ("intensities", "classes", "coordinates"):
        np.testing.assert_array_equal(getattr(back, name), getattr(scan, name))
    assert [file.name for file in tmp_path.iterdir()] == ["sub-01.npz"]


def test_a_missing_and_a_damaged_file_are_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"sub-09\.npz: packed scan not found"):
        read_packed(tmp_path / "sub-09.npz")
    (tmp_path / "sub-02.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(UnusableInputError, match=r"sub-02\.npz: not a packed scan"):
        read_packed(tmp_path / "sub-02.npz")


def test_arrays_of_different_grids_are_refused(scan):
    with pytest.raises(ShapeError, match="must share one 3D grid"):
        PackedScan("x", scan.intensities[1:], scan.classes, scan.coordinates)


def test_scans_without_brain_or_labels_are_refused(scan):
    with pytest.raises(UnusableInputError, match="the brain mask is empty"):
        PackedScan("x", scan.intensities, np.full_like(scan.classes, OUTSIDE), scan.coordinates)
    unlabelled = np.where(scan.classes == OUTSIDE, OUTSIDE, 0).astype(np.uint8)
    with pytest.raises(UnusableInputError, match="no voxel carries a label"):
        PackedScan("x", scan.intensities, unlabelled, scan.coordinates)


def test_foreground_has_two_classes_and_the_same_mask(scan):
    classes = foreground_of(scan).classes
    np.testing.assert_array_equal(np.unique(classes), [0, 1, OUTSIDE])
    np.testing.assert_array_equal(classes == OUTSIDE, scan.classes == OUTSIDE)
    np.testing.assert_array_equal(classes == 1, np.isin(scan.classes, [1, 2, 3, 4]))


def test_stacked_scans_lie_inside_their_margin(scan):
    smaller = PackedScan("b", scan.intensities[2:], scan.classes[2:], scan.coordinates[:, 2:])
    stacked = stack_scans([scan, smaller], margin_vox=5, around_foreground_vox=None, device=CPU)
    assert stacked.intensities.shape == (2, 34, 40, 37)
    np.testing.assert_array_equal(stacked.intensities[0, 5:-5, 5:-5, 5:-5], scan.intensities)
    np.testing.assert_array_equal(stacked.intensities[1, 5:27, 5:-5, 5:-5], smaller.intensities)
    np.testing.assert_array_equal(stacked.eligible[0, 5:-5, 5:-5, 5:-5], scan.classes != OUTSIDE)
    assert int(stacked.classes.max()) == 4
    assert stacked.strides == (40 * 37, 37, 1)


def test_only_the_rim_of_the_foreground_is_eligible_in_the_second_stage(scan):
    stacked = stack_scans([scan], margin_vox=0, around_foreground_vox=1, device=CPU)
    foreground = np.isin(scan.classes, [1, 2, 3, 4])
    grown = np.zeros_like(foreground)
    for i, j, k in np.argwhere(foreground):
        grown[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, max(k - 1, 0) : k + 2] = True
    np.testing.assert_array_equal(stacked.eligible[0], grown & (scan.classes != OUTSIDE))


def test_no_scans_are_refused():
    with pytest.raises(UnusableInputError, match="no scans to train on"):
        stack_scans([], margin_vox=3, around_foreground_vox=None, device=CPU)


def test_structures_that_no_scan_shows_are_unseen(scan):
    ids = (0, 10, 20, 30, 40, 50)
    scheme = LabelScheme("six", ids, ("n", "a", "b", "c", "d", "e"), ("#000000",) * 6, ids)
    assert unseen_ids([scan], scheme) == (50,)
    without = PackedScan("b", scan.intensities, np.where(scan.classes == 2, 1, scan.classes), scan.coordinates)
    assert unseen_ids([without], scheme) == (20, 50)
    assert unseen_ids([without, scan], scheme) == (50,)
