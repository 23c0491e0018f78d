"""Does a scan look like a brain, seen in T1? Simple gates before the networks; `plausible` has those after."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.space.affine import spacing_mm, voxel_volume_mm3

__all__ = ["brain_doubts", "contrast_doubts"]

LEAST_BRAIN_ML, MOST_BRAIN_ML = 500.0, 2200.0
LEAST_EXTENT_MM, MOST_EXTENT_MM = 80.0, 230.0
SHELL_MM, DEEP_MM = 3.0, 10.0


def brain_doubts(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> tuple[str, ...]:
    """Name what speaks against a mask being that of a human brain.

    Parameters
    ----------
    mask : (I, J, K) bool
        Brain mask, not empty.
    affine : (4, 4) float64
        Voxel to world mm.

    Returns
    -------
    tuple of str
        Empty if nothing does.

    Notes
    -----
    Source: ours. Adult brains without ventricles, from small to large: 0.9 to 1.8 l; the gate is wider.
    """
    volume_ml = float(np.count_nonzero(mask)) * voxel_volume_mm3(affine) / 1000
    doubts = []
    if not LEAST_BRAIN_ML <= volume_ml <= MOST_BRAIN_ML:
        doubts.append(f"brain mask of {volume_ml:.0f} ml (a brain has {LEAST_BRAIN_ML:.0f} to {MOST_BRAIN_ML:.0f})")
    sides_mm = [
        (1 + np.ptp(np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))))) * step
        for axis, step in enumerate(spacing_mm(affine))
    ]
    if min(sides_mm) < LEAST_EXTENT_MM or max(sides_mm) > MOST_EXTENT_MM:
        listed = " x ".join(f"{side:.0f}" for side in sides_mm)
        doubts.append(f"brain of {listed} mm (a brain has {LEAST_EXTENT_MM:.0f} to {MOST_EXTENT_MM:.0f})")
    return tuple(doubts)


def contrast_doubts(
    intensities: NDArray[np.float32], mask: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[str, ...]:
    """Name what speaks against T1 contrast: there the rim (grey matter, CSF) is darker than the depth.

    Parameters
    ----------
    intensities : (I, J, K) float32
        Grey values, corrected for the bias field.
    mask : (I, J, K) bool
        Brain mask.
    affine : (4, 4) float64
        Voxel to world mm.

    Returns
    -------
    tuple of str
        Empty if nothing does.

    Notes
    -----
    Source: ours. Distances are taken from the surface of the mask.
    """
    depth_mm = ndimage.distance_transform_edt(np.pad(mask, 1), spacing_mm(affine))[1:-1, 1:-1, 1:-1]
    rim, deep = mask & (depth_mm <= SHELL_MM), depth_mm >= DEEP_MM
    if not deep.any():
        return ()
    outside, inside = (float(np.median(intensities[part])) for part in (rim, deep))
    if outside < inside:
        return ()
    return ("grey values rise from the depth to the rim of the brain, in a T1 they fall",)
