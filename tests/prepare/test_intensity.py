import numpy as np
import pytest

from neuronat.errors import UnusableInputError
from neuronat.prepare.intensity import normalize_intensity, rough_peaks, tissue_peaks
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


def test_the_source_is_left_as_it_was(rng):
    values, _ = drawn_tissue(rng)
    volume = Volume(values.reshape(30, 50, 20).copy(), AFFINE)
    normalize_intensity(volume, np.ones((30, 50, 20), bool))
    np.testing.assert_array_equal(volume.values, values.reshape(30, 50, 20))
