import json

import numpy as np
import pytest

from neuronat.errors import UnusableInputError
from neuronat.report.curves import parse_log, running_mean


def line(iteration, loss, *accuracy):
    return json.dumps({"iteration": iteration, "loss": loss, "accuracy_per_task": list(accuracy)}) + "\n"


def test_curves_are_read_in_order_and_the_later_line_counts():
    text = line(50, 3.0, 0.1, 0.2) + line(150, 1.0, 0.5, 0.6) + line(100, 2.5, 0.3, 0.4) + line(150, 0.5, 0.7, 0.8)
    curves = parse_log(text)
    np.testing.assert_array_equal(curves.loss, [[50, 3.0], [100, 2.5], [150, 0.5]])
    np.testing.assert_array_equal(curves.accuracy_per_task[0], [[50, 0.1], [100, 0.3], [150, 0.7]])
    np.testing.assert_array_equal(curves.accuracy_per_task[1][:, 1], [0.2, 0.4, 0.8])
    assert curves.validation == {}


def test_validation_has_a_curve_per_name():
    text = line(50, 3.0) + '{"iteration": 50, "validation": {"dice": 0.4, "other": 1}}\n'
    curves = parse_log(text + '{"iteration": 90, "validation": {"dice": 0.6}}\n\n')
    np.testing.assert_array_equal(curves.validation["dice"], [[50, 0.4], [90, 0.6]])
    np.testing.assert_array_equal(curves.validation["other"], [[50, 1.0]])
    assert curves.accuracy_per_task == ()


def test_a_line_cut_off_at_the_end_is_forgiven_and_one_before_is_not():
    np.testing.assert_array_equal(parse_log(line(50, 3.0) + '{"iteration": 10').loss, [[50, 3.0]])
    with pytest.raises(UnusableInputError, match="line 1 is no log line"):
        parse_log('{"iteration": 10\n' + line(50, 3.0))
    with pytest.raises(UnusableInputError, match="holds no line of a training"):
        parse_log("\n")


def test_the_running_mean_is_computed_by_hand():
    points = np.column_stack([np.arange(100), np.zeros(100)]).astype(float)
    points[50, 1] = 3.0
    points[0, 1] = 2.0
    smooth = running_mean(points)
    expected = np.zeros(100)
    expected[49:52] = 1.0  # three points a window
    expected[:2] = 1.0, 2 / 3  # two points at the end
    np.testing.assert_allclose(smooth[:, 1], expected)
    np.testing.assert_array_equal(running_mean(points[:0]), points[:0])
