"""Which parts of a volume are computed together: tiles that fit their piece of the mask.

A *tile* is a box of voxels whose patches share their convolutions; a *phase* of a tile is the lattice of every
second voxel along each axis that starts at 0 or 1 along it, so a tile has eight phases.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PHASES", "Tile", "plan_tiles"]

Extents = tuple[int, int, int]
PHASES: tuple[Extents, ...] = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))
WIDTHS = (0.75, 1.0, 1.5, 3.0)  # of the columns that are tried, in units of `tile_vox`
STEPS_PER_TILE = 16  # cuts are tried at every sixteenth of `tile_vox`


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
    """Cut a mask into tiles that fit it, so that the convolutions have little to do outside it.

    The mask's box is divided into columns along its longest axis, in several ways; each column is cut where that is
    cheapest; the cheapest way is taken.

    Parameters
    ----------
    mask : (I, J, K) bool
        Voxels to compute.
    tile_vox : int
        A tile has at most `tile_vox`^3 voxels.

    Returns
    -------
    list of Tile
        No two share a voxel; together they hold the mask.

    Notes
    -----
    Source: ours (decision 0008).

    Examples
    --------
    >>> mask = np.zeros((30, 5, 4), bool)
    >>> mask[1:4, 2, 2] = mask[20:28, 1:3, 0] = True
    >>> plan_tiles(mask, 16)
    [Tile(start=(1, 2, 2), extent=(3, 1, 1)), Tile(start=(20, 1, 0), extent=(8, 2, 1))]
    """
    if not mask.any():
        return []
    low, high = _bounds(mask)
    axis = int(np.argmax(high - low))
    step = max(tile_vox // STEPS_PER_TILE, 1)
    widths = [max(round(tile_vox * width), 1) for width in WIDTHS]
    ways = []
    for pair in itertools.product(widths, repeat=2):
        if pair[0] * pair[1] * step > tile_vox**3:
            continue
        width = np.insert(np.array(pair), axis, high[axis] - low[axis])
        ends = zip(low, high, width, strict=True)
        columns = itertools.product(*(_ranges(start, stop, width=most) for start, stop, most in ends))
        cuts = [_cut(mask, np.array(column), axis=axis, most_vox=tile_vox**3, step=step) for column in columns]
        ways.append([tile for tiles in cuts for tile in tiles])
    return min(ways, key=lambda tiles: _work(np.array([tile.extent for tile in tiles])).sum())


def _ranges(low: int, high: int, *, width: int) -> list[tuple[int, int]]:
    """Divide low..high into nearly equal ranges of at most `width`."""
    n = -(-(high - low) // width)
    return list(itertools.pairwise(int(low + (high - low) * at // n) for at in range(n + 1)))


def _cut(mask: NDArray[np.bool_], column: NDArray[np.int64], *, axis: int, most_vox: int, step: int) -> list[Tile]:
    """Cut a column (3, 2) of the volume across an axis where the fitted tiles together are the least work."""
    first, last = column[axis].tolist()
    cuts = [*range(first, last, step), last]
    lows, highs = np.zeros((2, len(cuts) - 1, 3), np.int64)
    for slab, ends in enumerate(itertools.pairwise(cuts)):
        column[axis] = ends
        low, high = _bounds(mask[tuple(slice(*ends) for ends in column)])
        lows[slab], highs[slab] = low + column[:, 0], high + column[:, 0]
    least, tiles = np.zeros(len(cuts)), [list[Tile]()]
    for end in range(1, len(cuts)):  # the best way to fill the first `end` slabs: a last tile of 1, 2, ... of them
        low = np.minimum.accumulate(lows[:end][::-1])
        extents = np.maximum(np.maximum.accumulate(highs[:end][::-1]) - low, 0)
        totals = np.where(extents.prod(axis=1) > most_vox, np.inf, _work(extents)) + least[:end][::-1]
        best = int(totals.argmin())
        least[end] = totals[best]
        i, j, k = low[best].tolist()
        n, m, o = extents[best].tolist()
        tiles.append(tiles[end - 1 - best] + ([Tile((i, j, k), (n, m, o))] if n else []))
    return tiles[-1]


def _work(extents: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the multiply-adds, in millions, of the convolutions of tiles (N, 3); 0 for an empty tile.

    With n centres of a phase along an axis, 5 taps meet n + 4 cells and the last one n cells more; then 3 taps n + 2.
    """
    n = np.ceil(extents / 2)
    second, third = (6 * n + 20).prod(axis=1), (4 * n + 6).prod(axis=1)
    work = 8 * (32 * 64 * second + 64 * 64 * third) + 32 * 343 * (2 * n + 16).prod(axis=1)
    return np.where((extents > 0).all(axis=1), work / 1e6, 0.0)


def _bounds(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the voxels of a mask begin and end along each axis (3,); if there are none, far apart."""
    hits = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if len(hits[0]) == 0:
        return np.full(3, 2**40), np.full(3, -(2**40))
    return np.array([hit[0] for hit in hits]), np.array([hit[-1] + 1 for hit in hits])
