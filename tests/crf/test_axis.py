"""Cells along one axis: where positions fall, and how close three steps come to a Gaussian."""

import numpy as np
import pytest

from neuronat.crf.axis import Axis, flat_axis, spatial_axis, value_axis


def kernel_of(axis: Axis) -> np.ndarray:
    """The weight from every position to every other one, written out as matrices: share, blur, share."""
    n = len(axis.lower)
    shares = np.zeros((n, axis.n_cells))
    shares[np.arange(n), axis.lower] = 1 - axis.upper_share
    shares[np.arange(n), np.minimum(axis.lower + 1, axis.n_cells - 1)] += axis.upper_share
    apart = np.abs(np.subtract.outer(np.arange(axis.n_cells), np.arange(axis.n_cells)))
    taps = np.append(axis.taps, 0)
    return shares @ taps[np.minimum(apart, len(axis.taps))] @ shares.T


def gaussian(places: np.ndarray, reach: float) -> np.ndarray:
    return np.exp(-(np.subtract.outer(places, places) ** 2) / (2 * reach**2))


def test_voxels_fall_between_cells_symmetrically():
    # seven voxels, cells three voxels apart: ends of the four cells stick out by 1.5 voxels on either side
    axis = spatial_axis(7, 2.0, reach_mm=9.0)
    assert axis.n_cells == 3
    np.testing.assert_array_equal(axis.lower, [0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(axis.upper_share, [0, 1 / 3, 2 / 3, 0, 1 / 3, 2 / 3, 1], atol=1e-7)
    odd = spatial_axis(6, 2.0, reach_mm=9.0)
    np.testing.assert_allclose(odd.lower + odd.upper_share, [1 / 6, 3 / 6, 5 / 6, 7 / 6, 9 / 6, 11 / 6], atol=1e-7)


@pytest.mark.parametrize(("spacing", "reach"), [(1.0, 1.0), (0.7, 0.9), (3.0, 3.0)])
def test_a_short_reach_has_a_cell_per_voxel_and_an_exact_kernel_as_far_as_three_reaches(spacing, reach):
    axis = spatial_axis(11, spacing, reach_mm=reach)
    np.testing.assert_array_equal(axis.lower + axis.upper_share, np.arange(11))
    places = spacing * np.arange(11)
    # what the taps leave out lies beyond three reaches, where a Gaussian is below exp(-4.5) = 0.011
    np.testing.assert_allclose(kernel_of(axis), gaussian(places, reach), atol=0.0112)
    near = np.abs(np.subtract.outer(places, places)) < 3 * reach
    np.testing.assert_allclose(kernel_of(axis)[near], gaussian(places, reach)[near], atol=1e-6)


@pytest.mark.parametrize("reach", [2.5, 3.0, 4.0, 5.0, 6.0, 9.0])
def test_a_long_reach_has_fewer_cells_and_a_kernel_close_to_the_gaussian(reach):
    axis = spatial_axis(40, 1.0, reach_mm=reach)
    assert axis.n_cells <= 22
    difference = kernel_of(axis) - gaussian(np.arange(40.0), reach)
    # measured: the largest is 0.084 (reach 4, at distance 0, which the messages leave out), the mean 0.018 of a peak
    assert np.abs(difference).max() < 0.09
    assert np.abs(difference).sum() < 0.04 * gaussian(np.arange(40.0), reach).sum()


def test_taps_are_never_negative_and_fall_with_distance():
    for reach in (1.0, 2.0, 3.0, 4.5, 8.0):
        taps = spatial_axis(30, 1.0, reach_mm=reach).taps
        assert len(taps) % 3 == 1
        assert taps.min() >= 0
        assert (np.diff(taps) <= 0).all()


def test_grey_values_have_a_kernel_close_to_the_gaussian(rng):
    values = rng.uniform(-0.2, 1.3, 200).astype(np.float32)
    axis = value_axis(values, 0.1)
    assert axis.n_cells == 21  # 1.5 wide, 0.075 a cell, and the two ends
    difference = kernel_of(axis) - gaussian(values.astype(np.float64), 0.1)
    assert np.abs(difference).max() < 0.11  # measured: 0.098
    assert np.abs(difference).sum() < 0.04 * gaussian(values.astype(np.float64), 0.1).sum()


def test_the_self_weight_is_the_kernel_s_diagonal(rng):
    for axis in (
        spatial_axis(17, 1.2, reach_mm=4.0),
        spatial_axis(9, 1.0, reach_mm=1.0),
        value_axis(rng.random(40, np.float32), 0.1),
    ):
        np.testing.assert_allclose(axis.self_weight, np.diag(kernel_of(axis)), atol=1e-6)


def test_grey_values_far_outside_the_bulk_are_drawn_in():
    values = np.append(np.tile(np.linspace(0, 1, 100, dtype=np.float32), 20), np.float32([1e6, -1e6]))
    axis = value_axis(values, 0.1)
    assert axis.n_cells == 23  # from -0.3 to 1.3, three contrasts beyond the bulk, 0.075 a cell
    # exp(-4.5) = 0.011, and the fit's error
    assert kernel_of(axis.at(np.array([99, 2000])))[0, 1] < 0.014
    assert kernel_of(axis.at(np.array([0, 2001])))[0, 1] < 0.014


def test_equal_grey_values_and_a_single_voxel_have_an_axis_too():
    for axis in (value_axis(np.full(5, 0.3, np.float32), 0.1), spatial_axis(1, 1.0, reach_mm=3.0), flat_axis(4)):
        same = kernel_of(axis)
        np.testing.assert_allclose(same, np.full(same.shape, same[0, 0]))
        assert 0.7 < same[0, 0] < 1.2
    assert len(value_axis(np.zeros(0, np.float32), 0.1).lower) == 0
