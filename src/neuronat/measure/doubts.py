"""Does a scan look like a brain, seen in T1? Simple gates before the networks; `plausible` has those after."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import UnusableInputError
from neuronat.measure.volumes import TRUNCATED, StructureVolume
from neuronat.space.affine import spacing_mm, voxel_volume_mm3

__all__ = ["border_doubts", "brain_doubts", "contrast_doubts", "require_no_doubt"]

LEAST_BRAIN_ML, MOST_BRAIN_ML = 500.0, 2200.0
LEAST_EXTENT_MM, MOST_EXTENT_MM = 80.0, 230.0
SHELL_MM, DEEP_MM = 3.0, 10.0
MOST_RIM_SHARE = 0.9
MOST_LISTED = 3


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
    """Name what speaks against T1 contrast: there the rim (grey matter, CSF) is clearly darker than the depth.

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
    Source: ours. Distances are taken from the surface of the mask. In 15 T1-weighted scans the median of the rim is
    0.58 to 0.70 of that of the depth; noise has 1, T2 and FLAIR more.
    """
    depth_mm = ndimage.distance_transform_edt(np.pad(mask, 1), spacing_mm(affine))[1:-1, 1:-1, 1:-1]
    rim, deep = mask & (depth_mm <= SHELL_MM), depth_mm >= DEEP_MM
    if not deep.any():
        return ()
    outside, inside = (float(np.median(intensities[part])) for part in (rim, deep))
    if outside < MOST_RIM_SHARE * inside:
        return ()
    return ("grey values do not fall from the depth to the rim of the brain, as in a T1 they do",)


def border_doubts(volumes: Sequence[StructureVolume]) -> tuple[str, ...]:
    """Name the structures that the border of the field of view cuts; their volumes are what is there.

    Notes
    -----
    Source: ours.
    """
    cut = [row.name for row in volumes if row.reason == TRUNCATED]
    if not cut:
        return ()
    listed = ", ".join(cut[:MOST_LISTED]) + (f" and {len(cut) - MOST_LISTED} more" if len(cut) > MOST_LISTED else "")
    return (f"the field of view cuts the brain: {listed} truncated, volumes are of what is seen",)


def require_no_doubt(doubts: Sequence[str], *, strict: bool) -> None:
    """Raise UnusableInputError if the user wants no doubt (`--strict`), and there is one.

    Notes
    -----
    Source: ours; decision 0016.
    """
    if strict and doubts:
        raise UnusableInputError(f"refused by --strict: {'; '.join(doubts)}; mend the scan, or leave out --strict")
