"""The outlines of labels in a plane as paths that a browser draws.

A **path** runs around a label, with the label on its right, from the middle of one pixel edge to the middle of the
next, so that stairs become slopes. Coordinates are half pixels: twice the pixel's own.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Corner", "trace_outlines"]

Corner = tuple[int, int]
# of a pixel's four sides: the neighbour beyond it, and where the side starts and ends, going clockwise
SIDES = (((0, -1), (0, 0), (1, 0)), ((1, 0), (1, 0), (1, 1)), ((0, 1), (1, 1), (0, 1)), ((-1, 0), (0, 1), (0, 0)))


def trace_outlines(ids: NDArray[np.integer]) -> dict[int, str]:
    """Draw a path around every label of a plane.

    Parameters
    ----------
    ids : (W, H) int
        Label ids; x runs to the right, y downwards.

    Returns
    -------
    dict of int to str
        By id, the largest label first and the background left out: the `d` of an SVG path, in half pixels. Filled
        by the even-odd rule it covers the label, holes spared.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> trace_outlines(np.array([[0, 0, 0], [0, 7, 7], [0, 0, 0]]))
    {7: 'M3 2l1 1v2l-1 1l-1 -1v-2z'}
    """
    owners, starts, ends = _edges(ids)
    following: dict[tuple[int, Corner], list[Corner]] = {}
    for owner, start, end in zip(owners.tolist(), map(tuple, starts.tolist()), map(tuple, ends.tolist()), strict=True):
        following.setdefault((owner, start), []).append(end)
    paths: dict[int, list[str]] = {}
    while following:
        owner, corner = next(iter(following))
        corners = [corner]
        while (owner, corner) in following:
            onward = following[owner, corner]
            corner = onward.pop()
            if not onward:
                del following[owner, corners[-1]]
            corners.append(corner)
        paths.setdefault(owner, []).append(_path(corners))
    found, counts = np.unique(ids, return_counts=True)
    size_of = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return {owner: "".join(paths[owner]) for owner in sorted(paths, key=lambda index: (-size_of[index], index))}


def _edges(ids: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find all pixel sides between different labels: owners (E,), start and end corners (E, 2), clockwise."""
    padded = np.pad(ids, 1)
    width, height = ids.shape
    owners, starts, ends = [], [], []
    for (right, down), start, end in SIDES:
        beyond = padded[1 + right : 1 + right + width, 1 + down : 1 + down + height]
        pixels = np.argwhere((ids != 0) & (ids != beyond))
        owners.append(ids[tuple(pixels.T)].astype(np.int64))
        starts.append(pixels + start)
        ends.append(pixels + end)
    return np.concatenate(owners), np.concatenate(starts), np.concatenate(ends)


def _path(corners: list[Corner]) -> str:
    """Write a closed walk along corners (the last is the first again) as a path through the middles of its edges."""
    middles = [(x0 + x1, y0 + y1) for (x0, y0), (x1, y1) in pairwise(corners)]
    x, y = middles[0]
    parts = [f"M{x} {y}"]
    step, length = (0, 0), 0
    for (x0, y0), (x1, y1) in pairwise(middles):
        if (x1 - x0, y1 - y0) != step:
            parts.append(_stroke(step, length))
            step, length = (x1 - x0, y1 - y0), 0
        length += 1
    return "".join([*parts, _stroke(step, length), "z"])


def _stroke(step: Corner, length: int) -> str:
    """Write a run of equal steps, in the shortest form."""
    across, down = step[0] * length, step[1] * length
    if not across and not down:
        return ""
    return f"l{across} {down}" if across and down else f"h{across}" if across else f"v{down}"
