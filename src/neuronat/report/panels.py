"""What a figure shows of a plane, and where: privacy, margins, borders of labels, places, names.

Plain arrays and numbers; nothing is drawn here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.labels.scheme import LabelScheme
from neuronat.labels.sides import group_by_structure
from neuronat.report.planes import Plane

__all__ = ["crop_plane", "hide_far_from_labels", "label_edges", "place_panels", "shown_structures"]

CLOSED_MM = 10.0
GAP_MM = 4.0
TITLE_MM = 8.0
MOST_IN_LEGEND = 40


def hide_far_from_labels(plane: Plane, reach_mm: float) -> Plane:
    """Return the plane with 0 where no label is within `reach_mm` in the plane: a face must not be recognized.

    Notes
    -----
    Source: ours. Folds and holes between labels are shown, too (a closing by 10 mm). A plane without any label
    becomes empty; one that was cut without a label map stays.
    """
    if plane.ids is None:
        return plane
    if not plane.ids.any():
        return replace(plane, values=np.zeros_like(plane.values))
    near_mm = ndimage.distance_transform_edt(plane.ids == 0, sampling=plane.spacing_mm)
    wide = np.pad(near_mm <= reach_mm + CLOSED_MM, 1)
    is_shown = ndimage.distance_transform_edt(wide, sampling=plane.spacing_mm)[1:-1, 1:-1] > CLOSED_MM
    is_shown = ndimage.binary_fill_holes(is_shown | (near_mm <= reach_mm))
    return replace(plane, values=np.where(is_shown, plane.values, np.float32(0)))


def crop_plane(plane: Plane, margin_mm: float = 9.0) -> Plane:
    """Return the part of the plane that is not 0, with a margin of zeros; all of it where everything is 0."""
    is_shown = plane.values != 0 if plane.ids is None else (plane.values != 0) | (plane.ids != 0)
    if not is_shown.any():
        return plane
    box = []
    for axis in (0, 1):
        found = np.flatnonzero(is_shown.any(axis=1 - axis))
        margin = int(np.ceil(margin_mm / plane.spacing_mm[axis]))
        box.append((found[0] - margin, found[-1] + 1 + margin))
    ids = None if plane.ids is None else _window(plane.ids, box)
    return replace(plane, values=_window(plane.values, box), ids=ids)


def label_edges(plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the borders between different labels, as lines along the edges of the pixels.

    Parameters
    ----------
    plane : Plane
        With labels.

    Returns
    -------
    edges : (E, 2, 2) float64
        Two ends of each line, (across, up) in mm from the lower left corner of the plane.
    owners : (E,) int64
        Id of the label whose colour the line has: the one with fewer pixels in the plane, never the background.

    Notes
    -----
    Source: ours.
    """
    if plane.ids is None:
        return np.zeros((0, 2, 2)), np.zeros(0, np.int64)
    padded = np.pad(plane.ids, 1)
    found, counts = np.unique(padded, return_counts=True)
    size_of = dict(zip(found.tolist(), counts.tolist(), strict=True)) | {0: padded.size + 1}
    edges, owners = [], list[int]()
    for axis in (0, 1):
        before, after = (np.take(padded, range(a, padded.shape[axis] - 1 + a), axis) for a in (0, 1))
        starts = np.argwhere(before != after)
        pairs = np.stack([before[before != after], after[before != after]], axis=1)
        starts[:, 1 - axis] -= 1  # the padding of the other axis
        ends = starts.copy()
        ends[:, 1 - axis] += 1
        edges.append(np.stack([starts, ends], axis=1) * np.array(plane.spacing_mm))
        owners.extend(int(a) if size_of[int(a)] < size_of[int(b)] else int(b) for a, b in pairs)
    return np.concatenate(edges), np.array(owners, np.int64)


def place_panels(
    planes: Sequence[Plane], *, below_mm: float
) -> tuple[tuple[list[tuple[float, float, float, float]], ...], float, float]:
    """Place the planes side by side to one scale, twice: a row below and a row above.

    Parameters
    ----------
    planes : sequence of Plane
        From left to right.
    below_mm : float
        Height to leave free below, in mm of the planes.

    Returns
    -------
    rows : two lists of (left, bottom, width, height)
        Places of the planes, as parts of the figure in [0, 1]; the lower row first.
    width_mm, height_mm : float
        Size of the figure in mm of the planes.

    Notes
    -----
    Source: ours.
    """
    sizes_mm = [np.array(plane.values.shape) * plane.spacing_mm for plane in planes]
    width_mm = float(sum(size[0] for size in sizes_mm) + GAP_MM * (len(planes) - 1))
    row_mm = float(max(size[1] for size in sizes_mm))
    height_mm = below_mm + 2 * row_mm + TITLE_MM
    rows = []
    for row in (0, 1):
        places, left = [], 0.0
        for width, height in (size.tolist() for size in sizes_mm):
            bottom = below_mm + row * (row_mm + TITLE_MM) + (row_mm - height) / 2
            places.append((left / width_mm, bottom / height_mm, width / width_mm, height / height_mm))
            left += width + GAP_MM
        rows.append(places)
    return tuple(rows), width_mm, height_mm


def shown_structures(planes: Sequence[Plane], scheme: LabelScheme) -> tuple[tuple[str, str], ...]:
    """Return name and colour of the structures in the planes; left and right as one where they share a colour.

    Notes
    -----
    Source: ours. Empty where more than 40 would have to be named: nobody could tell their colours apart.
    """
    shown = {index for plane in planes if plane.ids is not None for index in np.unique(plane.ids).tolist()}
    colours = dict(zip(scheme.ids, scheme.colours, strict=True))
    entries: dict[tuple[str, str], None] = {}
    for group in group_by_structure(list(scheme.names)):
        for row in group:
            index = scheme.ids[row.position]
            if index and index in shown:
                is_shared = len({colours[scheme.ids[other.position]] for other in group}) == 1
                entries[row.base if is_shared else scheme.names[row.position], colours[index]] = None
    return tuple(entries) if len(entries) <= MOST_IN_LEGEND else ()


def _window(values: NDArray[Any], box: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """Cut (start, stop) along each axis out of an array; zeros beyond its border."""
    inside = values[tuple(slice(max(start, 0), stop) for start, stop in box)]
    wanted = zip(box, values.shape, strict=True)
    return np.pad(inside, [(max(-start, 0), max(stop - extent, 0)) for (start, stop), extent in wanted])
