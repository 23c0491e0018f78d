"""The slices that a report shows: where they lie, what may be seen of them, and their size.

Nothing of the head is shown but the brain and a rim around it: a face must not be recognized.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.labels.scheme import LabelScheme
from neuronat.report.planes import Plane, cut_planes, require_same_grid
from neuronat.space.affine import ijk_to_xyz_mm, spacing_mm
from neuronat.space.volume import LabelMap, Volume

__all__ = ["SHOWN_MM", "Stack", "cut_stack", "grey_window", "shrink_plane", "to_pixels"]

SHOWN_MM = 5.0
MARGIN_MM = 7.0
ENDS = (0.12, 0.88)
MASK_SCHEME = LabelScheme("mask", (0, 1), ("outside", "brain"), ("#000000", "#ffffff"), (0, 1))


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one scan, by name of the plane: the one through the middle, and several from end to end."""

    middle: dict[str, Plane]
    series: dict[str, tuple[Plane, ...]]


def cut_stack(image: Volume, mask: NDArray[np.bool_], labels: LabelMap, *, n_slices: int) -> Stack:
    """Cut slices in three planes, from one end of the brain to the other, and hide all but the brain.

    Parameters
    ----------
    image : Volume
        Grey values.
    mask : (I, J, K) bool
        Brain mask on the same grid.
    labels : LabelMap
        Labels on the same grid.
    n_slices : int
        Slices of a series in each plane; 0 for the middle alone.

    Returns
    -------
    Stack
        Values are 0 further than 5 mm from the mask within the plane. All slices of one plane have one size.

    Raises
    ------
    GridError
        If image and labels lie on different grids.

    Notes
    -----
    Source: ours.
    """
    require_same_grid(image, labels)
    box, affine = _brain_box(mask, image.affine)
    cropped = Volume(np.ascontiguousarray(image.values[box]), affine)
    brain = np.ascontiguousarray(mask[box]).astype(np.uint8)
    named = LabelMap(labels.ids[box], affine, labels.scheme)
    masked = LabelMap(brain, affine, MASK_SCHEME)
    middle_ijk = np.array([_middle(brain, axis) for axis in range(3)])
    ends = [_ends(brain, axis) for axis in range(3)]
    cuts = []
    for share in [None, *np.linspace(*ENDS, n_slices)]:
        ijk = middle_ijk if share is None else np.array([first + share * (last - first) for first, last in ends])
        x, y, z = ijk_to_xyz_mm(affine, ijk).tolist()
        planes = cut_planes(cropped, named, centre_mm=(x, y, z))
        brains = cut_planes(cropped, masked, centre_mm=(x, y, z))
        cuts.append([_show_brain(plane, brain) for plane, brain in zip(planes, brains, strict=True)])
    series = {plane.name: tuple(row[number] for row in cuts[1:]) for number, plane in enumerate(cuts[0])}
    return Stack({plane.name: plane for plane in cuts[0]}, series if n_slices else {})


def grey_window(planes: Sequence[Plane]) -> tuple[float, float]:
    """Return the grey values to show as black and as white: black is 0 or the darkest, white leaves out the last 0.5 %.

    Notes
    -----
    Source: ours.
    """
    seen = np.concatenate([plane.values[plane.values != 0] for plane in planes])
    if not seen.size:
        return 0.0, 1.0
    low, high = np.percentile(seen, [0.5, 99.5]).tolist()
    return min(0.0, low), max(high, low + 1e-6)


def shrink_plane(plane: Plane, most_pixels: int) -> Plane:
    """Return the plane with at most so many pixels along its longer side: means of grey values, every nth label.

    Notes
    -----
    Source: ours.
    """
    factor = -(-max(plane.values.shape) // most_pixels)
    if factor == 1:
        return plane
    width, height = (extent // factor for extent in plane.values.shape)
    whole = plane.values[: width * factor, : height * factor]
    values = whole.reshape(width, factor, height, factor).mean(axis=(1, 3), dtype=np.float32)
    middle = slice(factor // 2, None, factor)
    ids = None if plane.ids is None else plane.ids[: width * factor, : height * factor][middle, middle]
    across, up = plane.spacing_mm
    return replace(plane, values=values, ids=ids, spacing_mm=(across * factor, up * factor))


def to_pixels(plane: Plane, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Return the plane as (H, W) pixels, the first row at the top."""
    low, high = window
    scaled = np.clip((plane.values.astype(np.float64) - low) / (high - low), 0, 1)
    scaled[plane.values == 0] = 0
    return np.ascontiguousarray(np.rint(255 * scaled).astype(np.uint8).T[::-1])


def _brain_box(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Return the box of the mask with a margin, within the grid, and the affine of what it cuts out."""
    box = []
    for axis, step in enumerate(spacing_mm(affine).tolist()):
        first, last = _ends(mask, axis)
        margin = int(np.ceil(MARGIN_MM / step))
        box.append(slice(max(int(first) - margin, 0), min(int(last) + 1 + margin, mask.shape[axis])))
    moved = affine.copy()
    moved[:3, 3] = ijk_to_xyz_mm(affine, np.array([edge.start for edge in box]))
    return tuple(box), moved


def _ends(mask: NDArray[np.integer] | NDArray[np.bool_], axis: int) -> tuple[float, float]:
    """First and last index of a mask along an axis; the ends of the grid where it is empty."""
    found = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
    return (float(found[0]), float(found[-1])) if found.size else (0.0, mask.shape[axis] - 1.0)


def _middle(mask: NDArray[np.integer], axis: int) -> float:
    """Index of the mask's centre of mass along an axis."""
    weights = mask.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64)
    return float(weights @ np.arange(len(weights)) / weights.sum()) if weights.any() else (len(weights) - 1) / 2


def _show_brain(plane: Plane, brain: Plane) -> Plane:
    """Blacken what is too far from the brain in a plane."""
    inside = brain.ids != 0 if brain.ids is not None else np.zeros(plane.values.shape, bool)
    if not inside.any():
        return replace(plane, values=np.zeros_like(plane.values))
    is_near = ndimage.distance_transform_edt(~inside, sampling=plane.spacing_mm) <= SHOWN_MM
    return replace(plane, values=np.where(is_near, plane.values, np.float32(0)))
