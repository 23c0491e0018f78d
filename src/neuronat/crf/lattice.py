"""Gaussian filter over position, or over position and grey value together, linear in the number of voxels.

Voxels *splat* their values onto the cells around them (three axes of space, one of grey values), the cells are
*blurred* along each axis, and voxels *slice* the result from the cells around them. Where a reach is so short that
cells are voxels, splat and slice are the identity, and what remains is a plain separable Gaussian.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuronat.crf.axis import Axis, flat_axis, spatial_axis, value_axis
from neuronat.crf.loops import LANES, Cells, blur, slice_cells, splat
from neuronat.errors import UnusableInputError

__all__ = ["Lattice", "add_filtered", "build_lattice", "workspace"]

SLAB_BYTES = 2**30  # a larger lattice is worked through in slabs of this size, or of the least that goes
MOST_BYTES = 3 * 2**29


@dataclass(frozen=True, eq=False)
class Lattice:
    """The lattice around N voxels: its cells per axis, where the voxels lie, and the taps of the blur.

    self_weight (N,) float32 is the weight with which a voxel receives its own value back, 1 for a true Gaussian.
    """

    shape: tuple[int, int, int, int]
    cells: Cells
    taps: tuple[NDArray[np.float32], ...]
    self_weight: NDArray[np.float32]

    @property
    def planes_per_slab(self) -> int:
        """How many planes of the first axis are held in memory at once."""
        affordable = SLAB_BYTES // self.bytes_per_plane
        return min(self.shape[0], max(affordable, 2 * len(self.taps[0]) + 4))

    @property
    def bytes_per_plane(self) -> int:
        """Memory of one plane of cells, each with a row of float32."""
        return int(self.cells.steps[0]) * LANES * 4


def build_lattice(
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    reach_mm: float,
    intensities: NDArray[np.float32] | None = None,
    contrast: float = 1.0,
) -> Lattice:
    """Build the lattice of a Gaussian kernel over the voxels of a mask.

    Parameters
    ----------
    mask : (I, J, K) bool
        The N voxels that take part.
    spacing_mm : (3,) float
        Distance of neighbouring voxels along each axis, in mm.
    reach_mm : float
        Standard deviation in space, in mm.
    intensities : (N,) float32, optional
        Grey values of the voxels, in the order of `mask.nonzero()`; without them the kernel is one of space alone.
    contrast : float
        Standard deviation in grey values.

    Returns
    -------
    Lattice
        To be filtered with, any number of times.

    Raises
    ------
    UnusableInputError
        If the lattice needs too much memory, as with grey values that span a thousand contrasts.

    Notes
    -----
    Source: [DENSECRF] section 3.2 (messages as a filter), [BILATERALGRID] (boxes over space and grey value).
    Ours: the taps are fitted, and it stands in for the permutohedral lattice (decision 0005).
    """
    voxels = np.nonzero(mask)
    lows = [int(along.min(initial=n)) for along, n in zip(voxels, mask.shape, strict=True)]
    places = [along - low for along, low in zip(voxels, lows, strict=True)]
    extents = [int(along.max(initial=0)) + 1 for along in places]
    axes = [spatial_axis(n, s, reach_mm=reach_mm).at(p) for n, s, p in zip(extents, spacing_mm, places, strict=True)]
    axes.append(flat_axis(len(places[0])) if intensities is None else value_axis(intensities, contrast))
    lattice = Lattice(
        shape=(axes[0].n_cells, axes[1].n_cells, axes[2].n_cells, axes[3].n_cells),
        cells=locate_voxels(axes),
        taps=tuple(axis.taps for axis in axes),
        self_weight=np.prod([axis.self_weight for axis in axes], axis=0, dtype=np.float32),
    )
    if lattice.planes_per_slab * lattice.bytes_per_plane > MOST_BYTES:
        raise UnusableInputError(
            f"the CRF's lattice of {' x '.join(str(n) for n in lattice.shape)} cells (space and grey values) is too "
            f"large; normalize the intensities so that white matter is 1, or give a larger contrast or reach"
        )
    return lattice


def locate_voxels(axes: list[Axis]) -> Cells:
    """Join the places along four axes, each of the same N voxels, the first one ascending."""
    shape = np.array([axis.n_cells for axis in axes], np.int64)
    steps = np.append(np.cumprod(shape[:0:-1])[::-1], 1)
    lowest = np.zeros(len(axes[0].lower), np.int64)
    for axis, step in zip(axes, steps, strict=True):
        lowest += axis.lower.astype(np.int64) * step
    shares = np.stack([axis.upper_share for axis in axes], axis=1)
    starts = np.searchsorted(axes[0].lower, np.arange(shape[0]))
    return Cells(lowest, shares, steps, starts, min(2, axes[3].n_cells))


def workspace(lattices: list[Lattice]) -> NDArray[np.float32]:
    """Return memory (flat float32) that is enough to filter with each of these lattices in turn."""
    cells = [lattice.planes_per_slab * int(lattice.cells.steps[0]) for lattice in lattices]
    return np.empty(max(cells, default=0) * LANES, np.float32)


def plan_slabs(lattice: Lattice) -> Iterator[tuple[int, int, int, int]]:
    """Yield the slabs: their first and last plane, and the voxels from the one to the other that they serve."""
    n_planes, held = lattice.shape[0], lattice.planes_per_slab
    margin = 0 if held == n_planes else len(lattice.taps[0])  # the outermost plane misses the voxels beyond it
    served = held - 2 * margin - 1
    for start in range(0, n_planes - 1, served):
        stop = min(start + served, n_planes - 1)
        span = int(lattice.cells.starts[start]), int(lattice.cells.starts[stop])
        yield max(start - margin, 0), min(stop + margin, n_planes - 1), *span


def add_filtered(
    lattice: Lattice,
    values: NDArray[np.float32],
    target: NDArray[np.float32],
    scales: tuple[NDArray[np.float32], NDArray[np.float32]],
    memory: NDArray[np.float32],
) -> None:
    """Add the filtered values to the target, in place: target += outer * kernel @ (inner * values).

    Parameters
    ----------
    lattice : Lattice
        The kernel.
    values, target : (N, 16) float32
        One block of channels; not the same array.
    scales : (N,), (N,) float32
        Factors per voxel: the inner ones before the filter, the outer ones behind it.
    memory : (M,) float32
        What `workspace` returned; its contents are lost.

    Notes
    -----
    Source: ours. The order of additions does not depend on the number of threads, and so neither does the result.
    """
    inner, outer = scales
    for low, high, start, stop in plan_slabs(lattice):
        shape = (high - low + 1, *lattice.shape[1:], LANES)
        numbers = memory[: math.prod(shape)]
        splat(values, inner, lattice.cells, (low, high), numbers)
        for axis, taps in enumerate(lattice.taps):
            if len(taps) > 1:
                blur(numbers, (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])), taps)
        slice_cells(numbers, low, outer, lattice.cells, (start, stop), target)
