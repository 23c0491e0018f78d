import numpy as np
import pytest

from neuronat.coords.spectral import brain_coordinates, cartesian_coordinates, spectral_coordinates
from neuronat.errors import GridError, ShapeError

OBLIQUE = np.array([[-0.1, 2.0, 0.2, 30], [0.1, -0.2, 3.0, -7], [1.5, 0.1, 0.3, 11], [0, 0, 0, 1]])  # SRA, anisotropic


def blob(rng, shape=(9, 12, 10)):
    """An irregular connected mask that fills most of a box, without symmetry."""
    mask = rng.random(shape) < 0.85
    mask[2:-2, 2:-2, 2:-2] = True
    mask[:3, :4, :] = False
    mask[-2:, -4:, :3] = False
    return mask


def test_channels_are_spectral_then_cartesian_and_zero_outside(rng):
    mask = blob(rng)
    coordinates = brain_coordinates(mask, OBLIQUE)
    assert coordinates.shape == (6, 9, 12, 10)
    assert coordinates.dtype == np.float32
    np.testing.assert_array_equal(coordinates[:, ~mask], 0)
    np.testing.assert_array_equal(coordinates[:3], spectral_coordinates(mask, OBLIQUE))
    np.testing.assert_array_equal(coordinates[3:], cartesian_coordinates(mask, OBLIQUE))


def test_cartesian_coordinates_are_world_offsets_in_units_of_50_mm(rng):
    mask = blob(rng)
    xyz_mm = np.einsum("ab,nb->na", OBLIQUE[:3, :3], np.argwhere(mask)) + OBLIQUE[:3, 3]
    expected = (xyz_mm - xyz_mm.mean(axis=0)) / 50
    np.testing.assert_allclose(cartesian_coordinates(mask, OBLIQUE)[:, mask].T, expected, atol=1e-6)


def test_spectral_channels_grow_to_the_right_to_the_front_and_up(rng):
    mask = blob(rng)
    offsets = np.argwhere(mask) @ OBLIQUE[:3, :3].T
    spectral = spectral_coordinates(mask, OBLIQUE)[:, mask]
    matrix = np.corrcoef(np.concatenate([spectral, offsets.T]))[:3, 3:]
    np.testing.assert_array_equal(np.abs(matrix).argmax(axis=1), [0, 1, 2])
    np.testing.assert_array_less(0.5, np.diag(matrix))


def test_the_scale_is_a_root_mean_square_of_one_on_the_main_component(rng):
    mask = blob(rng)
    mask[:2, :3, :] = False
    mask[0, 0, 0] = True  # detached
    main = mask.copy()
    main[0, 0, 0] = False
    values = spectral_coordinates(mask, np.eye(4))[:, main].astype(float)
    np.testing.assert_allclose((values**2).mean(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(values.mean(axis=1), 0, atol=1e-6)


def test_detached_voxels_have_the_values_of_the_nearest_voxel_and_change_nothing_else():
    mask = np.zeros((9, 6, 5), bool)
    mask[:5, :4, :3] = True
    alone = spectral_coordinates(mask, np.diag([1.0, 1.0, 4.0, 1.0]))
    mask[7, 2, 1] = mask[2, 5, 4] = True
    joined = spectral_coordinates(mask, np.diag([1.0, 1.0, 4.0, 1.0]))
    np.testing.assert_array_equal(joined[:, 7, 2, 1], alone[:, 4, 2, 1])
    np.testing.assert_array_equal(joined[:, 2, 5, 4], alone[:, 2, 3, 2])
    np.testing.assert_array_equal(joined[:, :5, :4, :3], alone[:, :5, :4, :3])


def test_nearest_is_meant_in_mm():
    mask = np.zeros((5, 6, 1), bool)
    mask[:4, 0] = mask[0, :5] = True  # an L; (3, 2) is 2 voxels from either arm: (3, 0) or, along i, (0, 2) at 3
    mask[3, 2] = True
    long_in_j = spectral_coordinates(mask, np.diag([1.0, 5.0, 1.0, 1.0]))
    np.testing.assert_array_equal(long_in_j[:, 3, 2], long_in_j[:, 0, 2])
    long_in_i = spectral_coordinates(mask, np.diag([5.0, 1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(long_in_i[:, 3, 2], long_in_i[:, 3, 0])


def test_one_voxel_is_the_origin_of_everything():
    mask = np.zeros((3, 4, 5), bool)
    mask[1, 2, 3] = True
    np.testing.assert_array_equal(brain_coordinates(mask, OBLIQUE), 0)


def test_three_voxels_in_a_row_have_two_eigenvectors():
    mask = np.zeros((3, 4, 5), bool)
    mask[1, :3, 2] = True
    channels = spectral_coordinates(mask, np.eye(4))[:, 1, :3, 2]
    np.testing.assert_allclose(channels[1], np.sqrt(1.5) * np.array([-1, 0, 1]), atol=1e-6)
    # the other one, even along y, belongs to no axis: it is large at the ends and stands in the last free channel
    np.testing.assert_allclose(channels[2], np.sqrt(0.5) * np.array([1, -2, 1]), atol=1e-6)
    np.testing.assert_array_equal(channels[0], 0)


def test_a_cube_has_cosines_along_the_world_axes_although_its_eigenvalues_coincide():
    mask = np.ones((6, 6, 6), bool)
    mode = np.sqrt(2) * np.cos(np.pi * (np.arange(6) + 0.5) / 6)
    expected = -np.stack(np.meshgrid(mode, mode, mode, indexing="ij"))
    np.testing.assert_allclose(spectral_coordinates(mask, np.eye(4)), expected, atol=1e-5)


def test_faulty_input_is_refused_by_name():
    with pytest.raises(ShapeError, match=r"mask of shape \(3, 4, 5\) is empty"):
        brain_coordinates(np.zeros((3, 4, 5), bool), np.eye(4))
    with pytest.raises(ShapeError, match=r"3D boolean array; got float64"):
        spectral_coordinates(np.ones((3, 4, 5)), np.eye(4))
    with pytest.raises(GridError, match=r"affine is singular"):
        cartesian_coordinates(np.ones((3, 4, 5), bool), np.diag([1.0, 0, 1, 1]))
