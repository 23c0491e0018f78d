"""The mean field against a dense one, and what a refinement is for."""

from dataclasses import replace

import numpy as np
import pytest

from neuronat.crf.meanfield import CrfConfig, refine, refine_voxels
from neuronat.errors import ConfigError, ShapeError, UnusableInputError

SPACING = (1.0, 1.4, 0.8)
SMOOTHNESS_ALONE = CrfConfig(appearance_weight=0.0, smoothness_weight=2.0)


def dense_mean_field(probabilities, intensities, places, config) -> np.ndarray:
    """Do the same with full matrices, in double precision; places (N, 3) in mm."""
    squares = ((places[:, None] - places[None]) ** 2).sum(-1)
    unlike = np.subtract.outer(intensities.astype(np.float64), intensities) ** 2
    appearance = np.exp(-squares / (2 * config.appearance_reach_mm**2) - unlike / (2 * config.appearance_contrast**2))
    smoothness = np.exp(-squares / (2 * config.smoothness_reach_mm**2))
    total = np.zeros_like(squares)
    for weight, kernel in ((config.appearance_weight, appearance), (config.smoothness_weight, smoothness)):
        root = np.sqrt(kernel.sum(1))
        total += weight * kernel / np.outer(root, root)
    np.fill_diagonal(total, 0)
    refined = probabilities.astype(np.float64)
    for _ in range(config.iterations):
        raised = probabilities * np.exp(total @ refined)
        refined = raised / raised.sum(1, keepdims=True)
    return refined


def some_scan(rng: np.random.Generator, n_classes: int = 5, shape=(6, 7, 8)):
    """A mask with holes; probabilities (N, C) and intensities (N,) of its voxels."""
    mask = rng.random(shape) < 0.85
    n = int(mask.sum())
    intensities = rng.choice([0.25, 0.65, 1.0], n) + 0.04 * rng.standard_normal(n)
    return rng.dirichlet(np.ones(n_classes), n).astype(np.float32), intensities.astype(np.float32), mask


def two_regions(rng: np.random.Generator, slope: float):
    """A bright and a dark half with a slanted border; the probabilities are right more often than not.

    Returns the truth (I, J, K), the probabilities (3, I, J, K) of dark, bright and something else, the intensities.
    """
    shape = (18, 14, 12)
    i, j, _ = np.indices(shape)
    truth = (i + slope * j > 9 + slope * 7).astype(int)
    scores = rng.standard_normal((3, *shape)) + 1.2 * np.stack([truth == 0, truth == 1, truth == 2])
    probabilities = np.exp(scores) / np.exp(scores).sum(0)
    intensities = np.where(truth == 1, 1.0, 0.65) + 0.03 * rng.standard_normal(shape)
    return truth, probabilities.astype(np.float32), intensities.astype(np.float32)


def error_rate(probabilities: np.ndarray, truth: np.ndarray) -> float:
    return float((probabilities.argmax(0) != truth).mean())


@pytest.mark.parametrize(
    "config",
    [
        CrfConfig(),
        CrfConfig(appearance_reach_mm=3.0, appearance_contrast=0.2, iterations=10),
        CrfConfig(appearance_weight=8.0, appearance_reach_mm=6.0, smoothness_weight=0.0),
    ],
)
def test_it_agrees_with_the_dense_mean_field(rng, config):
    probabilities, intensities, mask = some_scan(rng)
    refined = refine_voxels(probabilities, intensities, mask, SPACING, config)
    dense = dense_mean_field(probabilities, intensities, np.argwhere(mask) * np.array(SPACING), config)
    # The filter's kernel is off by a few hundredths (test_lattice), which the messages average out.
    # Measured over these three: 0.021 at worst and 0.006 in root mean square, where the field itself moves
    # probabilities by up to 0.18, 0.24 and 0.59; a strong field repeats its errors.
    np.testing.assert_allclose(refined, dense, atol=0.025)
    assert np.sqrt(((refined - dense) ** 2).mean()) < 0.007
    assert np.abs(dense - probabilities).max() > 0.15
    assert (refined.argmax(1) != dense.argmax(1)).mean() < 0.02


def test_smoothness_alone_agrees_with_the_dense_mean_field_but_for_the_kernel_s_tail(rng):
    probabilities, intensities, mask = some_scan(rng, n_classes=19)
    refined = refine_voxels(probabilities, intensities, mask, SPACING, SMOOTHNESS_ALONE)
    dense = dense_mean_field(probabilities, intensities, np.argwhere(mask) * np.array(SPACING), SMOOTHNESS_ALONE)
    np.testing.assert_allclose(refined, dense, atol=3e-4)  # beyond three reaches a kernel is below 0.011


def test_a_volume_is_refined_inside_its_mask_and_kept_outside(rng):
    probabilities, intensities, mask = some_scan(rng)
    volume = rng.random((5, *mask.shape), np.float32)
    volume[:, mask] = probabilities.T
    values = np.full(mask.shape, np.nan, np.float32)
    values[mask] = intensities
    before = volume.copy()
    refined = refine(volume, values, mask, SPACING, CrfConfig())
    np.testing.assert_array_equal(volume, before)
    np.testing.assert_array_equal(refined[:, ~mask], before[:, ~mask])
    wanted = refine_voxels(probabilities, intensities, mask, SPACING, CrfConfig())
    np.testing.assert_array_equal(refined[:, mask], wanted.T)


