import itertools

import numpy as np
import pytest

from neuronat.space.affine import (
    axis_codes,
    corners_mm,
    describe_grid,
    ijk_to_xyz_mm,
    is_same_grid,
    nearest_axes,
    obliquity_degrees,
    reorient,
    reoriented_affine,
    shear_degrees,
    spacing_mm,
    undo_reorient,
    voxel_volume_mm3,
    xyz_mm_to_ijk,
)

SHAPE = (3, 4, 5)
OBLIQUE = np.array([[1.9, -0.4, 0.1, 7], [0.6, 1.2, 0.0, -3], [0.0, 0.1, 3.0, 11], [0, 0, 0, 1.0]])


def turned_about_z(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0, 1], [s, c, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1.0]])


def test_spacing_and_volume_come_from_the_columns():
    affine = np.array([[0, -3.0, 0, 9], [2.0, 0, 0, 9], [0, 4.0, 0.5, 9], [0, 0, 0, 1]])
    np.testing.assert_allclose(spacing_mm(affine), [2, 5, 0.5])
    np.testing.assert_allclose(voxel_volume_mm3(affine), 2 * 3 * 0.5)


@pytest.mark.parametrize(
    ("columns", "codes"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "RAS"),
        ([[-1, 0, 0], [0, 0, -1], [0, 1, 0]], "LIA"),
        ([[0, -2, 0], [0, 0, 1], [3, 0, 0]], "PSR"),
    ],
)
def test_axis_codes_name_the_directions_in_which_indices_grow(columns, codes):
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns, float).T
    assert axis_codes(affine) == codes


def test_every_voxel_keeps_its_place_in_all_48_orders():
    values = np.arange(60.0).reshape(SHAPE)
    places = {}
    for ijk in np.ndindex(*SHAPE):
        places[values[ijk]] = OBLIQUE[:3, :3] @ ijk + OBLIQUE[:3, 3]
    for order in itertools.permutations(range(3)):
        for signs in itertools.product([1, -1], repeat=3):
            stored = values.transpose(order)[tuple(slice(None, None, s) for s in signs)]
            affine = np.eye(4)
            for axis, (source, sign) in enumerate(zip(order, signs, strict=True)):
                affine[:3, axis] = sign * OBLIQUE[:3, source]
            affine[:3, 3] = places[stored[0, 0, 0]]
            moves = nearest_axes(affine)
            turned = reorient(stored, moves)
            np.testing.assert_array_equal(turned, values)
            np.testing.assert_allclose(reoriented_affine(affine, stored.shape, moves), OBLIQUE, atol=1e-12)
            np.testing.assert_array_equal(undo_reorient(turned, moves), stored)


def test_a_tie_of_45_degrees_goes_the_same_way_in_all_stored_orders():
    affine = turned_about_z(45)
    matrices = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product([1.0, -1.0], repeat=3):
            stored = affine.copy()
            stored[:3, :3] = affine[:3, list(order)] * signs
            matrices.append(reoriented_affine(stored, SHAPE, nearest_axes(stored))[:3, :3])
    np.testing.assert_allclose(matrices, np.broadcast_to(matrices[0], (48, 3, 3)), atol=1e-12)


@pytest.mark.parametrize("degrees", [0.0, 12.0, 44.0, 80.0])
def test_obliquity_is_the_angle_to_the_nearest_axis(degrees):
    affine = turned_about_z(degrees) @ np.diag([1.0, -2.0, 3.0, 1.0])
    np.testing.assert_allclose(obliquity_degrees(affine), min(degrees, 90 - degrees), atol=1e-5)
    np.testing.assert_allclose(shear_degrees(affine), 0, atol=1e-5)


def test_shear_is_how_far_two_axes_are_from_a_right_angle():
    affine = np.eye(4)
    affine[0, 1] = np.tan(np.radians(10))
    np.testing.assert_allclose(shear_degrees(affine), 10, atol=1e-9)


def test_world_and_voxel_coordinates_invert_each_other():
    ijk = np.array([[0.0, 0, 0], [1, 2, 3], [-0.5, 7, 2.25]])
    np.testing.assert_allclose(ijk_to_xyz_mm(OBLIQUE, ijk)[1], [1.9 - 0.8 + 0.3 + 7, 0.6 + 2.4 - 3, 0.2 + 9 + 11])
    np.testing.assert_allclose(xyz_mm_to_ijk(OBLIQUE, ijk_to_xyz_mm(OBLIQUE, ijk)), ijk, atol=1e-12)


def test_corners_are_the_centres_of_the_eight_outermost_voxels():
    corners = corners_mm(np.diag([2.0, 1.0, 1.0, 1.0]), SHAPE)
    assert corners.shape == (8, 3)
    np.testing.assert_array_equal(corners.min(axis=0), [0, 0, 0])
    np.testing.assert_array_equal(corners.max(axis=0), [4, 3, 4])


def test_grids_are_the_same_within_a_tolerance_at_the_corners():
    moved = OBLIQUE.copy()
    moved[0, 3] += 0.005
    assert is_same_grid((SHAPE, OBLIQUE), (SHAPE, moved))
    moved[0, 3] += 0.1
    assert not is_same_grid((SHAPE, OBLIQUE), (SHAPE, moved))
    assert is_same_grid((SHAPE, OBLIQUE), (SHAPE, moved), tolerance_mm=0.2)
    assert not is_same_grid((SHAPE, OBLIQUE), ((5, 4, 3), OBLIQUE))
    for along, expected in ((0.0057, True), (0.0059, False)):  # times the square root of 3: 0.0099 and 0.0102 mm
        moved = OBLIQUE.copy()
        moved[:3, 3] += along
        assert is_same_grid((SHAPE, OBLIQUE), (SHAPE, moved)) == expected
    stretched = OBLIQUE.copy()
    stretched[2, 2] += 0.1
    assert not is_same_grid((SHAPE, OBLIQUE), (SHAPE, stretched))


def test_a_grid_is_described_by_extents_spacing_orientation_and_origin():
    words = describe_grid(SHAPE, np.diag([-1.0, 1.5, 2.0, 1.0]))
    assert words == "3 x 4 x 5 voxels of 1 x 1.5 x 2 mm, LAS, first voxel at (0.0, 0.0, 0.0) mm"
