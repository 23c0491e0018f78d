"""How much memory segmenting takes, and whether it is there."""

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import MemoryShortError
from neuronat.prepare.conform import WorkingGrid, plan_grid
from neuronat.space.affine import voxel_volume_mm3
from neuronat.space.memory import free_memory_bytes
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import Volume

__all__ = ["memory_estimate_gb", "require_memory"]

BASE_GB = 1.5
BYTES_PER_BRAIN_VOXEL = 1200
BYTES_PER_GRID_VOXEL = 40


def require_memory(volume: Volume, mask: NDArray[np.bool_] | None, reading: ReadOptions) -> None:
    """Raise MemoryShortError, with both numbers, if segmenting a scan needs more memory than is free.

    The brain mask (I, J, K) is None where it is not known yet. A limit of voxels that the user has set lifts this one.

    Notes
    -----
    Source: ours.
    """
    i, j, k = volume.values.shape
    brain_ml = None if mask is None else float(np.count_nonzero(mask)) * voxel_volume_mm3(volume.affine) / 1000
    needed_gb, free_gb = memory_estimate_gb(plan_grid(volume.affine, (i, j, k)), brain_ml), free_memory_bytes() / 1e9
    if needed_gb > free_gb and reading.max_voxels is None:
        raise MemoryShortError(
            f"segmenting needs about {needed_gb:.1f} GB of memory, and {free_gb:.1f} GB are free; "
            "close other programs, or crop or downsample the scan"
        )


def memory_estimate_gb(grid: WorkingGrid, brain_ml: float | None) -> float:
    """Estimate the peak memory of segmenting, in GB.

    Parameters
    ----------
    grid : WorkingGrid
        The scan's plan.
    brain_ml : float or None
        Size of the brain mask; a large brain if it is not known.

    Returns
    -------
    float
        GB.

    Notes
    -----
    Source: ours; measured by `benchmarks/` on adult brains.
    """
    n_native, n_working = float(np.prod(grid.native_shape)), float(np.prod(grid.shape))
    n_brain = 1000 * (1700 if brain_ml is None else brain_ml)
    return BASE_GB + (n_brain * BYTES_PER_BRAIN_VOXEL + (n_native + n_working) * BYTES_PER_GRID_VOXEL) / 1e9
