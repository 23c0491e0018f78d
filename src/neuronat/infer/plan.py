"""Which parts of a volume are computed together: tiles that fit their piece of the mask.

A *tile* is a box of voxels whose patches share their convolutions; a *phase* of a tile is the lattice of every
second voxel along each axis that starts at 0 or 1 along it, so a tile has eight phases.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PHASES", "Tile", "phase_counts", "plan_tiles"]

Extents = tuple[int, int, int]
PHASES: tuple[Extents, ...] = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))


@dataclass(frozen=True)
class Tile:
    """A box of voxels: its first voxel ijk, and its extent along each axis."""

    start: Extents
    extent: Extents

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The tile as an index into its volume."""
        i, j, k = (slice(first, first + n) for first, n in zip(self.start, self.extent, strict=True))
        return i, j, k


def plan_tiles(mask: NDArray[np.bool_], tile_vox: int) -> list[Tile]:
    """Cut the box of a mask into tiles of nearly equal size, shrink each to its voxels, drop those without any.

    Parameters
    ----------
    mask : (I, J, K) bool
        Voxels to compute.
    tile_vox : int
        Largest extent of a tile, in voxels.

    Returns
    -------
    list of Tile
        No two share a voxel; together they hold the mask.

    Notes
    -----
    Source: ours (decision 0008).

    Examples
    --------
    >>> mask = np.zeros((9, 5, 4), bool)
    >>> mask[1:4, 2, 2] = mask[8, 3, 0] = True
    >>> plan_tiles(mask, 4)
    [Tile(start=(1, 2, 2), extent=(3, 1, 1)), Tile(start=(8, 3, 0), extent=(1, 1, 1))]
    """
    whole = _fitted(mask, Tile((0, 0, 0), (mask.shape[0], mask.shape[1], mask.shape[2])))
    if whole is None:
        return []
    edges = []
    for first, extent in zip(whole.start, whole.extent, strict=True):
        size = -(-extent // -(-extent // tile_vox))
        edges.append([(first + at, min(size, extent - at)) for at in range(0, extent, size)])
    pieces = [Tile((i, j, k), (n, m, o)) for (i, n), (j, m), (k, o) in itertools.product(*edges)]
    fitted = [_fitted(mask, piece) for piece in pieces]
    return [tile for tile in fitted if tile is not None]


def phase_counts(tile: Tile, phase: Extents) -> Extents:
    """Return how many voxels of a phase lie in a tile along each axis."""
    i, j, k = ((n - first + 1) // 2 for n, first in zip(tile.extent, phase, strict=True))
    return i, j, k


def _fitted(mask: NDArray[np.bool_], tile: Tile) -> Tile | None:
    """Shrink a tile to the voxels of the mask in it; None if there is none."""
    part = mask[tile.box]
    found = [np.flatnonzero(part.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if len(found[0]) == 0:
        return None
    i, j, k = (first + int(hits[0]) for first, hits in zip(tile.start, found, strict=True))
    n, m, o = (int(hits[-1] - hits[0]) + 1 for hits in found)
    return Tile((i, j, k), (n, m, o))
