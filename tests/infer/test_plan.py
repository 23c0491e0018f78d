import numpy as np
import pytest

from neuronat.infer.plan import PHASES, Tile, phase_counts, plan_tiles


@pytest.mark.parametrize("tile_vox", [1, 5, 6, 64])
def test_tiles_hold_each_voxel_of_the_mask_once_and_stay_in_the_volume(brain, tile_vox):
    mask = brain[2]
    hits = np.zeros(mask.shape, int)
    for tile in plan_tiles(mask, tile_vox):
        assert max(tile.extent) <= tile_vox
        assert all(s >= 0 and s + n <= e for s, n, e in zip(tile.start, tile.extent, mask.shape, strict=True))
        hits[tile.box] += 1
    np.testing.assert_array_equal(hits[mask], 1)
    assert hits.max() == 1


def test_a_tile_is_no_larger_than_its_part_of_the_mask(brain):
    mask = brain[2].copy()
    mask[12, 17, 10] = False
    assert plan_tiles(mask, 64) == [Tile((0, 3, 2), (7, 9, 7))]


def test_parts_without_a_voxel_are_left_out():
    mask = np.zeros((9, 30, 7), bool)
    mask[1:4, 2:5, 3] = mask[6:8, 25:29, 1:3] = True
    assert plan_tiles(mask, 16) == [Tile((1, 2, 3), (3, 3, 1)), Tile((6, 25, 1), (2, 4, 2))]
    assert plan_tiles(np.zeros((9, 30, 7), bool), 16) == []


def test_the_phases_of_a_tile_hold_its_voxels_once():
    tile = Tile((4, 5, 6), (3, 4, 1))
    counts = [phase_counts(tile, phase) for phase in PHASES]
    assert counts == [(2, 2, 1), (2, 2, 0), (2, 2, 1), (2, 2, 0), (1, 2, 1), (1, 2, 0), (1, 2, 1), (1, 2, 0)]
    assert sum(np.prod(n) for n in counts) == 3 * 4 * 1
    assert len(set(PHASES)) == 8
