import numpy as np

from neuronat.cohort.outliers import TOTAL, find_outliers, robust_distances
from neuronat.cohort.tables import VolumeTable


def table(volumes: np.ndarray) -> VolumeTable:
    names = [f"s{number}" for number in range(len(volumes))]
    return VolumeTable("p", names, ["White", "Grey", "Fluid"][: volumes.shape[1]], volumes)


def cohort(rng: np.random.Generator, n: int = 40) -> np.ndarray:
    """Shares of 50, 40 and 10 % with 5 % of spread, in heads that differ by 10 %."""
    volumes = np.array([500.0, 400.0, 100.0]) * np.exp(0.05 * rng.standard_normal((n, 3)))
    return volumes * np.exp(0.1 * rng.standard_normal((n, 1)))


def test_a_structure_that_is_twice_as_large_is_named_with_its_scan(rng):
    volumes = cohort(rng)
    volumes[7, 2] *= 2
    found = find_outliers(table(volumes))
    assert "Fluid" in found["s7"]
    assert set(found) == {"s7"}


def test_a_head_of_half_the_size_is_unusual_in_its_sum_alone(rng):
    volumes = cohort(rng)
    volumes[3] *= 0.5
    assert find_outliers(table(volumes)) == {"s3": (TOTAL,)}


def test_missing_volumes_and_few_scans_are_no_outliers(rng):
    volumes = cohort(rng)
    volumes[5, 1] = np.nan
    assert "Grey" not in find_outliers(table(volumes)).get("s5", ())
    extreme = cohort(rng, 9)
    extreme[0] *= 100
    assert find_outliers(table(extreme)) == {}


def test_equal_numbers_have_no_distance():
    np.testing.assert_array_equal(robust_distances(np.array([[1.0], [1.0], [1.0], [5.0], [np.inf]])), np.zeros((5, 1)))
