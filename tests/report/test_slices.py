import numpy as np
import pytest

from neuronat.report.planes import Plane
from neuronat.report.slices import cut_stack, grey_window, shrink_plane, to_pixels


def test_nothing_is_shown_further_than_5_mm_from_the_brain(head):
    image, mask, labels = head
    stack = cut_stack(image, mask, labels, n_slices=4)
    for plane in [*stack.middle.values(), *(p for series in stack.series.values() for p in series)]:
        shown = plane.values != 0
        widths = [np.ptp(np.flatnonzero(shown.any(axis=1 - axis))) + 1 for axis in (0, 1)]
        # the mask is 25 x 1, 19 x 2 and 19 x 1.5 mm wide; 5 mm more on both sides, in whole voxels
        brain_mm = {"sagittal": (38, 28.5), "coronal": (25, 28.5), "axial": (25, 38)}[plane.name]
        reach = [2 * int(5 / step) for step in plane.spacing_mm]
        expected = [round(mm / step) + more for mm, step, more in zip(brain_mm, plane.spacing_mm, reach, strict=True)]
        assert widths == expected, plane.name
        assert not shown.all()


def test_a_slice_that_misses_the_brain_is_black(head):
    image, mask, labels = head
    hollow = mask.copy()
    hollow[:, :, 18:33] = False  # the middle slice lies between two slabs of mask
    middle = cut_stack(image, hollow, labels, n_slices=0).middle["axial"]
    np.testing.assert_array_equal(middle.values, 0)


def test_the_middle_goes_through_the_brain_and_series_run_from_end_to_end(head):
    stack = cut_stack(*head, n_slices=3)
    assert list(stack.middle) == ["coronal", "axial", "sagittal"]
    # middle: i = 21 is y = 50 - 42, j = 32 is x = 40 - 32, k = 24 is z = -30 + 36; slices at 17, 24 and 31 of k
    assert [plane.position for plane in stack.middle.values()] == ["y = 8 mm", "z = 6 mm", "x = 8 mm"]
    assert [plane.position for plane in stack.series["axial"]] == ["z = -4 mm", "z = 6 mm", "z = 16 mm"]
    assert len({plane.values.shape for plane in stack.series["coronal"]}) == 1
    assert cut_stack(*head, n_slices=0).series == {}


def test_right_is_on_the_left_of_the_picture(head):
    coronal = cut_stack(*head, n_slices=0).middle["coronal"]
    assert coronal.letters == ("R", "L", "I", "S")
    places = [np.argwhere(coronal.ids == index)[:, 0].mean() for index in (49, 10)]
    assert places[0] < places[1]


def test_a_brain_at_the_border_of_the_grid_is_cut_there(head):
    image, mask, labels = head
    mask[:] = True
    for plane in cut_stack(image, mask, labels, n_slices=2).middle.values():
        assert (plane.values != 0).all()


def test_large_planes_shrink_by_means_of_grey_and_picks_of_labels():
    values = np.arange(5 * 8, dtype=np.float32).reshape(5, 8)
    plane = Plane("axial", values, values.astype(np.int16), (1.0, 0.5), ("R", "L", "P", "A"), "z = 0 mm")
    small = shrink_plane(plane, 4)
    assert small.values.shape == (2, 4)
    assert small.spacing_mm == (2.0, 1.0)
    assert small.values[0, 0] == (0 + 1 + 8 + 9) / 4
    assert small.ids[0, 0] == 9
    assert shrink_plane(plane, 8) is plane


def test_grey_runs_from_black_to_white_and_up_is_up():
    values = np.zeros((2, 3), np.float32)
    values[0] = [50, 100, 200]
    plane = Plane("axial", values, None, (1.0, 1.0), ("R", "L", "P", "A"), "z = 0 mm")
    low, high = grey_window([plane])
    assert (low, high) == (0.0, pytest.approx(199, abs=1))
    np.testing.assert_array_equal(to_pixels(plane, (0.0, 200.0)), [[255, 0], [128, 0], [64, 0]])


def test_a_scan_with_values_below_zero_keeps_its_background_black():
    values = np.array([[-400.0, 0.0], [-200.0, 100.0]], np.float32)
    plane = Plane("axial", values, None, (1.0, 1.0), ("R", "L", "P", "A"), "z = 0 mm")
    low, _ = grey_window([plane])
    assert low < -390
    assert to_pixels(plane, (-400.0, 100.0))[0, 0] == 0
