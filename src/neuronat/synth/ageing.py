"""Displacements that make a young brain look old: ventricles and sulci widen, and the tissue around gives way.

The 15 training scans are of people from 19 to 34. Pulling every voxel near a ventricle from further inside of it
enlarges the ventricle, in image and labels alike, so the labels stay true.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import ShapeError

__all__ = ["STEP", "VENTRICLE_REACH_VOX", "ageing_fields", "is_ageing_ventricle"]

VENTRICLE_REACH_VOX = 7.0
SULCUS_REACH_VOX = 2.0
STEP = 2


def ageing_fields(ventricles: NDArray[np.bool_], sulci: NDArray[np.bool_]) -> NDArray[np.float16]:
    """Return two displacement fields: one widens the ventricles, the other the sulci.

    Parameters
    ----------
    ventricles, sulci : (I, J, K) bool
        Voxels of the lateral (and third) ventricles; of the cerebrospinal fluid around the cortex.

    Returns
    -------
    (6, I/2, J/2, K/2) float16
        Displacements on every second voxel, rounded up; channels 0-2 for the ventricles, 3-5 for the sulci, their
        largest length about 1. Sampling an image at x + a * field(x), with a in voxels, moves the borders outwards by
        about a.

    Raises
    ------
    ShapeError
        If the two masks are not on one 3D grid.

    Notes
    -----
    Source: ours. The field is the gradient of the smoothed mask: it points into the ventricle, is strongest at its
    wall, and fades over the reach.
    """
    if ventricles.shape != sulci.shape or ventricles.ndim != 3:
        raise ShapeError(f"masks must share one 3D grid; got {ventricles.shape} and {sulci.shape}")
    parts = [_inward(ventricles, VENTRICLE_REACH_VOX), _inward(sulci, SULCUS_REACH_VOX)]
    fields: NDArray[np.float16] = np.concatenate(parts)[:, ::STEP, ::STEP, ::STEP].astype(np.float16)
    return fields


def _inward(mask: NDArray[np.bool_], reach_vox: float) -> NDArray[np.float32]:
    """Gradient of a smoothed mask, scaled so that few lengths exceed 1."""
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), reach_vox / 2)
    field = np.stack(np.gradient(smooth)).astype(np.float32)
    length = np.sqrt((field**2).sum(0))
    strong = length[length > 0.05 * length.max()] if length.max() > 0 else np.ones(1, np.float32)
    return field / np.float32(np.percentile(strong, 95))


def is_ageing_ventricle(name: str) -> bool:
    """Tell whether a structure's name is that of a ventricle that grows with age."""
    plain = name.lower().replace("-", " ")
    return "4th" not in plain and ("ventricle" in plain or "lat vent" in plain)
