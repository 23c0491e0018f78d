import re

import numpy as np
import pytest

from neuronat.report.contours import trace_outlines


def polygons(path: str) -> list[np.ndarray]:
    """Read a path back: corners of each closed part, in half pixels."""
    parts = []
    for part in re.findall(r"M(-?\d+) (-?\d+)([^z]*)z", path):
        x, y = int(part[0]), int(part[1])
        corners = [(x, y)]
        for kind, numbers in re.findall(r"([hvl])([^hvl]+)", part[2]):
            step = [int(n) for n in numbers.split()]
            across, down = {"h": (step[0], 0), "v": (0, step[0]), "l": tuple(step)}[kind]
            x, y = x + across, y + down
            corners.append((x, y))
        parts.append(np.array(corners))
    return parts


def area_in_pixels(path: str) -> float:
    """Shoelace formula; four half pixels squared are a pixel. Holes run the other way and count below zero."""
    total = 0.0
    for corners in polygons(path):
        x, y = corners.T
        total += float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    return total / 4


def test_a_block_becomes_its_outline_with_cut_corners():
    ids = np.zeros((7, 6), np.int16)
    ids[2:5, 1:5] = 17
    (corners,) = polygons(trace_outlines(ids)[17])
    # the block spans 4..10 across and 2..10 down in half pixels
    assert corners.min(0).tolist() == [4, 2]
    assert corners.max(0).tolist() == [10, 10]
    assert [4, 2] not in corners.tolist()
    # each of the four corners loses a triangle of an eighth of a pixel
    assert area_in_pixels(trace_outlines(ids)[17]) == pytest.approx(12 - 4 / 8)


def test_a_hole_is_spared_and_two_parts_are_one_path():
    ids = np.zeros((12, 9), np.int16)
    ids[1:6, 1:6] = 3
    ids[3, 3] = 0
    ids[8, 2] = 3
    path = trace_outlines(ids)[3]
    assert len(polygons(path)) == 3
    # ring of 25 - 1 pixels, less its outer corners; the hole shrinks to half a pixel, the lonely one too
    assert area_in_pixels(path) == pytest.approx((25 - 0.5) - 0.5 + 0.5)


def test_neighbours_have_their_own_paths_largest_first():
    ids = np.zeros((5, 7), np.int16)
    ids[1:4, 1:3] = 50
    ids[1:4, 3:6] = 11
    ids[4, 6] = 99
    assert list(trace_outlines(ids)) == [11, 50, 99]
    shared = [max(corners[:, 1].max() for corners in polygons(trace_outlines(ids)[50])), 6]
    assert shared[0] == shared[1]


def test_labels_at_the_border_and_pixels_that_touch_by_a_corner_are_closed():
    ids = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0], [0, 0, 5]])
    path = trace_outlines(ids)[5]
    assert area_in_pixels(path) > 0
    for corners in polygons(path):
        gap = np.abs(corners[0] - corners[-1])
        assert gap.max() <= 1, "z closes a path over one corner at most"


def test_nothing_labelled_has_no_outline():
    assert trace_outlines(np.zeros((3, 4), np.uint8)) == {}
