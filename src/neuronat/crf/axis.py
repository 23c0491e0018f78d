"""One axis of the lattice: which cells a position falls between, and how far a Gaussian carries from cell to cell.

A position hands its value to the two cells around it (the nearer one takes more), the cells exchange values with
their neighbours by a short row of taps, and a position reads the two cells around it. The three steps together
make up a kernel, and the taps are chosen so that this kernel is as close to the Gaussian as it can be.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

__all__ = ["Axis", "flat_axis", "spatial_axis", "value_axis"]

VOXELS_PER_CELL = 2 / 3  # in reaches, rounded to whole voxels; finer is more exact and slower (decision 0005)
VALUES_PER_CELL = 3 / 4  # in reaches
TAIL = 3.0  # the taps end where the Gaussian falls to exp(-TAIL**2 / 2), one hundredth
PHASES = 8  # grey values are fitted at this many places between two cells


@dataclass(frozen=True, eq=False)
class Axis:
    """Cells (N,) int32 and shares (N,) float32 of N positions; the taps (R + 1,) float32 at distance 0 to R."""

    n_cells: int
    lower: NDArray[np.int32]
    upper_share: NDArray[np.float32]
    taps: NDArray[np.float32]

    def at(self, positions: NDArray[np.integer]) -> "Axis":
        """Return the axis for some of its positions, in any order."""
        return replace(self, lower=self.lower[positions], upper_share=self.upper_share[positions])

    @property
    def self_weight(self) -> NDArray[np.float32]:
        """(N,) float32: weight with which a position receives its own value back."""
        upper, lower = self.upper_share, 1 - self.upper_share
        beside = self.taps[1] if len(self.taps) > 1 else np.float32(0)
        weight: NDArray[np.float32] = self.taps[0] * (lower**2 + upper**2) + 2 * beside * lower * upper
        return weight


def spatial_axis(n_voxels: int, spacing_mm: float, *, reach_mm: float) -> Axis:
    """Lay cells over the voxels of one axis, symmetrically, a whole number of voxels apart.

    Parameters
    ----------
    n_voxels : int
        Extent of the axis.
    spacing_mm, reach_mm : float
        Distance of two voxels, and standard deviation of the Gaussian, in mm.

    Returns
    -------
    Axis
        N = n_voxels. Cells are voxels where the reach is short, and the kernel then is exact.

    Notes
    -----
    Source: ours. Symmetrical, so that a mirrored image has the mirrored result.

    Examples
    --------
    >>> axis = spatial_axis(5, 1.0, reach_mm=3.0)
    >>> axis.lower.tolist(), axis.upper_share.tolist()
    ([0, 0, 1, 1, 1], [0.0, 0.5, 0.0, 0.5, 1.0])
    """
    voxels_per_cell = max(1, round(VOXELS_PER_CELL * reach_mm / spacing_mm))
    n_cells = max(2, -(-(n_voxels - 1) // voxels_per_cell) + 1)
    offset = ((n_cells - 1) * voxels_per_cell - (n_voxels - 1)) / 2
    places = (np.arange(n_voxels) + offset) / voxels_per_cell
    phases = (np.arange(voxels_per_cell) + offset) / voxels_per_cell % 1
    taps = fit_taps(phases, reach_mm / spacing_mm / voxels_per_cell)
    return locate(places, n_cells, taps)


def value_axis(values: NDArray[np.float32], reach: float) -> Axis:
    """Lay cells over grey values (N,), `reach` being the standard deviation of the Gaussian.

    Parameters
    ----------
    values : (N,) float32
        Grey values, any unit.
    reach : float
        Standard deviation in the same unit.

    Returns
    -------
    Axis
        Cells three quarters of a reach apart. Values far outside the bulk (three reaches beyond 99.8 % of the
        values) are drawn in to that distance: to the bulk they are strangers either way.

    Notes
    -----
    Source: ours.
    """
    width = VALUES_PER_CELL * reach
    low, high = np.percentile(values, [0.1, 99.9]) if len(values) else (0.0, 0.0)
    low, high = max(low - 3 * reach, values.min(initial=high)), min(high + 3 * reach, values.max(initial=low))
    places = (np.clip(values.astype(np.float64), low, high) - low) / width
    taps = fit_taps((np.arange(PHASES) + 0.5) / PHASES, reach / width)
    return locate(places, int(np.ceil((high - low) / width + 1e-6)) + 1, taps)


def flat_axis(n_positions: int) -> Axis:
    """Return an axis on which all positions are the same."""
    zeros = np.zeros(n_positions)
    return Axis(1, zeros.astype(np.int32), zeros.astype(np.float32), np.ones(1, np.float32))


def locate(places: NDArray[np.float64], n_cells: int, taps: NDArray[np.float32]) -> Axis:
    """Split places, in cells from the first one, into the cell below and the share of the cell above."""
    lower = np.clip(np.floor(places), 0, n_cells - 2)
    return Axis(n_cells, lower.astype(np.int32), (places - lower).astype(np.float32), taps)


def fit_taps(phases: NDArray[np.float64], reach: float) -> NDArray[np.float32]:
    """Fit the taps to a Gaussian, non-negative least squares over all pairs of positions.

    Parameters
    ----------
    phases : (P,) float
        Where positions lie between two cells, in [0, 1).
    reach : float
        Standard deviation of the Gaussian, in cells.

    Returns
    -------
    (R + 1,) float32
        Weight at a distance of 0 to R cells, at least 0; R is a multiple of 3, as the compiled loops want it.

    Notes
    -----
    Source: ours. Linear shares on both sides widen a kernel by a third of a cell squared; the fit takes that off.
    """
    n_taps = int(np.ceil(TAIL * reach)) + 1
    here = np.asarray(phases)[:, None, None]
    cells_apart = np.arange(-n_taps - 1, n_taps + 2)
    there = cells_apart[None, :, None] + np.asarray(phases)
    wanted = np.exp(-((here - there) ** 2) / (2 * reach**2))
    weights = np.zeros((*wanted.shape, n_taps))
    for a in (0, 1):
        for b in (0, 1):
            share = np.abs(1 - a - here) * np.abs(1 - b - np.asarray(phases))
            distance = np.abs(cells_apart + b - a)
            for d in range(n_taps):
                weights[..., d] += share * (distance == d)[None, :, None]
    taps, _ = nnls(weights.reshape(-1, n_taps), wanted.ravel())
    return np.append(taps, np.zeros(-(n_taps - 1) % 3)).astype(np.float32)
