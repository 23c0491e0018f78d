import numpy as np
import pytest

from neuronat.infer.plan import PHASES, Tile, plan_tiles


@pytest.mark.parametrize("tile_vox", [3, 5, 6, 64])
def test_tiles_hold_each_voxel_of_the_mask_once_and_stay_in_the_volume(brain, tile_vox):
    mask = brain[2]
    hits = np.zeros(mask.shape, int)
    for tile in plan_tiles(mask, tile_vox):
        assert np.prod(tile.extent) <= tile_vox**3
        assert all(s >= 0 and s + n <= e for s, n, e in zip(tile.start, tile.extent, mask.shape, strict=True))
        hits[tile.box] += 1
    np.testing.assert_array_equal(hits[mask], 1)
    assert hits.max() == 1


def test_a_tile_is_no_larger_than_its_part_of_the_mask(brain):
    mask = brain[2].copy()
    mask[12, 17, 10] = False
    assert plan_tiles(mask, 64) == [Tile((0, 3, 2), (7, 9, 7))]


def test_parts_without_a_voxel_are_left_out():
    mask = np.zeros((9, 60, 7), bool)
    mask[1:4, 2:5, 3] = mask[6:8, 55:59, 1:3] = True
    assert plan_tiles(mask, 16) == [Tile((1, 2, 3), (3, 3, 1)), Tile((6, 55, 1), (2, 4, 2))]
    assert plan_tiles(np.zeros((9, 60, 7), bool), 16) == []


def test_a_dumbbell_is_cut_where_it_is_thin():
    mask = np.zeros((40, 20, 64), bool)
    mask[:, :, :24] = mask[:, :, 40:] = mask[20, 10, 24:40] = True
    tiles = sorted(plan_tiles(mask, 64), key=lambda tile: tile.start[2])
    assert tiles == [Tile((0, 0, 0), (40, 20, 24)), Tile((20, 10, 24), (1, 1, 16)), Tile((0, 0, 40), (40, 20, 24))]


def test_an_ellipsoid_needs_less_work_in_fitted_tiles_than_in_equal_ones():
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (70, 88, 60)], indexing="ij", sparse=True)
    mask = sum(a**2 for a in axes) < 1
    # cells that the second convolution calculates: centres and 4 more along each axis, in each of 8 phases
    fitted = [8 * np.prod([-(-n // 2) + 4 for n in tile.extent]) for tile in plan_tiles(mask, 32)]
    equal = 3 * 3 * 2 * 8 * (24 / 2 + 4) * (30 / 2 + 4) * (30 / 2 + 4)
    assert sum(fitted) < 0.8 * equal


def test_the_phases_hold_each_voxel_of_a_tile_once():
    hits = np.zeros((3, 4, 5), int)
    for i, j, k in PHASES:
        hits[i::2, j::2, k::2] += 1
    np.testing.assert_array_equal(hits, 1)
