"""Paired tests between methods, corrected for their number."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, rankdata, wilcoxon

from neuronat.errors import ConfigError
from neuronat.measure.compare import ALL_STRUCTURES, Comparison, mean_known

__all__ = ["CORRECTIONS", "PairedTest", "compare_methods", "correct_p_values"]

CORRECTIONS = ("holm", "benjamini-hochberg")
FEWEST_DIFFERENCES = 6  # with five, the smallest two-sided p is 2 / 2^5 = 0.0625: no data could be significant
MOST_EXACT = 50  # differences; beyond, the normal approximation is as good
DECIMALS = 9  # differences equal up to the rounding of the table are ties


@dataclass(frozen=True)
class PairedTest:
    """Wilcoxon's signed-rank test of the Dice of two methods (index None: of the scans' means).

    `difference` is the median over scans of first minus second; NaN, and a reason, where there is no value.
    """

    first: str
    second: str
    index: int | None
    name: str
    n_scans: int
    difference: float
    statistic: float
    p: float
    p_corrected: float
    reason: str = ""


def compare_methods(comparison: Comparison, *, correction: str = "holm") -> tuple[PairedTest, ...]:
    """Test whether the Dice coefficients of methods differ, pair by pair.

    Parameters
    ----------
    comparison : Comparison
        From `join_scores`.
    correction : str
        `holm` (family-wise error) or `benjamini-hochberg` (false discovery rate).

    Returns
    -------
    tuple of PairedTest
        First the tests over the scans' mean Dice, one per pair of methods, then those per structure. Each of the
        two groups is one family of the correction, over all pairs. Empty with a single method.

    Raises
    ------
    ConfigError
        If the correction is not known.

    Notes
    -----
    Source: [DEEPNAT] evaluation; [WILCOXON]. Ours: the scans' means are taken over the structures for which
    both methods have a value. Zero differences are dropped, as Wilcoxon did; below six that remain the test
    cannot become significant and is `n/a`. Exact up to 50 differences, ties or not; beyond that by the normal
    approximation with its correction for ties.
    """
    if correction not in CORRECTIONS:
        raise ConfigError(f"correction must be one of {', '.join(CORRECTIONS)}; got {correction!r}")
    overall, per_structure = [], []
    dice = comparison.values["dice"]
    for a, b in combinations(range(len(comparison.methods)), 2):
        pair = comparison.methods[a], comparison.methods[b]
        is_known = ~np.isnan(dice[a]) & ~np.isnan(dice[b])
        means = mean_known(np.where(is_known, dice[[a, b]], np.nan))
        overall.append((*pair, None, ALL_STRUCTURES, means[0] - means[1]))
        for column, (index, name) in enumerate(zip(comparison.indices, comparison.names, strict=True)):
            per_structure.append((*pair, index, name, dice[a, :, column] - dice[b, :, column]))
    return _tested(overall, correction) + _tested(per_structure, correction)


def correct_p_values(p: NDArray[np.float64], *, correction: str = "holm") -> NDArray[np.float64]:
    """Correct the p values of one family for their number.

    Parameters
    ----------
    p : (N,) float64
        In [0, 1]; NaN does not count as a test and stays.
    correction : str
        One of `CORRECTIONS`.

    Returns
    -------
    (N,) float64
        Corrected, in [0, 1], in the order given.

    Notes
    -----
    Source: [HOLM]; [BENJAMINI-HOCHBERG].

    Examples
    --------
    >>> correct_p_values(np.array([0.01, 0.04, np.nan, 0.03])).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    corrected = np.full(len(p), np.nan)
    is_test = ~np.isnan(p)
    if not is_test.any():
        return corrected
    tests = p[is_test]
    if correction == "benjamini-hochberg":
        corrected[is_test] = false_discovery_control(tests, method="bh")
        return corrected
    order = np.argsort(tests, kind="stable")
    stepped = np.maximum.accumulate(tests[order] * np.arange(len(tests), 0, -1))
    corrected[np.flatnonzero(is_test)[order]] = np.minimum(stepped, 1.0)
    return corrected


def _tested(
    family: Sequence[tuple[str, str, int | None, str, NDArray[np.float64]]], correction: str
) -> tuple[PairedTest, ...]:
    """Test the differences (S,) of each member of a family, then correct for their number."""
    found = [_signed_rank(member[4]) for member in family]
    corrected = correct_p_values(np.array([p for _, p, _ in found]), correction=correction).tolist()
    tests = []
    for (first, second, index, name, every), (statistic, p, reason), after in zip(
        family, found, corrected, strict=True
    ):
        known = every[~np.isnan(every)]
        difference = float(np.median(known)) if len(known) else np.nan
        tests.append(PairedTest(first, second, index, name, len(known), difference, statistic, p, after, reason))
    return tuple(tests)


def _signed_rank(differences: NDArray[np.float64]) -> tuple[float, float, str]:
    """Return Wilcoxon's statistic, the two-sided p, and why there is none."""
    rounded = np.round(differences[~np.isnan(differences)], DECIMALS)
    nonzero = rounded[rounded != 0]
    if not len(rounded):
        return np.nan, np.nan, "no common value"
    if not len(nonzero):
        return np.nan, np.nan, "no difference"
    if len(nonzero) < FEWEST_DIFFERENCES:
        return np.nan, np.nan, f"{len(nonzero)} scans differ; needs {FEWEST_DIFFERENCES}"
    ranks = rankdata(np.abs(nonzero))
    statistic = float(min(ranks[nonzero > 0].sum(), ranks[nonzero < 0].sum()))
    if len(nonzero) > MOST_EXACT:
        return statistic, float(wilcoxon(nonzero).pvalue), ""
    return statistic, _exact_p(ranks, statistic), ""


def _exact_p(ranks: NDArray[np.float64], statistic: float) -> float:
    """Probability that the smaller sum of ranks (N,) is at most `statistic`, if each sign is a coin toss.

    The distribution of the sum grows rank by rank. Ranks of ties are halves, so that sums are counted doubled.
    """
    doubled = np.rint(2 * ranks).astype(np.int64)
    probabilities = np.zeros(doubled.sum() + 1)
    probabilities[0] = 1.0
    for rank in doubled:
        probabilities = (probabilities + np.roll(probabilities, rank)) / 2
    return min(1.0, 2 * float(probabilities[: round(2 * statistic) + 1].sum()))
