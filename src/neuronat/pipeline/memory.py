"""How much memory segmenting takes, whether it is there, and which tiles fit into it."""

import numpy as np
import torch
from numpy.typing import NDArray

from neuronat.errors import MemoryShortError
from neuronat.pipeline.device import free_device_bytes
from neuronat.prepare.conform import WorkingGrid, plan_grid
from neuronat.space.affine import voxel_volume_mm3
from neuronat.space.memory import free_memory_bytes, held_memory_bytes
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import Volume

__all__ = ["TILES", "fitting_tile_vox", "is_memory_ample", "memory_estimate_gb", "require_memory"]

TILES = (64, 48, 32)
"""Edges of tiles (`SegmentConfig.tile_vox`), the fastest first; below the last memory is not lower any more."""
BASE_GB = 1.1
BYTES_PER_GRID_VOXEL = 40
BYTES_PER_BRAIN_VOXEL = 600
BYTES_PER_SEEN_VOXEL = 100
BYTES_ON_DEVICE = 300
"""Of each voxel that an accelerator sees at once."""
LARGE_BRAIN_ML = 1700
BOX_OF_BRAIN = 2.6
"""Voxels of the box around a brain, for each of the brain."""
AMPLE = 2
SEEN_PER_TILE = 32
"""A tile of a whole scan's network holds so many of a patch network's."""


def require_memory(volume: Volume, mask: NDArray[np.bool_] | None, reading: ReadOptions) -> None:
    """Raise MemoryShortError, with both numbers, if segmenting a scan needs more memory than there is, in any tiles.

    The brain mask (I, J, K) is None where it is not known yet. A limit of voxels that the user has set lifts this one.

    Notes
    -----
    Source: ours.
    """
    needed_gb, there_gb = memory_estimate_gb(*_planned(volume, mask), tile_vox=TILES[-1]), _memory_gb()
    if needed_gb > there_gb and reading.max_voxels is None:
        raise MemoryShortError(
            f"segmenting needs about {needed_gb:.1f} GB of memory, and {there_gb:.1f} GB are free; "
            "close other programs, or crop or downsample the scan"
        )


def fitting_tile_vox(volume: Volume, mask: NDArray[np.bool_] | None, device: torch.device) -> int:
    """Return the largest tiles with which segmenting fits into the memory there is; the smallest if none does.

    Parameters
    ----------
    volume : Volume
        The scan.
    mask : (I, J, K) bool, optional
        Its brain; a large one if it is not known.
    device : torch.device
        Where the networks calculate; an accelerator's own memory has to hold a tile.

    Returns
    -------
    int
        Edge of the tiles in voxels (`SegmentConfig.tile_vox`).

    Notes
    -----
    Source: ours (decision 0042).
    """
    grid, brain_ml = _planned(volume, mask)
    there_gb, on_device = _memory_gb(), free_device_bytes(device)
    for tile_vox in TILES:
        is_held = on_device is None or _n_seen(_n_brain(brain_ml), tile_vox) * BYTES_ON_DEVICE <= on_device
        if is_held and memory_estimate_gb(grid, brain_ml, tile_vox=tile_vox) <= there_gb:
            return tile_vox
    return TILES[-1]


def is_memory_ample(volume: Volume, mask: NDArray[np.bool_] | None) -> bool:
    """Return whether there is at least twice the memory that segmenting a scan needs; the mask may be unknown."""
    return AMPLE * memory_estimate_gb(*_planned(volume, mask)) <= _memory_gb()


def _n_brain(brain_ml: float | None) -> float:
    """Return how many voxels of 1 mm a brain has; a large one if its size is not known."""
    return 1000 * (LARGE_BRAIN_ML if brain_ml is None else brain_ml)


def _n_seen(n_brain: float, tile_vox: int) -> float:
    """Return how many voxels a network sees at once, at most."""
    return min(BOX_OF_BRAIN * n_brain, SEEN_PER_TILE * tile_vox**3)


def _planned(volume: Volume, mask: NDArray[np.bool_] | None) -> tuple[WorkingGrid, float | None]:
    """Return the scan's working grid, and how large its brain is in ml."""
    i, j, k = volume.values.shape
    brain_ml = None if mask is None else float(np.count_nonzero(mask)) * voxel_volume_mm3(volume.affine) / 1000
    return plan_grid(volume.affine, (i, j, k)), brain_ml


def _memory_gb() -> float:
    """Return what this process may use: what is free, and what it holds already."""
    return (free_memory_bytes() + held_memory_bytes()) / 1e9


def memory_estimate_gb(grid: WorkingGrid, brain_ml: float | None, *, tile_vox: int = TILES[0]) -> float:
    """Estimate the peak memory of segmenting by the default models, in GB.

    Parameters
    ----------
    grid : WorkingGrid
        The scan's plan.
    brain_ml : float or None
        Size of the brain mask; a large brain if it is not known.
    tile_vox : int
        Edge of the tiles.

    Returns
    -------
    float
        GB.

    Notes
    -----
    Source: ours; measured by `benchmarks/memory.py` on adult brains.
    """
    n_native, n_working = float(np.prod(grid.native_shape)), float(np.prod(grid.shape))
    n_brain = _n_brain(brain_ml)
    of_brain = n_brain * BYTES_PER_BRAIN_VOXEL + _n_seen(n_brain, tile_vox) * BYTES_PER_SEEN_VOXEL
    return BASE_GB + (of_brain + (n_native + n_working) * BYTES_PER_GRID_VOXEL) / 1e9
