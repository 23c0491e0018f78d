import numpy as np
import pytest

from neuronat.errors import UnusableInputError
from neuronat.prepare.intensity import (
    count_from_darkest,
    normalize_intensity,
    rough_peaks,
    scale_brightness,
    tissue_peaks,
)
from neuronat.space.volume import Volume

AFFINE = np.diag([1.0, 1.0, 1.5, 1.0])


def drawn_tissue(rng, shares=(0.15, 0.45, 0.4), means=(200.0, 420.0, 610.0)):
    """Grey values of three tissues with noise, and which tissue each belongs to."""
    tissue = rng.choice(3, size=30_000, p=shares)
    return (np.array(means)[tissue] + rng.normal(0, 30, tissue.shape)).astype(np.float32), tissue


def test_the_peaks_are_the_means_of_grey_and_white_matter(rng):
    values, _ = drawn_tissue(rng)
    grey, white = tissue_peaks(values)
    # a tenth of the distance between the tissues
    np.testing.assert_allclose([grey, white], [420, 610], atol=19)


def test_much_fluid_moves_the_peaks_little(rng):
    values, _ = drawn_tissue(rng, shares=(0.3, 0.38, 0.32))
    np.testing.assert_allclose(tissue_peaks(values), [420, 610], atol=25)


def test_grey_matter_becomes_065_and_white_matter_1(rng):
    values, tissue = drawn_tissue(rng)
    volume = Volume(values.reshape(30, 50, 20), AFFINE)
    mask = np.ones((30, 50, 20), bool)
    mask[:2] = False
    normalized = normalize_intensity(volume, mask).values
    np.testing.assert_array_equal(normalized[:2], 0)
    inside = tissue.reshape(mask.shape)[mask]
    np.testing.assert_allclose(np.median(normalized[mask][inside == 1]), 0.65, atol=0.03)
    np.testing.assert_allclose(np.median(normalized[mask][inside == 2]), 1.0, atol=0.03)


@pytest.mark.parametrize(("factor", "constant"), [(0.01, 0.0), (3.0, -5000.0), (1.0, 1000.0)])
def test_a_constant_or_a_positive_factor_changes_nothing(rng, factor, constant):
    values, _ = drawn_tissue(rng)
    mask = np.ones((30, 50, 20), bool)
    one = normalize_intensity(Volume(values.reshape(mask.shape), AFFINE), mask)
    changed = (values.astype(np.float64) * factor + constant).astype(np.float32)
    other = normalize_intensity(Volume(changed.reshape(mask.shape), AFFINE), mask)
    # float32 keeps 7 digits, of which the constant 5000 costs two
    np.testing.assert_allclose(other.values, one.values, atol=2e-3)


def test_constant_values_are_refused():
    for peaks in (tissue_peaks, rough_peaks):
        with pytest.raises(UnusableInputError, match="are constant"):
            peaks(np.full(100, 7.0, np.float32))


def test_rough_peaks_differ_whatever_the_values():
    values = np.full(1000, 3.0, np.float32)
    values[:10] = 4.0
    grey, white = rough_peaks(values)
    assert grey == 3.0
    assert white == pytest.approx(3.02)
    values[:10] = 5.0
    assert rough_peaks(values) == (3.0, pytest.approx(3.04))  # a fiftieth of the range


def test_the_source_is_left_as_it_was(rng):
    values, _ = drawn_tissue(rng)
    volume = Volume(values.reshape(30, 50, 20).copy(), AFFINE)
    normalize_intensity(volume, np.ones((30, 50, 20), bool))
    np.testing.assert_array_equal(volume.values, values.reshape(30, 50, 20))


def test_the_brighter_half_of_the_brighter_half_becomes_one():
    # without air 211 voxels: beyond their mean of 30.8 are 111, beyond the mean of these, 57.7, the last 11
    values = np.repeat([-4, 0, 1, 50, 100, 400], [60, 29, 100, 100, 10, 1]).astype(np.float32).reshape(10, 5, 6)
    scaled = scale_brightness(values)
    assert scaled.dtype == np.float32
    mean = (10 * 100 + 400) / 11
    found = [scaled[values == level].mean() for level in (-4, 0, 1, 50, 100, 400)]
    np.testing.assert_allclose(found, [0, 0, 1 / mean, 50 / mean, 100 / mean, 2.55], rtol=1e-5)  # float32
    np.testing.assert_allclose(scale_brightness(3 * values), scaled, rtol=1e-5)


def test_a_scan_of_one_brightness_becomes_one_and_one_of_none_is_refused():
    np.testing.assert_array_equal(scale_brightness(np.full((2, 3, 4), 7, np.float32)), np.ones((2, 3, 4)))
    with pytest.raises(UnusableInputError, match="no voxel is brighter than 0; check the scan"):
        scale_brightness(np.full((2, 3, 4), -1, np.float32))


def test_the_air_of_a_head_becomes_zero_and_stays_so():
    head = np.zeros((10, 20, 30), np.float32)
    head[2:8, 4:16, 5:25] = np.linspace(100, 900, 20, dtype=np.float32)
    head[0, 0, :9] = -300  # a few that ring
    np.testing.assert_array_equal(count_from_darkest(head), head)
    np.testing.assert_allclose(count_from_darkest(head - 1024), head, atol=1e-4)  # float32
    scored = (head - head.mean()) / head.std()
    np.testing.assert_allclose(count_from_darkest(scored) * head.std(), head, atol=1e-3)  # of 900, float32
