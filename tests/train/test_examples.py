import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.nets.deepnat import task_offsets
from neuronat.train.examples import block_extent, draw_anchors, find_candidates, gather_blocks, margin_vox
from neuronat.train.scans import OUTSIDE, stack_scans

CPU = torch.device("cpu")


def stacked(scan, n_centres=1, around=None):
    return stack_scans([scan, scan], margin_vox=margin_vox(n_centres), around_foreground_vox=around, device=CPU)


def test_a_block_with_one_centre_is_a_patch():
    assert block_extent(1) == 23
    assert block_extent(4) == 29


def test_classes_are_drawn_as_often_as_their_weight_says(scan):
    examples = stacked(scan)
    candidates = find_candidates(examples, 6, {1: 2.0})
    assert candidates.counts[5] == 0
    anchors = draw_anchors(candidates, 20_000, torch.Generator().manual_seed(3))
    drawn = torch.bincount(examples.classes.flatten()[anchors].long(), minlength=6) / 20_000
    # classes 0..4 have voxels, class 1 counts twice: sixths; 0.01 is three standard deviations
    np.testing.assert_allclose(drawn, [1 / 6, 2 / 6, 1 / 6, 1 / 6, 1 / 6, 0], atol=0.01)


def test_within_a_class_every_voxel_of_every_scan_is_drawn(scan):
    examples = stacked(scan)
    candidates = find_candidates(examples, 5, {c: 0.0 for c in (0, 1, 2, 4)} | {3: 1.0})
    anchors = draw_anchors(candidates, 40_000, torch.Generator().manual_seed(4))
    expected = torch.nonzero((examples.classes == 3).flatten()).squeeze(1)
    np.testing.assert_array_equal(torch.unique(anchors), expected)


def test_one_class_is_nothing_to_learn_from(scan):
    only = stack_scans([scan], margin_vox=0, around_foreground_vox=None, device=CPU)
    only.classes[:] = 1
    with pytest.raises(ConfigError, match="a single class"):
        find_candidates(only, 3, {})


@pytest.mark.parametrize("n_centres", [1, 3])
def test_blocks_hold_what_lies_around_their_centres(scan, n_centres):
    margin = margin_vox(n_centres)
    examples = stacked(scan, n_centres)
    padded = np.pad(scan.intensities, margin)
    classes = np.pad(np.where(scan.classes == OUTSIDE, 0, scan.classes), margin)
    where = np.argwhere(scan.classes == 3)[5] + margin
    anchor = torch.tensor([int(np.ravel_multi_index((1, *where), tuple(examples.intensities.shape)))])
    offsets = torch.from_numpy(task_offsets(7))
    block = gather_blocks(examples, anchor, offsets, torch.Generator().manual_seed(0), n_centres=n_centres)
    assert block.intensities.shape == (1, 1, *(21 + 2 * n_centres,) * 3)
    # the block is somewhere near the anchor: find where, then compare everything with slices of the scan
    places = [
        first
        for first in np.ndindex(n_centres, n_centres, n_centres)
        if np.allclose(cut(padded, where - 2 * np.array(first) - 11, 21 + 2 * n_centres) / 100, block.intensities[0, 0])
    ]
    first = where - 2 * np.array(places[0])
    for centre in np.ndindex(n_centres, n_centres, n_centres):
        ijk = first + 2 * np.array(centre)
        for task, offset in enumerate(task_offsets(7)):
            assert block.labels[(0, *centre, task)] == classes[tuple(ijk + offset)]
        is_inside = np.pad(scan.classes != OUTSIDE, margin)[tuple(ijk)]
        known = np.pad(scan.coordinates, [(0, 0)] + [(margin, margin)] * 3)[(slice(None), *ijk)]
        np.testing.assert_array_equal(block.coordinates[(0, *centre)], known * is_inside)
        assert block.eligible[(0, *centre)] == is_inside


def cut(values, first, extent):
    i, j, k = first
    return values[i : i + extent, j : j + extent, k : k + extent]
