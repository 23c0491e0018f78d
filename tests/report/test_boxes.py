import numpy as np
import pytest

from neuronat.errors import ConfigError
from neuronat.labels.sides import group_by_structure
from neuronat.measure.compare import Comparison
from neuronat.report.boxes import (
    Box,
    axis_limits,
    placed_boxes,
    plan_boxes,
    row_places,
    split_columns,
    summarize_box,
)

NAMES = ("Left-Thalamus", "3rd-Ventricle", "Right-Thalamus")


def test_a_box_is_computed_by_hand():
    # quartiles 2, 3, 4: whiskers reach to -1 and 7, so that 8 lies beyond and 5 does not
    box = summarize_box(np.array([8.0, 1.0, np.nan, 2.0, 3.0, 4.0, 3.0, 2.0, 3.0, 5.0]))
    assert (box.low, box.first, box.median, box.third, box.high) == (1.0, 2.0, 3.0, 4.0, 5.0)
    np.testing.assert_array_equal(box.beyond, [8.0])


def test_nothing_known_has_no_box_and_one_value_a_flat_one():
    assert summarize_box(np.array([np.nan, np.nan])) is None
    flat = summarize_box(np.array([0.5]))
    assert (flat.low, flat.median, flat.high, len(flat.beyond)) == (0.5, 0.5, 0.5, 0)


def test_methods_share_a_row_and_groups_have_a_gap():
    groups = group_by_structure(NAMES)
    boxes = [Box(i, i, i, i, i, np.zeros(0)) for i in range(2)] + [None]
    assert row_places(groups) == ((0.5, 1.5), (2.85,))
    first, second = (placed_boxes(groups, boxes, position=position, n_methods=2) for position in (0, 1))
    np.testing.assert_allclose([place for place, _ in first], [0.5 - 0.21, 2.85 - 0.21])
    np.testing.assert_allclose([place for place, _ in second], [0.5 + 0.21, 2.85 + 0.21])
    assert [box.median for _, box in first] == [0, 1]


def test_columns_are_of_about_equal_length_and_tear_no_pair():
    names = [f"{side}-Part{number}" for number in range(35) for side in ("Left", "Right")]
    columns = split_columns(group_by_structure(names))
    assert [sum(map(len, column)) for column in columns] == [36, 34]
    assert all(len(group) == 2 for column in columns for group in column)
    assert len(split_columns(group_by_structure(names[:40]))) == 1


def test_far_values_do_not_stretch_the_axis():
    boxes = [Box(0.5, 0.6, 0.7, 0.8, 0.9, np.array([0.0])), Box(0.6, 0.6, 0.7, 0.8, 1.0, np.zeros(0))]
    np.testing.assert_allclose(axis_limits(boxes, "dice"), [0.475, 1.0])
    np.testing.assert_allclose(axis_limits(boxes, "hd95_mm"), [0.0, 1.05])
    assert axis_limits([], "dice") == (0.0, 1.0)


def test_the_plan_begins_with_the_scans_means():
    values = np.array([[[0.2, 0.4, 0.6], [0.5, np.nan, 0.9]]])
    comparison = Comparison(("x",), ("s0", "s1"), (10, 14, 49), NAMES, {"dice": values}, ())
    plan = plan_boxes(comparison, "dice")
    assert [[row.base for row in group] for column in plan.columns for group in column] == [
        ["All structures"],
        ["Thalamus", "Thalamus"],
        ["3rd ventricle"],
    ]
    np.testing.assert_allclose([box.median for box in plan.boxes[0]], [0.55, 0.35, 0.4, 0.75])
    with pytest.raises(ConfigError, match=r"metric must be one of dice; got 'volume'"):
        plan_boxes(comparison, "volume")
