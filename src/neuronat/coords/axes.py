"""Give eigenvectors a sign, an order and, where eigenvalues coincide, a direction: those of the world axes."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["along_world_axes", "correlations"]

SAME_VALUE = 1e-5  # relative; eigenvectors this close in eigenvalue may be mixed freely
CLEAR = 0.05  # a correlation below this decides no sign
IN_ORDER = 1e-6  # prize for modes that keep their order, which decides ties


def correlations(vectors: NDArray[np.floating], xyz_mm: NDArray[np.floating]) -> NDArray[np.float64]:
    """Correlate eigenvectors with functions of the world position.

    Parameters
    ----------
    vectors : (N, M) float
        Eigenvectors with mean zero and unit root mean square.
    xyz_mm : (N, 3) float
        Positions, or other functions of the voxel, of any mean.

    Returns
    -------
    (M, 3) float64
        In [-1, 1]; zero for a function that is constant over the voxels.

    Notes
    -----
    Source: ours.
    """
    centred = xyz_mm - xyz_mm.mean(axis=0, dtype=np.float64)
    spread = np.sqrt((centred**2).mean(axis=0))
    negligible = spread <= 1e-5 * max(float(spread.max()), 1e-12)
    covariance = vectors.T.astype(np.float64) @ centred / len(vectors)
    return np.asarray(np.where(negligible, 0.0, covariance / np.where(negligible, 1.0, spread)))


def along_world_axes(
    values: NDArray[np.float64], vectors: NDArray[np.floating], xyz_mm: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Put the first three eigenvectors in the order of the world axes, and make them grow along their axis.

    Parameters
    ----------
    values : (M,) float64
        Eigenvalues in ascending order.
    vectors : (N, M) float
        Eigenvectors with mean zero and unit root mean square.
    xyz_mm : (N, 3) float
        World position of each voxel, mm, RAS+.

    Returns
    -------
    (N, 3) float
        The three eigenvectors of the smallest eigenvalues, that of the axis right first, then front, then up; a
        column is zero where fewer than three exist.

    Notes
    -----
    Source: ours (decision 0004).
    """
    vectors = untangle(values, vectors, xyz_mm)
    scores = correlations(vectors, xyz_mm)
    in_order = IN_ORDER * np.arange(len(scores))[:, None] * np.arange(3)
    modes, axes = linear_sum_assignment(scores**2 + in_order, maximize=True)
    ordered = np.zeros((len(vectors), 3), vectors.dtype)
    for mode, axis in zip(modes, axes, strict=True):
        score = scores[mode, axis]
        sign = np.sign(score) if abs(score) > CLEAR else sign_of(vectors[:, mode], int(axis), xyz_mm)
        ordered[:, axis] = vectors[:, mode] * vectors.dtype.type(sign)
    return ordered


def untangle(
    values: NDArray[np.float64], vectors: NDArray[np.floating], xyz_mm: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return three eigenvectors; those that share an eigenvalue are turned to lie along the world axes."""
    n_wanted = min(3, len(values))
    chosen = vectors[:, :n_wanted].copy()
    first = 0
    while first < n_wanted:
        last = first + 1
        while last < len(values) and values[last] - values[first] <= SAME_VALUE * values[last]:
            last += 1
        if last - first > 1:
            n_here = min(last, n_wanted) - first
            chosen[:, first : first + n_here] = turn_to_axes(vectors[:, first:last], xyz_mm, n_wanted=n_here)
        first = last
    return chosen


def turn_to_axes(vectors: NDArray[np.floating], xyz_mm: NDArray[np.floating], *, n_wanted: int) -> NDArray[np.floating]:
    """Choose `n_wanted` orthonormal vectors in the span of the columns, nearest to the axes best seen there."""
    projections = correlations(vectors, xyz_mm)
    clearest = np.sort(np.argsort(-np.round((projections**2).sum(axis=0), 3), kind="stable")[:n_wanted])
    left, _, right = np.linalg.svd(projections[:, clearest], full_matrices=False)
    turned: NDArray[np.floating] = vectors @ (left @ right).astype(vectors.dtype)
    return turned


def sign_of(vector: NDArray[np.floating], axis: int, xyz_mm: NDArray[np.floating]) -> float:
    """Return 1 or -1 for a vector that its own axis does not decide: it shall grow along the first that does."""
    own_first = np.roll(xyz_mm - xyz_mm.mean(axis=0), -axis, axis=1)
    for power in (1, 2, 3):
        for score in correlations(vector[:, None], own_first**power)[0]:
            if abs(score) > CLEAR:
                return float(np.sign(score))
    return 1.0 if vector[np.argmax(np.abs(vector))] >= 0 else -1.0
