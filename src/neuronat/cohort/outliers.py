"""Scans whose volumes are unlike those of the others.

Compared is each structure's share of all that was labelled, so that a large head is no outlier in everything,
and the sum itself. The distance is counted in robust standard deviations, on a logarithmic scale, where halving
and doubling are equally far.
"""

import numpy as np
from numpy.typing import NDArray

from neuronat.cohort.tables import VolumeTable

__all__ = ["FEWEST", "TOTAL", "find_outliers", "robust_distances"]

FEWEST = 10  # scans; with fewer nobody is unlike the others
FAR = 3.5
PER_DEVIATION = 1.4826  # standard deviations of a normal distribution per median absolute deviation
TOTAL = "all structures"


def find_outliers(table: VolumeTable) -> dict[str, tuple[str, ...]]:
    """Name the structures whose volume is far from that of the other scans.

    Parameters
    ----------
    table : VolumeTable
        Volumes of one protocol.

    Returns
    -------
    dict of str to tuple of str
        By scan, structures that are more than 3.5 robust standard deviations from the median; scans without
        any are left out. Empty for fewer than ten scans.

    Notes
    -----
    Source: ours; decision 0023.
    """
    if len(table.scans) < FEWEST:
        return {}
    totals = np.nansum(table.volumes_mm3, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        measures = np.log(np.hstack([table.volumes_mm3 / totals, totals]))
    far = np.abs(robust_distances(measures)) > FAR
    names = np.array([*table.structures, TOTAL])
    return {scan: tuple(names[line].tolist()) for scan, line in zip(table.scans, far, strict=True) if line.any()}


def robust_distances(measures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many robust standard deviations each of (N, S) numbers is from its column's median.

    Notes
    -----
    Source: ours; the median absolute deviation, scaled to that of a normal distribution. Numbers that are not
    finite, and columns of equal numbers, have the distance 0.

    Examples
    --------
    >>> robust_distances(np.array([[1.0], [2.0], [3.0], [4.0], [100.0]])).round(2).ravel().tolist()
    [-1.35, -0.67, 0.0, 0.67, 65.43]
    """
    known = np.where(np.isfinite(measures), measures, np.nan)
    distances = np.zeros_like(known)
    for column in range(known.shape[1]):
        values = known[:, column]
        finite = values[~np.isnan(values)]
        if len(finite):
            middle = np.median(finite)
            deviation = PER_DEVIATION * np.median(np.abs(finite - middle))
            if deviation > 0:
                distances[:, column] = np.nan_to_num((values - middle) / deviation)
    return distances
