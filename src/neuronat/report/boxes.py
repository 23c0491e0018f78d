"""Where the boxes of a box plot stand and how long they are; plain numbers, nothing is drawn here.

Structures are **rows**, from top to bottom, left and right of a structure next to each other; in a row, each
method has a box. A box runs from the first to the third quartile, its whiskers to the last value within 1.5
times the height of the box; what lies beyond is drawn as a point.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import ConfigError
from neuronat.labels.sides import Sided, group_by_structure
from neuronat.measure.compare import ALL_STRUCTURES, Comparison, mean_known

__all__ = [
    "Box",
    "BoxPlan",
    "axis_limits",
    "placed_boxes",
    "plan_boxes",
    "row_places",
    "split_columns",
    "summarize_box",
]

REACH = 1.5
GROUP_GAP = 0.35
ROWS_PER_COLUMN = 40
SHARE = 0.84


@dataclass(frozen=True, eq=False)
class Box:
    """Low whisker, first quartile, median, third quartile, high whisker; values beyond the whiskers."""

    low: float
    first: float
    median: float
    third: float
    high: float
    beyond: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BoxPlan:
    """Columns of groups of rows; boxes by method and row position; limits of the values; height of a column."""

    columns: tuple[tuple[Sequence[Sided], ...], ...]
    boxes: tuple[tuple[Box | None, ...], ...]
    limits: tuple[float, float]
    height: float


def row_places(groups: Sequence[Sequence[Sided]]) -> tuple[tuple[float, ...], ...]:
    """Return the height of each row's middle, growing downwards from 0.5: a row is 1 high, groups have a gap.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> row_places(group_by_structure(["Left-Thalamus", "Right-Thalamus", "Brain-Stem"]))
    ((0.5, 1.5), (2.85,))
    """
    places, top = [], 0.0
    for group in groups:
        places.append(tuple(round(top + number + 0.5, 6) for number in range(len(group))))
        top += len(group) + GROUP_GAP
    return tuple(places)


def split_columns(groups: Sequence[Sequence[Sided]]) -> tuple[tuple[Sequence[Sided], ...], ...]:
    """Deal groups out to columns of about equal length, one page each; no group is torn apart."""
    n_rows = sum(len(group) for group in groups)
    most = math.ceil(n_rows / math.ceil(n_rows / ROWS_PER_COLUMN))
    columns: list[list[Sequence[Sided]]] = [[]]
    for group in groups:
        if columns[-1] and sum(map(len, columns[-1])) + len(group) / 2 > most:
            columns.append([])
        columns[-1].append(group)
    return tuple(tuple(column) for column in columns)


def summarize_box(values: NDArray[np.float64]) -> Box | None:
    """Return the box of the values (N,) that are not NaN; None where none is left.

    Notes
    -----
    Source: [TUKEY]. Quartiles by linear interpolation.
    """
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return None
    first, median, third = np.percentile(known, [25, 50, 75]).tolist()
    reach = REACH * (third - first)
    within = known[(known >= first - reach) & (known <= third + reach)]
    beyond = known[(known < within[0]) | (known > within[-1])]
    return Box(float(within[0]), first, median, third, float(within[-1]), beyond)


def plan_boxes(comparison: Comparison, metric: str) -> BoxPlan:
    """Lay out the box plot of a comparison; the scans' means over all structures are the first row.

    Raises
    ------
    ConfigError
        If the comparison does not hold the metric.

    Notes
    -----
    Source: ours.
    """
    if metric not in comparison.values:
        raise ConfigError(f"metric must be one of {', '.join(comparison.values)}; got {metric!r}")
    values = comparison.values[metric]
    values = np.concatenate([mean_known(values)[:, :, None], values], axis=2)
    boxes = tuple(tuple(summarize_box(column) for column in method.T) for method in values)
    columns = split_columns(group_by_structure([ALL_STRUCTURES.capitalize(), *comparison.names]))
    return BoxPlan(
        columns=columns,
        boxes=boxes,
        limits=axis_limits([box for method in boxes for box in method if box], metric),
        height=max(row_places(groups)[-1][-1] + 0.5 for groups in columns),
    )


def placed_boxes(
    groups: Sequence[Sequence[Sided]], boxes: Sequence[Box | None], *, position: int, n_methods: int
) -> tuple[tuple[float, Box], ...]:
    """Return one method's boxes (by structure) in a column, with the height of their middle.

    Notes
    -----
    Source: ours. The boxes of the methods share 84 % of a row, in the methods' order, from top to bottom.
    """
    offset = (position - (n_methods - 1) / 2) * SHARE / n_methods
    return tuple(
        (middle + offset, box)
        for group, middles in zip(groups, row_places(groups), strict=True)
        for row, middle in zip(group, middles, strict=True)
        if (box := boxes[row.position])
    )


def axis_limits(boxes: Sequence[Box], metric: str) -> tuple[float, float]:
    """Return limits that hold all boxes and whiskers, with a little room: Dice within [0, 1], mm from 0.

    Single values far away do not count, so that one miss does not press all boxes together; who draws marks
    them at the edge.

    Notes
    -----
    Source: ours.
    """
    low = min((box.low for box in boxes), default=0.0) if metric == "dice" else 0.0
    high = max((box.high for box in boxes), default=1.0)
    room = 0.05 * (high - low) if high > low else 0.05
    return max(low - room, 0.0), min(high + room, 1.0) if metric == "dice" else high + room
