"""From a scan to what the networks see: working grid, bias corrected, normalized, cropped to the brain.

Training and segmentation both come through here, so a network meets the values it was trained on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import GridError, UnusableInputError
from neuronat.prepare.bias import correct_bias
from neuronat.prepare.conform import WorkingGrid, mask_to_working, plan_grid, to_working
from neuronat.prepare.intensity import normalize_intensity, rough_peaks, tissue_peaks
from neuronat.space.affine import describe_grid
from neuronat.space.volume import Volume

__all__ = ["MARGIN_VOX", "PreparedScan", "crop_box", "prepare_scan", "uncrop"]

MARGIN_VOX = 2


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan ready for the networks, cropped to its brain mask plus `MARGIN_VOX` voxels.

    intensities (I, J, K) float32, grey matter 0.65, white matter 1, 0 outside the mask; mask (I, J, K) bool;
    affine (4, 4) float64 of the crop, voxel to world mm. `box` is where the crop lies on the whole working
    grid `grid`, which leads back to the scan's own voxels. `doubts` say why the scan had to be forced.
    """

    intensities: NDArray[np.float32]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    box: tuple[slice, slice, slice]
    grid: WorkingGrid
    doubts: tuple[str, ...] = ()


def prepare_scan(volume: Volume, mask: NDArray[np.bool_], *, force: bool = False) -> PreparedScan:
    """Bring a scan and its brain mask to the form that the networks expect.

    Parameters
    ----------
    volume : Volume
        Grey values on the scan's own grid, any scale; values outside the mask do not matter where nothing is
        resampled.
    mask : (I, J, K) bool
        Brain mask on the same grid.
    force : bool
        Go on where grey and white matter cannot be told apart, in doubt.

    Returns
    -------
    PreparedScan

    Raises
    ------
    GridError
        If mask and scan differ in shape.
    UnusableInputError
        If the mask is empty on the working grid, or the brain has no contrast, not even a little if forced.

    Notes
    -----
    Source: [DEEPNAT] (bias correction, normalization, skull stripping). Ours: the crop, and that the bias
    field is estimated on the working grid.
    """
    if mask.shape != volume.values.shape:
        raise GridError(f"the mask has {mask.shape} voxels, the scan {volume.values.shape}; give a mask of this scan")
    i, j, k = volume.values.shape
    grid = plan_grid(volume.affine, (i, j, k))
    working_mask = mask_to_working(mask, grid)
    if not working_mask.any():
        raise UnusableInputError(
            f"the brain mask is empty on the grid of {describe_grid(grid.shape, grid.affine)}; check the mask"
        )
    box = crop_box(working_mask)
    working = to_working(volume, grid)
    affine = grid.affine.copy()
    affine[:3, 3] += grid.affine[:3, :3] @ np.array([edge.start for edge in box], np.float64)
    cropped = Volume(np.ascontiguousarray(working.values[box]), affine)
    inside = np.ascontiguousarray(working_mask[box])
    corrected = correct_bias(cropped, inside)
    peaks, doubts = _peaks(corrected.values[inside], force=force)
    return PreparedScan(normalize_intensity(corrected, inside, peaks).values, inside, affine, box, grid, doubts)


def crop_box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Return the bounding box of a non-empty (I, J, K) mask, `MARGIN_VOX` wider where there is room.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> mask = np.zeros((9, 9, 4), bool)
    >>> mask[4, 1:8, 2] = True
    >>> [(edge.start, edge.stop) for edge in crop_box(mask)]
    [(2, 7), (0, 9), (0, 4)]
    """
    edges = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        found = np.flatnonzero(mask.any(axis=others))
        start, stop = int(found[0]) - MARGIN_VOX, int(found[-1]) + 1 + MARGIN_VOX
        edges.append(slice(max(start, 0), min(stop, mask.shape[axis])))
    i, j, k = edges
    return i, j, k


def uncrop(values: NDArray[Any], scan: PreparedScan) -> NDArray[Any]:
    """Put (I, J, K) values on the crop back onto the whole working grid, 0 elsewhere."""
    whole = np.zeros(scan.grid.shape, values.dtype)
    whole[scan.box] = values
    return whole


def _peaks(values: NDArray[np.float32], *, force: bool) -> tuple[tuple[float, float], tuple[str, ...]]:
    """Return the grey values of grey and white matter, and what makes them doubtful."""
    try:
        return tissue_peaks(values), ()
    except UnusableInputError as error:
        if not force:
            raise
        return rough_peaks(values), (str(error),)
