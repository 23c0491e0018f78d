import numpy as np
import pytest

from neuronat.prepare.resample import is_diagonal, largest_share, resample

SHAPE = (7, 8, 9)


def mapping(steps, offsets) -> np.ndarray:
    matrix = np.diag([*steps, 1.0])
    matrix[:3, 3] = offsets
    return matrix


def test_the_same_grid_gives_the_same_values(rng):
    values = rng.normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(resample(values, np.eye(4), SHAPE), values)


@pytest.mark.parametrize("order", [1, 3])
def test_a_shift_by_whole_voxels_moves_values_and_repeats_the_border(rng, order):
    values = rng.normal(size=SHAPE).astype(np.float32)
    moved = resample(values, mapping([1, 1, 1], [2, 0, -1]), SHAPE, order=order)
    i, k = np.minimum(np.arange(7) + 2, 6), np.maximum(np.arange(9) - 1, 0)
    np.testing.assert_allclose(moved, values[i][:, :, k], atol=1e-5)


def test_linear_interpolation_is_the_weighted_mean_of_neighbours():
    values = np.zeros(SHAPE, np.float32)
    values[3, 4, 5] = 8
    moved = resample(values, mapping([0.5, 1, 1], [0, 0, 0.25]), (14, 8, 9))
    expected = np.zeros((14, 8, 9))
    for i, along_i in ((5, 0.5), (6, 1.0), (7, 0.5)):
        for k, along_k in ((4, 0.25), (5, 0.75)):
            expected[i, 4, k] = 8 * along_i * along_k
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_a_quarter_turn_is_a_transposition(rng):
    values = rng.normal(size=SHAPE).astype(np.float32)
    turn = np.array([[0, 1.0, 0, 0], [-1, 0, 0, 7], [0, 0, 1, 0], [0, 0, 0, 1]])
    expected = values.transpose(1, 0, 2)[::-1]
    np.testing.assert_allclose(resample(values, turn, (8, 7, 9)), expected, atol=1e-6)


def test_wider_voxels_average_a_gaussian_of_their_width():
    values = np.zeros((41, 5, 6), np.float32)
    values[20] = 1
    moved = resample(values, mapping([4, 1, 1], [0, 0, 0]), (11, 5, 6))[:, 2, 3]
    sigma = np.sqrt(4**2 - 1) / 2.3548
    weights = np.exp(-(((np.arange(41) - 20) / sigma) ** 2) / 2)
    np.testing.assert_allclose(moved, weights[::4] / weights.sum(), atol=1e-4)


def test_shares_decide_label_by_label_as_they_do_for_all_at_once(rng):
    labels = rng.choice([0, 2, 41, 53], (4, 5, 6)).repeat(3, 0).repeat(3, 1).repeat(2, 2).astype(np.uint8)
    turn = np.eye(4)
    turn[:2, :2] = np.array([[0.8, -0.6], [0.6, 0.8]]) * 0.7
    turn[:3, 3] = [3, -1, 0.5]
    for target_to_source in (mapping([0.7, 1.3, 0.5], [0.2, -0.4, 0.1]), turn):
        found = largest_share(labels, target_to_source, (11, 12, 13))
        shares = [
            resample((labels == label).astype(np.float32), target_to_source, (11, 12, 13)) for label in (0, 2, 41, 53)
        ]
        best = np.max(shares, axis=0)
        is_clear = (best - np.sort(shares, axis=0)[-2]) > 1e-4
        expected = np.array([0, 2, 41, 53])[np.argmax(shares, axis=0)]
        assert is_clear.mean() > 0.5
        np.testing.assert_array_equal(found[is_clear], expected[is_clear])


def test_a_tie_goes_to_the_smaller_label():
    labels = np.array([2, 2, 41, 41], np.int16).reshape(4, 1, 1).repeat(2, 1).repeat(3, 2)
    found = largest_share(labels, mapping([1, 1, 1], [0.5, 0, 0]), (3, 2, 3))
    np.testing.assert_array_equal(found[:, 0, 0], [2, 2, 41])


def test_grids_with_the_same_axes_are_diagonal():
    assert is_diagonal(np.diag([1.0, 2, 3]))
    assert not is_diagonal(np.array([[1, 1e-9, 0], [0, 1, 0], [0, 0, 1.0]]))
