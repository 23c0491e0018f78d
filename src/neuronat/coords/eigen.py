"""The smoothest eigenvectors of a connected mask: solved on a coarse graph, refined on finer ones.

Tall arrays (N, M) are worked through in slices of rows that fit the processor's cache. The slices are also too
small for the linear algebra library to spread over threads, so that the result does not depend on their number.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh, splu

from neuronat.coords.hierarchy import coarsen, laplacian_of, voxel_graph
from neuronat.coords.laplace import assemble_laplacian

__all__ = ["smooth_eigenvectors"]

Eigenpairs = tuple[NDArray[np.float64], NDArray[np.floating]]

COARSEST_NODES = 6000  # so many unknowns are factorized in a fraction of a second
DENSE_NODES = 100
LARGE_NODES = 100_000  # from here on in single precision and with less effort
N_SOUGHT = 6  # more than the three wanted: the others take up the errors of the coarse solution
ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How far to refine: rounds of `steps`, until 1 - |cos| of a vector before and after is below `unchanged`.

    A step damps the errors whose eigenvalue of D^-1 L is in [`damped_from`, 2]; the coarser graph knows the others.
    """

    steps: int
    damped_from: float
    unchanged: float
    max_rounds: int


THOROUGH = Effort(steps=12, damped_from=0.01, unchanged=1e-6, max_rounds=30)
QUICK = Effort(steps=4, damped_from=0.1, unchanged=1e-4, max_rounds=8)


@dataclass(frozen=True, eq=False)
class Level:
    """One graph of N nodes: `walk` is D^-1 L (N, N), `degrees` (N, 1) is D, `masses` (N, 1)."""

    effort: Effort
    walk: sp.csr_array
    degrees: NDArray[np.floating]
    masses: NDArray[np.floating]


def smooth_eigenvectors(mask: NDArray[np.bool_]) -> Eigenpairs:
    """Find the non-constant eigenvectors of a connected mask's graph Laplacian with the smallest eigenvalues.

    Parameters
    ----------
    mask : (I, J, K) bool
        One connected component of N voxels.

    Returns
    -------
    (M,) float64, (N, M) float32 or float64
        Eigenvalues in ascending order and eigenvectors with unit root mean square. M is 6, or N - 1 if that is
        less; only the first three are refined to |cos| >= 0.9995.

    Notes
    -----
    Source: [DEEPNAT] brain coordinates. Ours: nested iteration (decision 0004).
    """
    laplacian = assemble_laplacian(mask)
    masses = np.ones(laplacian.shape[0])
    levels: list[Level] = []
    parents: list[NDArray[np.int32]] = []
    graph = voxel_graph(mask) if len(masses) > COARSEST_NODES else None
    while graph is not None and len(masses) > COARSEST_NODES:
        levels.append(make_level(laplacian, masses))
        graph, parent = coarsen(graph)
        parents.append(parent)
        laplacian, masses = laplacian_of(graph), graph.masses
    values, vectors = solve_coarsest(laplacian, masses)
    for level, parent in zip(levels[::-1], parents[::-1], strict=True):
        values, vectors = refine(level, values, vectors.astype(level.degrees.dtype)[parent])
    return values, vectors


def make_level(laplacian: sp.csr_array, masses: NDArray[np.float64]) -> Level:
    """Scale a Laplacian by its diagonal; a large one in single precision."""
    is_large = len(masses) > LARGE_NODES
    precision = np.dtype(np.float32 if is_large else np.float64)
    degrees = laplacian.diagonal().astype(precision)
    walk = laplacian.astype(precision)
    walk.data /= np.repeat(degrees, np.diff(walk.indptr))
    return Level(QUICK if is_large else THOROUGH, walk, degrees[:, None], masses.astype(precision)[:, None])


