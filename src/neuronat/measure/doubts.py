"""Does a scan look like a brain, seen in T1? Simple gates on what was put in; `plausible` judges what came out."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import UnusableInputError
from neuronat.measure.volumes import TRUNCATED, StructureVolume
from neuronat.space.affine import spacing_mm, voxel_volume_mm3
from neuronat.space.volume import LEAST_BRAIN_ML, MOST_BRAIN_ML

__all__ = ["border_doubts", "brain_doubts", "contrast_doubts", "require_no_doubt", "require_structure", "tissue_doubts"]

LEAST_EXTENT_MM, MOST_EXTENT_MM = 80.0, 230.0
SURFACE_MM, BELOW_MM, DEEP_MM = 3.0, 5.0, 10.0
SAMPLED_MM, MOST_STRIDE = 2.0, 64.0
LEAST_FALL = 0.02
LEAST_LIKENESS = 0.3
TISSUES = {"ventricles": (4, 43), "grey matter": (3, 42), "white matter": (2, 41)}
LEAST_TISSUE_VOX = 500
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
    """Name what speaks against T1 contrast: there white matter is the brightest, and it lies in the depth.

    Below the surface of a brain lies the cortex, in its depth mostly white matter. In a T1 the brighter tissue below
    the surface is therefore darker than that in the depth; in T2, FLAIR, PD, EPI, CT and in noise it is not.

    Parameters
    ----------
    intensities : (I, J, K) float32
        Grey values of any scale; what lies outside the mask is not looked at.
    mask : (I, J, K) bool
        Brain mask, not empty.
    affine : (4, 4) float64
        Voxel to world mm.

    Returns
    -------
    tuple of str
        Empty if nothing does, or where the mask is nowhere deep.

    Notes
    -----
    Source: ours (decision 0036). On every second mm: the upper fifth at 3 to 5 mm below the surface of the mask begins
    0.02 times the depth's contrast, or more, below the upper quarter of the depth (10 mm and more).
    """
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    steps_mm = spacing_mm(affine)
    strides = [int(min(max(1.0, SAMPLED_MM / step), MOST_STRIDE)) for step in steps_mm.tolist()]
    thin = tuple(slice(edge.start, edge.stop, stride) for edge, stride in zip(box, strides, strict=True))
    values, inside = intensities[thin], np.pad(mask[thin], 1)
    depth_mm = ndimage.distance_transform_edt(inside, steps_mm * strides)[1:-1, 1:-1, 1:-1]
    below, deep = (depth_mm > SURFACE_MM) & (depth_mm <= BELOW_MM), depth_mm >= DEEP_MM
    if not (below.any() and deep.any()):
        return ()
    dark, bright, brightest = np.percentile(values[deep], [10, 75, 90])
    if np.percentile(values[below], 80) < bright - LEAST_FALL * (brightest - dark):
        return ()
    return ("grey values do not rise from the rim to the depth of the brain, as in a T1 they do",)


def tissue_doubts(intensities: NDArray[np.float32], ids: NDArray[np.integer]) -> tuple[str, ...]:
    """Name what speaks against T1 contrast once the structures are known: fluid < cortex < white matter.

    Parameters
    ----------
    intensities : (V,) float32
        Grey values, corrected for the bias field.
    ids : (V,) int
        Labels of `deepnat25` at the same voxels.

    Returns
    -------
    tuple of str
        Empty if the medians stand in that order; tissues of fewer than 500 voxels are not looked at.

    Notes
    -----
    Source: ours (decision 0036).
    """
    medians = {}
    for tissue, of_tissue in TISSUES.items():
        inside = intensities[np.isin(ids, of_tissue)]
        if inside.size >= LEAST_TISSUE_VOX:
            medians[tissue] = float(np.median(inside))
    wrong = [
        f"{darker} not darker than {brighter}"
        for darker, brighter in pairwise(TISSUES)
        if darker in medians and brighter in medians and medians[darker] >= medians[brighter]
    ]
    return (f"as labelled, {' and '.join(wrong)}, which they are in a T1",) if wrong else ()


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


def require_structure(values: NDArray[np.float32]) -> None:
    """Raise UnusableInputError if neighbouring voxels of a scan (I, J, K) have nothing in common, as in noise.

    Notes
    -----
    Source: ours. The correlation with the next voxel is near 0 in noise and above 0.8 in heads of 1 mm.
    """
    for axis in range(3):
        along = np.moveaxis(values, axis, 0)
        one, other = along[:-1], along[1:]
        contrast = float(one.std() * other.std())
        if contrast and float(((one - one.mean()) * (other - other.mean())).mean()) < LEAST_LIKENESS * contrast:
            raise UnusableInputError(
                "does not look like a human head: its voxels are as unlike as those of noise; check it"
            )
