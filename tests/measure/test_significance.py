from itertools import product

import numpy as np
import pytest
from scipy.stats import wilcoxon

from neuronat.errors import ConfigError
from neuronat.measure.compare import Comparison
from neuronat.measure.significance import compare_methods, correct_p_values


def comparison(*dice):
    """One array (S, K) of Dice per method."""
    stacked = np.array(dice, np.float64)
    m, s, k = stacked.shape
    scans, indices = tuple(f"s{i}" for i in range(s)), tuple(range(1, k + 1))
    names = tuple(f"structure {i}" for i in indices)
    return Comparison(tuple("abcd"[:m]), scans, indices, names, {"dice": stacked}, ())


def exact_p(differences):
    """Two-sided p over all signs of the ranks, ranks of ties averaged."""
    sizes = np.round(np.abs(differences), 9)
    ranks = np.array([(sizes < x).sum() + ((sizes == x).sum() + 1) / 2 for x in sizes])
    found = abs(ranks[differences > 0].sum() - ranks.sum() / 2)
    sums = [abs(ranks[list(signs)].sum() - ranks.sum() / 2) for signs in product([False, True], repeat=len(ranks))]
    return np.mean(np.array(sums) >= found - 1e-9)


@pytest.mark.parametrize("n", [6, 9, 12])
@pytest.mark.parametrize("decimals", [1, 6])
def test_p_agrees_with_all_sign_flips_with_and_without_ties(n, decimals):
    rng = np.random.default_rng(n)
    first = np.round(rng.uniform(0.3, 0.9, (n, 1)), decimals)
    second = np.round(first + rng.choice([-0.2, -0.1, 0.1, 0.3], (n, 1)) * (1 if decimals == 1 else first), decimals)
    tests = compare_methods(comparison(first, second))
    np.testing.assert_allclose([t.p for t in tests], exact_p((first - second)[:, 0]), rtol=1e-9)
    assert [t.n_scans for t in tests] == [n, n]


@pytest.mark.parametrize("n", [20, 50, 51])
def test_p_of_many_scans_agrees_with_scipy(n):
    rng = np.random.default_rng(n)
    first = rng.uniform(0.3, 0.9, (n, 1))
    second = first + rng.normal(0.02, 0.05, (n, 1))
    test = compare_methods(comparison(first, second))[1]
    expected = wilcoxon(first[:, 0], second[:, 0], method="exact" if n <= 50 else "approx")
    np.testing.assert_allclose([test.statistic, test.p], [expected.statistic, expected.pvalue], rtol=1e-9)


def test_rounding_noise_makes_no_difference_and_breaks_no_tie():
    first = np.array([[0.1 + 0.2], [0.8], [0.7], [0.6], [0.9], [0.5], [0.4]])
    second = np.array([[0.3], [0.7], [0.6], [0.5], [0.8], [0.4], [0.3]])  # no difference, then 0.1 six times
    p = compare_methods(comparison(first, second))[1].p
    np.testing.assert_allclose(p, 2 / 2**6, rtol=1e-9)


def test_equal_methods_and_few_scans_have_no_p_but_a_reason():
    first = np.linspace(0.2, 0.8, 7)[:, None] * [1.0, 0.9, 0.8]
    second = first.copy()
    second[:5, 1] += 0.1
    second[:, 2] = np.nan
    tests = compare_methods(comparison(first, second))
    assert [t.reason for t in tests[1:]] == ["no difference", "5 scans differ; needs 6", "no common value"]
    np.testing.assert_array_equal([[t.p, t.p_corrected, t.statistic] for t in tests[1:]], np.full((3, 3), np.nan))
    np.testing.assert_allclose([t.difference for t in tests[1:]], [0.0, -0.1, np.nan])
    assert [t.n_scans for t in tests[1:]] == [7, 7, 0]


def test_scans_means_are_taken_over_common_structures():
    first = np.array([[0.2, 0.8], [0.4, np.nan]])
    second = np.array([[0.1, np.nan], [0.1, 0.9]])
    overall = compare_methods(comparison(first, second))[0]
    assert (overall.index, overall.name, overall.n_scans) == (None, "all structures", 2)
    np.testing.assert_allclose(overall.difference, 0.2)  # median of 0.1 and 0.3; structure 2 is never common


def test_each_pair_of_methods_is_tested_and_each_group_is_a_family():
    rng = np.random.default_rng(1)
    dice = rng.uniform(0.4, 0.9, (3, 10, 4))
    tests = compare_methods(comparison(*dice))
    assert [(t.first, t.second) for t in tests[:3]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert len(tests) == 3 + 3 * 4
    for family in (tests[:3], tests[3:]):
        smallest = min(family, key=lambda t: t.p)
        np.testing.assert_allclose(smallest.p_corrected, min(smallest.p * len(family), 1.0), rtol=1e-12)


def test_one_method_has_no_test():
    assert compare_methods(comparison(np.full((7, 2), 0.5))) == ()


def test_holm_is_computed_by_hand():
    # sorted: 0.005 * 5, 0.01 * 4, 0.03 * 3, 0.04 * 2 (raised to 0.09), 0.9 * 1
    corrected = correct_p_values(np.array([0.04, 0.01, np.nan, 0.9, 0.005, 0.03]))
    np.testing.assert_allclose(corrected, [0.09, 0.04, np.nan, 0.9, 0.025, 0.09], rtol=1e-12)
    np.testing.assert_array_equal(correct_p_values(np.array([0.6, 0.7])), [1.0, 1.0])


def test_benjamini_hochberg_is_computed_by_hand():
    # sorted: 0.01 * 4/1, 0.02 * 4/2, 0.03 * 4/3, 0.5; the first falls to the second's 0.04
    corrected = correct_p_values(np.array([0.5, 0.02, 0.01, 0.03, np.nan]), correction="benjamini-hochberg")
    np.testing.assert_allclose(corrected, [0.5, 0.04, 0.04, 0.04, np.nan], rtol=1e-12)


def test_no_test_needs_no_correction():
    np.testing.assert_array_equal(correct_p_values(np.full(3, np.nan)), np.full(3, np.nan))


def test_an_unknown_correction_is_refused():
    with pytest.raises(ConfigError, match=r"must be one of holm, benjamini-hochberg; got 'none'"):
        compare_methods(comparison(np.zeros((2, 1))), correction="none")
