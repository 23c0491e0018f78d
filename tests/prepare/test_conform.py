import itertools

import numpy as np
import pytest
from scipy import ndimage

from neuronat.errors import GridError, ShapeError
from neuronat.prepare.conform import (
    labels_to_native,
    labels_to_working,
    mask_to_working,
    plan_grid,
    to_working,
    values_to_native,
    values_to_working,
)
from neuronat.space.volume import Volume

SHAPE = (18, 22, 26)


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def affine_of(matrix: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = [11, -7, 3]
    return affine


AFFINES = {
    "1 mm": affine_of(np.eye(3)),
    "1 mm, oblique": affine_of(rotation(12)),
    "anisotropic": affine_of(np.diag([0.7, 1.2, 3.0])),
    "anisotropic, oblique": affine_of(rotation(-15) @ np.diag([1.3, 1.0, 0.6])),
    "tilted": affine_of(rotation(33) @ np.diag([1.0, 0.8, 1.5])),
    "sheared": affine_of(np.array([[1, 0.2, 0], [0, 1, 0.1], [0, 0, 1.0]])),
}


def all_orders(values: np.ndarray, affine: np.ndarray):
    """The same scan stored in all 48 orders of its axes."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product([1, -1], repeat=3):
            stored = values.transpose(order)[tuple(slice(None, None, s) for s in signs)]
            start = np.zeros(3)
            matrix = np.zeros((3, 3))
            for axis, (source, sign) in enumerate(zip(order, signs, strict=True)):
                matrix[:, axis] = sign * affine[:3, source]
                start[source] = 0 if sign > 0 else values.shape[source] - 1
            moved = affine.copy()
            moved[:3, :3] = matrix
            moved[:3, 3] = affine[:3, :3] @ start + affine[:3, 3]
            yield np.ascontiguousarray(stored), moved, (order, signs)


def blocks(rng: np.random.Generator) -> np.ndarray:
    """Five labels in blocks of a few voxels, 0 at the border."""
    ids = np.zeros(SHAPE, np.int16)
    coarse = rng.choice([0, 2, 41, 53, 77], (4, 5, 6))
    ids[1:17, 1:21, 1:25] = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    return ids


@pytest.mark.parametrize("name", ["anisotropic, oblique", "tilted"])
def test_all_48_stored_orders_give_the_same_working_volume_bit_for_bit(name, rng):
    values = rng.normal(size=SHAPE).astype(np.float32)
    seen = []
    for stored, affine, _ in all_orders(values, AFFINES[name]):
        working = to_working(Volume(stored, affine), plan_grid(affine, stored.shape))
        seen.append(working)
        np.testing.assert_array_equal(working.values, seen[0].values)
        np.testing.assert_allclose(working.affine, seen[0].affine, atol=1e-12)


@pytest.mark.parametrize("name", ["anisotropic, oblique", "sheared"])
def test_labels_land_on_the_same_voxels_whatever_the_stored_order(name, rng):
    grid = plan_grid(AFFINES[name], SHAPE)
    labels = rng.choice([0, 2, 41, 53], grid.shape)
    expected = labels_to_native(labels, grid)
    for stored, affine, _ in all_orders(expected, AFFINES[name]):
        np.testing.assert_array_equal(labels_to_native(labels, plan_grid(affine, stored.shape)), stored)


@pytest.mark.parametrize("name", ["1 mm", "1 mm, oblique"])
def test_a_scan_of_1_mm_is_never_interpolated(name, rng):
    values = rng.normal(size=SHAPE).astype(np.float32)
    for stored, affine, _ in all_orders(values, AFFINES[name]):
        grid = plan_grid(affine, stored.shape)
        assert not grid.is_resampled
        working = to_working(Volume(stored, affine), grid)
        np.testing.assert_array_equal(working.values, values)
        np.testing.assert_allclose(working.affine, AFFINES[name], atol=1e-12)
        np.testing.assert_array_equal(values_to_native(working.values, grid), stored)
        ids = (stored > 0).astype(np.uint8) * 41
        np.testing.assert_array_equal(labels_to_native(np.where(values > 0, np.uint8(41), np.uint8(0)), grid), ids)
        np.testing.assert_array_equal(mask_to_working(stored > 0, grid), values > 0)


def test_spacings_within_one_percent_count_as_1_mm(rng):
    values = rng.normal(size=SHAPE).astype(np.float32)
    affine = np.diag([1.0000001, 0.9905, 1.0095, 1.0])
    grid = plan_grid(affine, SHAPE)
    np.testing.assert_array_equal(to_working(Volume(values, affine), grid).values, values)
    np.testing.assert_array_equal(grid.affine, affine)
    assert plan_grid(np.diag([1.0, 1.011, 1.0, 1.0]), SHAPE).is_resampled


def test_only_the_axis_that_differs_is_resampled(rng):
    values = rng.normal(size=SHAPE).astype(np.float32)
    grid = plan_grid(np.diag([1.0, 1.0, 2.0, 1.0]), SHAPE)
    assert grid.shape == (18, 22, 52)
    lines = values_to_working(values, grid)
    alone = values_to_working(values[3:4, 4:5].repeat(18, 0).repeat(22, 1), grid)[0, 0]
    np.testing.assert_allclose(lines[3, 4], alone, atol=1e-6)  # float32 rounding, which differs between processors


@pytest.mark.parametrize("name", AFFINES)
def test_the_working_grid_is_1_mm_ras_and_shares_the_centre_of_the_field_of_view(name):
    affine = AFFINES[name]
    grid = plan_grid(affine, SHAPE)
    sizes = np.linalg.norm(grid.affine[:3, :3], axis=0)
    np.testing.assert_allclose(sizes, 1, atol=0.01)
    assert (np.diag(grid.affine)[:3] > 0.9).all()
    centre = affine @ [*((np.array(SHAPE) - 1) / 2), 1]
    np.testing.assert_allclose(grid.affine @ [*((np.array(grid.shape) - 1) / 2), 1], centre, atol=1e-12)


@pytest.mark.parametrize("name", AFFINES)
def test_the_working_grid_covers_every_voxel_of_the_scan(name):
    affine = AFFINES[name]
    grid = plan_grid(affine, SHAPE)
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in SHAPE], [1]))).T
    inside = np.linalg.solve(grid.affine, affine @ corners)[:3]
    assert (inside > -0.5).all()
    assert (np.array(grid.shape) - 0.5 > inside.T).all()


@pytest.mark.parametrize(("degrees", "is_rotated"), [(0, False), (19.9, False), (20.1, True), (44, True)])
def test_only_a_tilt_above_20_degrees_is_rotated_to_the_world_axes(degrees, is_rotated):
    grid = plan_grid(affine_of(rotation(degrees)), SHAPE)
    assert grid.is_rotated == is_rotated
    if is_rotated:
        np.testing.assert_array_equal(grid.affine[:3, :3], np.eye(3))


@pytest.mark.parametrize("name", AFFINES)
def test_a_ramp_in_the_world_stays_the_same_ramp(name):
    affine = AFFINES[name]
    grid = plan_grid(affine, SHAPE)

    def ramp(matrix, shape):
        xyz = np.tensordot(matrix[:3, :3], np.indices(shape), 1) + matrix[:3, 3].reshape(3, 1, 1, 1)
        return (2 * xyz[0] - 3 * xyz[1] + xyz[2]).astype(np.float32)

    working = to_working(Volume(ramp(affine, SHAPE), affine), grid).values
    is_inner = ndimage.binary_erosion(working != 0, iterations=5)
    assert is_inner.sum() > 50
    tolerance = 0.1  # the spline rings where the ramp ends, at the border
    np.testing.assert_allclose(working[is_inner], ramp(grid.affine, grid.shape)[is_inner], atol=tolerance)
    native = values_to_native(ramp(grid.affine, grid.shape), grid)
    inner = np.s_[4:-4, 4:-4, 4:-4]
    np.testing.assert_allclose(native[inner], ramp(affine, SHAPE)[inner], atol=tolerance)


@pytest.mark.parametrize("name", AFFINES)
def test_centroids_and_volumes_of_labels_survive_the_way_back(name):
    affine = AFFINES[name]
    grid = plan_grid(affine, SHAPE)
    xyz = np.tensordot(grid.affine[:3, :3], np.indices(grid.shape), 1) + grid.affine[:3, 3].reshape(3, 1, 1, 1)
    middle = grid.affine[:3] @ [*((np.array(grid.shape) - 1) / 2), 1]
    centres = {2: middle + np.array([-4, -1, 2]), 41: middle + np.array([4, 2, -2])}
    labels = np.zeros(grid.shape, np.uint8)
    for label, centre in centres.items():
        labels[((xyz - centre.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 4.2**2] = label
    native = labels_to_native(labels, grid)
    assert native.dtype == np.uint8
    for label, centre in centres.items():
        ijk = np.argwhere(native == label)
        np.testing.assert_allclose(
            (ijk @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0), centre, atol=0.45
        )  # slices are 3 mm
        volume = len(ijk) * abs(np.linalg.det(affine[:3, :3]))
        np.testing.assert_allclose(volume, (labels == label).sum(), rtol=0.12)


def test_the_largest_share_of_a_coarse_voxel_wins():
    grid = plan_grid(np.diag([1.0, 1.0, 3.0, 1.0]), (5, 6, 4))
    labels = np.zeros(grid.shape, np.int32)
    labels[..., 3:5] = 41  # two of the three millimetres of the second slice
    labels[..., 5:] = 2
    native = labels_to_native(labels, grid)
    np.testing.assert_array_equal(native, np.broadcast_to([0, 41, 2, 2], (5, 6, 4)))


def test_a_mask_of_coarse_voxels_comes_to_the_working_grid_where_half_is_inside():
    # slices of 2 mm: of the two working slices in each, one lies a quarter towards either neighbour
    mask = np.zeros((5, 6, 4), bool)
    mask[:, :, 1:3] = True
    working = mask_to_working(mask, plan_grid(np.diag([1.0, 1.0, 2.0, 1.0]), mask.shape))
    expected = np.array([False, False, True, True, True, True, False, False])
    np.testing.assert_array_equal(working, np.broadcast_to(expected, (5, 6, 8)))


@pytest.mark.parametrize("name", AFFINES)
def test_labels_come_to_the_working_grid_where_their_mask_does(name):
    grid = plan_grid(AFFINES[name], SHAPE)
    labels = np.zeros(SHAPE, np.int16)
    labels[4:14, 5:18, 6:20] = 41
    working = labels_to_working(labels, grid)
    assert working.dtype == np.int16
    assert set(np.unique(working)) == {0, 41}
    # alike but for ties, which go to the smaller label there and inside here
    assert np.mean((working > 0) != mask_to_working(labels > 0, grid)) < 0.02


def test_values_stay_within_the_range_of_the_scan(rng):
    values = np.where(rng.random(SHAPE) > 0.5, 1000, 0).astype(np.float32)
    for name in ("anisotropic", "tilted"):
        working = to_working(Volume(values, AFFINES[name]), plan_grid(AFFINES[name], SHAPE)).values
        assert working.min() >= 0
        assert working.max() <= 1000


def test_finer_voxels_are_averaged_before_they_are_thinned_out():
    checkers = (np.indices((40, 44, 48)).sum(axis=0) % 2).astype(np.float32)
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    working = to_working(Volume(checkers, affine), plan_grid(affine, checkers.shape)).values
    assert working.shape == (20, 22, 24)
    np.testing.assert_allclose(working[3:-3, 3:-3, 3:-3], 0.5, atol=0.1)


def test_channels_come_back_and_sum_to_one(rng):
    for name in ("1 mm", "anisotropic", "tilted"):
        grid = plan_grid(AFFINES[name], SHAPE)
        channels = rng.dirichlet(np.ones(3), grid.shape).astype(np.float32).transpose(3, 0, 1, 2)
        native = sum(values_to_native(channel, grid) for channel in channels)
        assert native.shape == SHAPE
        np.testing.assert_allclose(native, 1, atol=1e-4)


def test_a_plan_of_another_shape_is_refused():
    grid = plan_grid(np.eye(4), SHAPE)
    with pytest.raises(ShapeError, match=r"shape \(18, 22, 27\) do not fit the grid \(18, 22, 26\)"):
        to_working(Volume(np.zeros((18, 22, 27), np.float32), np.eye(4)), grid)
    with pytest.raises(ShapeError, match="do not fit the grid"):
        labels_to_native(np.zeros((18, 22, 27), np.uint8), grid)


def test_a_field_of_view_of_the_size_of_a_house_is_refused():
    with pytest.raises(GridError, match=r"18 x 22 x 26 voxels of 900 x 900 x 900 mm.*is too large for 1 mm"):
        plan_grid(np.diag([900.0, 900, 900, 1]), SHAPE)
