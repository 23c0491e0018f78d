"""What holds for the CRF whatever the image: probabilities, symmetries, and weights of nothing."""

from collections.abc import Iterator
from itertools import permutations

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
from hypothesis import example, given, settings

from neuronat.crf.meanfield import CrfConfig, refine, refine_voxels

SHAPE, SPACING = (6, 7, 9), (1.0, 1.6, 0.7)
ROUNDING = 2e-5  # single precision, sums in another order, five iterations


@pytest.fixture(autouse=True, scope="module")
def single_thread() -> Iterator[None]:
    """Arrays are small: waiting for each other costs threads more than the work."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def some_volume(seed: int, n_classes: int = 4):
    """Probabilities (C, I, J, K), intensities and a mask of a random scan."""
    rng = np.random.default_rng(seed)
    probabilities = np.moveaxis(rng.dirichlet(np.full(n_classes, 0.6), SHAPE), -1, 0).astype(np.float32)
    intensities = rng.choice([0.25, 0.65, 1.0], SHAPE) + 0.05 * rng.standard_normal(SHAPE)
    return probabilities, intensities.astype(np.float32), rng.random(SHAPE) < 0.9


configs = st.builds(
    CrfConfig,
    appearance_weight=st.floats(0, 300),
    appearance_reach_mm=st.floats(0.6, 12),
    appearance_contrast=st.floats(0.03, 3),
    smoothness_weight=st.floats(0, 300),
    smoothness_reach_mm=st.floats(0.2, 8),
    iterations=st.integers(1, 6),
)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(1, 35), config=configs)
@example(seed=0, n_classes=3, config=CrfConfig(smoothness_weight=300.0))  # exp(300) is no float32
def test_probabilities_stay_probabilities(seed, n_classes, config):
    probabilities, intensities, mask = some_volume(seed, n_classes)
    refined = refine_voxels(np.ascontiguousarray(probabilities[:, mask].T), intensities[mask], mask, SPACING, config)
    assert refined.dtype == np.float32
    assert refined.min() >= 0
    np.testing.assert_allclose(refined.sum(1), 1, rtol=1e-5)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_weights_of_zero_return_the_input(seed):
    probabilities, intensities, mask = some_volume(seed)
    nothing = CrfConfig(appearance_weight=0.0, smoothness_weight=0.0)
    refined = refine(probabilities, intensities, mask, SPACING, nothing)
    np.testing.assert_allclose(refined, probabilities, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("axes", [p for p in permutations(range(3)) if p != (0, 1, 2)])
def test_axes_may_come_in_any_order(axes):
    probabilities, intensities, mask = some_volume(11)
    config = CrfConfig(appearance_reach_mm=3.0)
    wanted = refine(probabilities, intensities, mask, SPACING, config)
    turned = refine(
        probabilities.transpose(0, *(a + 1 for a in axes)),
        intensities.transpose(axes),
        mask.transpose(axes),
        (SPACING[axes[0]], SPACING[axes[1]], SPACING[axes[2]]),
        config,
    )
    np.testing.assert_allclose(turned, wanted.transpose(0, *(a + 1 for a in axes)), atol=ROUNDING)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_scan_has_the_mirrored_result(axis):
    probabilities, intensities, mask = some_volume(12)
    config = CrfConfig(appearance_reach_mm=3.0)
    wanted = refine(probabilities, intensities, mask, SPACING, config)
    flipped = np.flip(probabilities, axis + 1), np.flip(intensities, axis), np.flip(mask, axis)
    np.testing.assert_allclose(refine(*flipped, SPACING, config), np.flip(wanted, axis + 1), atol=ROUNDING)


def test_classes_may_come_in_any_order():
    probabilities, intensities, mask = some_volume(13, n_classes=21)
    order = np.random.default_rng(13).permutation(21)
    wanted = refine(probabilities, intensities, mask, SPACING, CrfConfig())
    shuffled = refine(probabilities[order], intensities, mask, SPACING, CrfConfig())
    np.testing.assert_allclose(shuffled, wanted[order], atol=ROUNDING)


def test_millimetres_count_and_not_voxels():
    probabilities, intensities, mask = some_volume(14)
    config = CrfConfig(appearance_reach_mm=4.0, smoothness_reach_mm=1.0)
    twice = CrfConfig(appearance_reach_mm=8.0, smoothness_reach_mm=2.0)
    wanted = refine(probabilities, intensities, mask, SPACING, config)
    larger = refine(probabilities, intensities, mask, (2.0, 3.2, 1.4), twice)
    np.testing.assert_allclose(larger, wanted, atol=ROUNDING)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_message_reaches_further_in_voxels_where_voxels_are_thin(axis):
    # one voxel is sure of class 1, all others are undecided: who hears it?
    shape, centre = (9, 11, 13), (4, 5, 6)
    probabilities = np.full((3, *shape), 1 / 3, np.float32)
    probabilities[:, *centre] = 0, 1, 0
    spacing = [3.0, 3.0, 3.0]
    spacing[axis] = 1.0
    config = CrfConfig(appearance_weight=0.0, smoothness_weight=3.0, smoothness_reach_mm=1.5, iterations=1)
    everywhere = np.ones(shape, bool)
    i_mm, j_mm, k_mm = spacing
    refined = refine(probabilities, np.ones(shape, np.float32), everywhere, (i_mm, j_mm, k_mm), config)
    gains = [refined[1, *(c + (a == other) for other, c in enumerate(centre))] - 1 / 3 for a in range(3)]
    others = [a for a in range(3) if a != axis]
    # one voxel away: exp(-1 / 4.5) = 0.80 along the thin axis, exp(-9 / 4.5) = 0.14 along the others
    assert gains[axis] > 4 * max(gains[a] for a in others)
    np.testing.assert_allclose(gains[others[0]], gains[others[1]], rtol=0.02)
    assert min(gains) > 0


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-2, 2))
def test_only_differences_of_grey_values_count(seed, shift):
    probabilities, intensities, mask = some_volume(seed)
    config = CrfConfig(appearance_reach_mm=3.0)
    wanted = refine(probabilities, intensities, mask, SPACING, config)
    shifted = refine(probabilities, (intensities + shift).astype(np.float32), mask, SPACING, config)
    np.testing.assert_allclose(shifted, wanted, atol=1e-3)  # the shift itself is rounded