def solve_coarsest(laplacian: sp.csr_array, masses: NDArray[np.float64]) -> Eigenpairs:
    """Solve L u = value m u for the smallest values but zero, by shift and invert or, if small, densely."""
    n = len(masses)
    scale = 1 / np.sqrt(masses)
    symmetric = sp.csc_array(sp.diags_array(scale) @ laplacian @ sp.diags_array(scale))
    if n <= DENSE_NODES:
        values, vectors = np.linalg.eigh(symmetric.toarray())
    else:
        shift = 0.1 / n**2  # below any eigenvalue but zero: the smallest is that of a chain, about 10 / n^2
        shifted = sp.csc_array(symmetric + shift * sp.eye_array(n))
        solve = splu(shifted, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
        inverse = LinearOperator((n, n), solve, dtype=np.float64)
        start = np.arange(1, n + 1) * 0.6180339887 % 1 - 0.5
        values, vectors = eigsh(symmetric, N_SOUGHT + 1, sigma=-shift, OPinv=inverse, v0=start, tol=1e-9)
    wanted = np.argsort(values)[1 : N_SOUGHT + 1]  # without the constant
    vectors = scale[:, None] * vectors[:, wanted]
    return values[wanted], vectors * np.sqrt(masses.sum() / (masses @ vectors**2))


def refine(level: Level, values: NDArray[np.float64], vectors: NDArray[np.floating]) -> Eigenpairs:
    """Smooth and project in turn until the first three eigenvectors stand."""
    for _ in range(level.effort.max_rounds):
        before = vectors[:, :3]
        values, vectors = project(level, smooth(level, values, vectors))
        overlaps = np.diag(products(before, vectors[:, :3], level.masses)) / level.masses.sum(dtype=np.float64)
        if (1 - np.abs(overlaps)).max() < level.effort.unchanged:
            break
    return values, vectors


def project(level: Level, vectors: NDArray[np.floating]) -> Eigenpairs:
    """Find the best eigenvectors in the span of the columns, less constants (Rayleigh-Ritz)."""
    total = level.masses.sum(dtype=np.float64)
    ones = np.ones((len(vectors), 1), vectors.dtype)
    means = products(ones, vectors, level.masses) / total
    mass_products = products(vectors, vectors, level.masses) - means.T @ means * total
    stiffness = products(vectors, level.walk @ vectors, level.degrees)
    values, mixture = scipy.linalg.eigh((stiffness + stiffness.T) / 2, mass_products)
    mixture *= np.sqrt(total)
    shift = (means @ mixture).astype(vectors.dtype)
    mixture = mixture.astype(vectors.dtype)
    mixed = np.empty_like(vectors)
    for rows in slices(len(vectors)):
        mixed[rows] = vectors[rows] @ mixture - shift
    return values, mixed


def smooth(level: Level, values: NDArray[np.float64], vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Take the rough part of the error away: Chebyshev iteration on the residual of L u = value m u.

    Notes
    -----
    Source: [SAAD] algorithm 12.1, with Jacobi scaling.
    """
    centre, radius = (2 + level.effort.damped_from) / 2, (2 - level.effort.damped_from) / 2
    pull = level.masses / level.degrees
    values = values.astype(vectors.dtype)
    smoothed = vectors.copy()
    step = np.zeros_like(vectors)
    keep, gain, ratio = 0.0, 1 / centre, radius / centre
    for _ in range(level.effort.steps):
        walked = level.walk @ smoothed
        for rows in slices(len(vectors)):
            step[rows] *= keep
            step[rows] -= gain * (walked[rows] - pull[rows] * smoothed[rows] * values)
            smoothed[rows] += step[rows]
        next_ratio = 1 / (2 * centre / radius - ratio)
        keep, gain, ratio = next_ratio * ratio, 2 * next_ratio / radius, next_ratio
    return smoothed


def products(
    left: NDArray[np.floating], right: NDArray[np.floating], weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the inner products of the columns, each row weighted: left^T diag(weights) right."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for rows in slices(len(left)):
        total += left[rows].T @ (weights[rows] * right[rows])
    return total


def slices(n_rows: int) -> Iterator[slice]:
    """Cut rows into slices of at most ROWS."""
    return (slice(start, start + ROWS) for start in range(0, n_rows, ROWS))
