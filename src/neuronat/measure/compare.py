"""Compare methods by their scores on the same scans: what is common, and its summary.

A **comparison** holds what all methods scored: the scans and structures common to their tables, as arrays with
one axis for the methods, one for the scans and one for the structures. A scan's mean Dice is the mean over its
structures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import UnusableInputError
from neuronat.measure.scores import StructureScore

__all__ = ["ALL_STRUCTURES", "METRICS", "Comparison", "Summary", "join_scores", "mean_known", "summarize"]

METRICS = ("dice", "hd95_mm", "asd_mm")
ALL_STRUCTURES = "all structures"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Common scans and structures of M methods; `values[metric]` is (M, S, K) float64, NaN for `n/a`."""

    methods: tuple[str, ...]
    scans: tuple[str, ...]
    indices: tuple[int, ...]
    names: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """One method, structure (index None: all of them) and metric, over scans; NaN where there is no value."""

    method: str
    index: int | None
    name: str
    metric: str
    n_scans: int
    n_without: int
    mean: float
    median: float
    standard_error: float


def join_scores(tables: Mapping[str, Sequence[StructureScore]]) -> Comparison:
    """Pair the scores of methods by scan and structure.

    Parameters
    ----------
    tables : mapping of str to scores
        Rows by method.

    Returns
    -------
    Comparison
        Scans sorted, structures in the order of the first table. `left_out` says in words what is not common.

    Raises
    ------
    UnusableInputError
        If no scan, or no structure, is common to all tables.

    Notes
    -----
    Source: ours. A structure is its index and its name: two protocols may use one number for different things.
    """
    methods = tuple(tables)
    scans_of = {m: {score.scan for score in tables[m]} for m in methods}
    structures_of = {m: {(s.index, s.name): None for s in tables[m]} for m in methods}
    scans = sorted(set.intersection(*scans_of.values()))
    common = [s for s in structures_of[methods[0]] if all(s in structures_of[m] for m in methods)]
    for what, found in (("scan", scans), ("structure", common)):
        if not found:
            raise UnusableInputError(
                f"{', '.join(methods)} have no {what} in common; compare tables of the same scans and protocol"
            )
    row_of = {scan: row for row, scan in enumerate(scans)}
    column_of = {structure: column for column, structure in enumerate(common)}
    values = {metric: np.full((len(methods), len(scans), len(common)), np.nan) for metric in METRICS}
    for position, method in enumerate(methods):
        for score in tables[method]:
            place = row_of.get(score.scan), column_of.get((score.index, score.name))
            if place[0] is not None and place[1] is not None:
                for metric in METRICS:
                    values[metric][position, place[0], place[1]] = getattr(score, metric)
    left_out = _left_out(scans_of, set(scans), "scans") + _left_out(structures_of, set(common), "structures")
    indices, names = zip(*common, strict=True)
    return Comparison(methods, tuple(scans), indices, names, values, left_out)


def summarize(comparison: Comparison) -> tuple[Summary, ...]:
    """Summarize each method: mean, median and standard error over scans, per structure and over all.

    Parameters
    ----------
    comparison : Comparison
        From `join_scores`.

    Returns
    -------
    tuple of Summary
        By metric, structure and method; the first structure is "all structures", over the scans' means.

    Notes
    -----
    Source: [DEEPNAT] evaluation. standard error = standard deviation (n - 1) / sqrt(n), NaN for a single scan.
    """
    rows = []
    structures = [(None, ALL_STRUCTURES), *zip(comparison.indices, comparison.names, strict=True)]
    for metric in METRICS:
        values = comparison.values[metric]
        columns = np.concatenate([mean_known(values)[:, :, None], values], axis=2)
        for column, (index, name) in enumerate(structures):
            for position, method in enumerate(comparison.methods):
                every = columns[position, :, column]
                known = every[~np.isnan(every)]
                n = len(known)
                mean, median = (known.mean(), np.median(known)) if n else (np.nan, np.nan)
                error = known.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
                moments = (float(mean), float(median), float(error))
                rows.append(Summary(method, index, name, metric, n, len(every) - n, *moments))
    return tuple(rows)


def mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is left."""
    is_known = ~np.isnan(values)
    n_known = is_known.sum(axis=-1)
    total = np.where(is_known, values, 0.0).sum(axis=-1)
    means = np.full(total.shape, np.nan)
    np.divide(total, n_known, out=means, where=n_known > 0)
    return means


def _left_out(
    found: Mapping[str, set[str] | dict[tuple[int, str], None]], common: set[object], what: str
) -> tuple[str, ...]:
    """Say for each method how many scans or structures the others lack."""
    lines = []
    for method, own in found.items():
        beyond = sorted(str(one) for one in own if one not in common)
        if beyond:
            shown = ", ".join(beyond[:5]) + (", ..." if len(beyond) > 5 else "")
            lines.append(f"{method}: {len(beyond)} {what} without a partner in every table left out ({shown})")
    return tuple(lines)