def test_noise_goes_and_the_border_stays_where_the_image_has_its_edge(rng):
    truth, probabilities, intensities = two_regions(rng, slope=0.5)
    refined = refine(probabilities, intensities, np.ones(truth.shape, bool), (1.0, 1.0, 1.0), CrfConfig())
    at_border = np.abs(np.gradient(truth.astype(float))).sum(0) > 0
    assert error_rate(probabilities, truth) > 0.2
    assert error_rate(refined, truth) < 0.01
    assert error_rate(refined[:, at_border], truth[at_border]) < 0.02


def test_without_an_edge_the_appearance_kernel_cannot_know_the_border(rng):
    truth, probabilities, intensities = two_regions(rng, slope=0.5)
    flat = np.full_like(intensities, 0.8)
    config = CrfConfig(appearance_weight=6.0)
    refined = refine(probabilities, flat, np.ones(truth.shape, bool), (1.0, 1.0, 1.0), config)
    at_border = np.abs(np.gradient(truth.astype(float))).sum(0) > 0
    assert error_rate(refined[:, at_border], truth[at_border]) > 0.05


def test_a_class_of_probability_zero_keeps_it_and_a_row_of_zeros_stays(rng):
    probabilities, intensities, mask = some_scan(rng)
    probabilities[:, 2] = 0
    probabilities[7] = 0
    refined = refine_voxels(probabilities, intensities, mask, SPACING, CrfConfig(appearance_weight=50.0))
    np.testing.assert_array_equal(refined[:, 2], 0)
    np.testing.assert_array_equal(refined[7], 0)
    np.testing.assert_allclose(np.delete(refined, 7, 0).sum(1), 1, rtol=1e-5)


def test_progress_counts_the_iterations(rng):
    probabilities, intensities, mask = some_scan(rng, shape=(3, 4, 5))
    seen = []
    config = CrfConfig(iterations=3)
    refine_voxels(probabilities, intensities, mask, SPACING, config, lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_mask_of_one_voxel_or_of_none_changes_nothing():
    one = np.zeros((3, 4, 5), bool)
    one[1, 2, 3] = True
    row = np.array([[0.2, 0.3, 0.5]], np.float32)
    values = np.array([0.7], np.float32)
    np.testing.assert_allclose(refine_voxels(row, values, one, SPACING, CrfConfig()), row, atol=1e-6)
    none = refine_voxels(row[:0], values[:0], np.zeros((3, 4, 5), bool), SPACING, CrfConfig())
    assert none.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"appearance_weight": -1.0}, r"CrfConfig.appearance_weight must be a number at least 0; got -1.0"),
        ({"smoothness_weight": float("nan")}, r"smoothness_weight must be a number at least 0; got nan"),
        ({"appearance_reach_mm": 0.0}, r"appearance_reach_mm must be a number above 0; got 0.0"),
        ({"appearance_contrast": 0}, r"appearance_contrast must be a number above 0; got 0"),
        ({"smoothness_reach_mm": float("inf")}, r"smoothness_reach_mm must be a number above 0; got inf"),
        ({"iterations": 0}, r"iterations must be a number above 0; got 0"),
        ({"iterations": 2.5}, r"iterations must be a whole number; got 2.5"),
        ({"iterations": True}, r"iterations must be a number above 0; got True"),
        ({"appearance_weight": "strong"}, r"appearance_weight must be a number at least 0; got 'strong'"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(CrfConfig(), **change)


def test_misfits_name_both_shapes(rng):
    probabilities, intensities, mask = some_scan(rng)
    n = len(intensities)
    with pytest.raises(ShapeError, match=rf"mask of {n} voxels needs .*got \({n - 1}, 5\) and \({n},\)"):
        refine_voxels(probabilities[1:], intensities, mask, SPACING, CrfConfig())
    with pytest.raises(ShapeError, match=r"3D array of bool; got uint8 \(6, 7, 8\)"):
        refine_voxels(probabilities, intensities, mask.astype(np.uint8), SPACING, CrfConfig())
    volume = np.zeros((5, 6, 7, 8), np.float32)
    with pytest.raises(ShapeError, match=r"\(5, 6, 7, 8\) must be .* intensities \(6, 7\) .* mask \(6, 7, 8\)"):
        refine(volume, volume[0, :, :, 0], mask, SPACING, CrfConfig())


def test_values_that_cannot_be_used_are_refused(rng):
    probabilities, intensities, mask = some_scan(rng)
    holed, beyond = intensities.copy(), probabilities.copy()
    holed[3], beyond[3, 1] = np.nan, np.nan
    with pytest.raises(UnusableInputError, match="intensities hold NaN or infinity"):
        refine_voxels(probabilities, holed, mask, SPACING, CrfConfig())
    with pytest.raises(UnusableInputError, match=r"lie in \[0, 1\]; they go from nan"):
        refine_voxels(beyond, intensities, mask, SPACING, CrfConfig())
    with pytest.raises(UnusableInputError, match=r"lie in \[0, 1\]; they go from -"):
        refine_voxels(np.log(probabilities), intensities, mask, SPACING, CrfConfig())
    with pytest.raises(UnusableInputError, match=r"spacing must be three numbers of mm above 0; got \(1.0, 0.0, 2.0\)"):
        refine_voxels(probabilities, intensities, mask, (1.0, 0.0, 2.0), CrfConfig())
