"""Raw heads with known truth: a real stripped brain set into the painted head of a whole-head label map."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import UnusableInputError
from neuronat.space.affine import nearest_axes, reorient, reoriented_affine
from neuronat.space.volume import LabelMap, Volume
from neuronat.space.voxels import largest_part
from neuronat.synth.fields import smooth_noise
from neuronat.synth.paint import CSF, FIRST_OUTSIDE, brain_of, paint_head
from neuronat.synth.specimen import Specimen

__all__ = ["composite"]

BORDER_VOX = 0.5
SHADING = 0.15


def composite(specimen: Specimen, head: LabelMap, generator: torch.Generator) -> Specimen:
    """Paint skull, scalp and fluid of a head around a stripped brain.

    Parameters
    ----------
    specimen : Specimen
        A stripped brain, voxels of about 1 mm.
    head : LabelMap
        In the scheme `wholehead`, voxels of about 1 mm.
    generator : torch.Generator
        Source of the head's grey values and of the shading.

    Returns
    -------
    Specimen
        A raw head: the brain's own voxels, not interpolated, on a larger grid with axes to the right, front and up.

    Raises
    ------
    UnusableInputError
        If the head holds no brain.

    Notes
    -----
    Source: ours; as `train.crops` makes them, for a whole head. The head is scaled along each axis so that the boxes of
    the two brains agree; its own brain becomes fluid, which the real one replaces, softly at the border. What is loose
    in the mask (a tablet beside the head) is left out.
    """
    brain = _upright(_largest_part(specimen))
    ids = _upright_ids(head.ids, head.affine)
    hollow = brain_of(ids)
    if not hollow.any():
        raise UnusableInputError("the label map of the head holds no brain; give a whole head")
    middle, extents = _box(brain.mask)
    head_middle, head_extents = _box(hollow)
    scale = head_extents / extents
    before = np.ceil(np.maximum(head_middle / scale - middle, 0)).astype(int)
    after = np.ceil((np.array(ids.shape) - head_middle) / scale - (np.array(brain.mask.shape) - middle))
    widths = list(zip(before.tolist(), np.maximum(after, 0).astype(int).tolist(), strict=True))
    larger = _padded(brain, widths)
    offset = head_middle - scale * (middle + before)
    shape = larger.mask.shape
    around = ndimage.affine_transform(ids, np.diag(scale), offset, output_shape=shape, order=0, mode="nearest")
    around = np.where((around >= FIRST_OUTSIDE) | (around == 0), around, CSF)
    white = specimen.levels[2]
    painted = white * paint_head(around, generator)
    inside = ndimage.gaussian_filter(larger.mask.astype(np.float32), BORDER_VOX)
    values = inside * larger.volume.values + (1 - inside) * painted
    i, j, k = values.shape
    shading = smooth_noise(1, max(i, j, k), generator, knots=2)[0, :i, :j, :k].numpy().clip(-2, 2)
    shaded = (values * np.exp(np.float32(SHADING / 2) * shading)).astype(np.float32)
    return replace(larger, volume=Volume(shaded, larger.volume.affine), is_raw=True)


def _largest_part(specimen: Specimen) -> Specimen:
    """Keep the largest part of the mask."""
    inside = largest_part(specimen.mask)
    labels = LabelMap(np.where(inside, specimen.labels.ids, 0), specimen.volume.affine, specimen.labels.scheme)
    return replace(specimen, mask=inside, labels=labels, tissue=np.where(inside, specimen.tissue, 0))


def _upright(specimen: Specimen) -> Specimen:
    """Store a specimen with axes to the right, front and up."""
    affine = specimen.volume.affine
    moves = nearest_axes(affine)
    i, j, k = specimen.mask.shape
    turned = reoriented_affine(affine, (i, j, k), moves)
    return replace(
        specimen,
        volume=Volume(np.ascontiguousarray(reorient(specimen.volume.values, moves)), turned),
        mask=reorient(specimen.mask, moves),
        labels=LabelMap(reorient(specimen.labels.ids, moves), turned, specimen.labels.scheme),
        tissue=reorient(specimen.tissue, moves),
    )


def _upright_ids(ids: NDArray[np.integer], affine: NDArray[np.float64]) -> NDArray[np.integer]:
    """Store ids with axes to the right, front and up."""
    turned: NDArray[np.integer] = np.ascontiguousarray(reorient(ids, nearest_axes(affine)))
    return turned


def _box(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle and the extents of a mask's box, in voxels."""
    inside = np.argwhere(mask)
    low, high = inside.min(0), inside.max(0)
    return (low + high) / 2, (high - low + 1).astype(np.float64)


def _padded(specimen: Specimen, widths: list[tuple[int, int]]) -> Specimen:
    """Widen a specimen's grid; grey values go on as they are at its border."""
    affine = specimen.volume.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.array([before for before, _ in widths], np.float64)
    ids = np.pad(specimen.labels.ids, widths)
    return replace(
        specimen,
        volume=Volume(np.pad(specimen.volume.values, widths, mode="edge"), affine),
        mask=np.pad(specimen.mask, widths),
        labels=LabelMap(ids, affine, specimen.labels.scheme),
        tissue=np.pad(specimen.tissue, widths),
    )
