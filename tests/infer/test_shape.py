import numpy as np
import pytest
from scipy import ndimage

from neuronat.infer.shape import _mean_brain, fit_shape, weigh_by_shape

STEP_MM = 3.0


def head(shift_mm: tuple[float, float, float], scale: float, turn_degrees: float = 0.0) -> np.ndarray:
    """The mean brain somewhere in a field of view of 210 x 240 x 240 mm, tilted about the axis from left to right."""
    mean, extents_mm, margin = _mean_brain()
    values = mean.numpy()
    shape = (70, 80, 80)
    inner = np.array(values.shape) - 2 * margin
    angle = np.radians(turn_degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
    step = np.diag(inner / (extents_mm.numpy() * scale)) @ turn * STEP_MM
    middle = (np.array(shape) - 1) / 2 + np.array(shift_mm) / STEP_MM
    offset = (np.array(values.shape) - 1) / 2 - step @ middle
    return ndimage.affine_transform(values, step, offset, shape, order=1)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize(("shift", "scale", "turn"), [((0, 0, 0), 1.0, 0.0), ((9, -12, 24), 0.97, 12.0)])
def test_the_shape_goes_where_the_brain_is(shift, scale, turn):
    brain = head(shift, scale, turn)
    assert overlap(fit_shape(brain, STEP_MM) > 0.5, brain > 0.5) > 0.95


def test_neck_and_scalp_are_weighed_away_and_a_gap_is_not():
    brain = head((0, 0, 15), 1.0)
    share = np.where(brain > 0.5, 0.9, 0.1).astype(np.float32)
    neck, gap = np.zeros(brain.shape, bool), np.zeros(brain.shape, bool)
    neck[25:45, 25:50, :18] = True
    share[neck] = 0.9
    inside = np.argwhere(brain > 0.98).mean(0).round().astype(int)
    gap[tuple(slice(i - 2, i + 3) for i in inside)] = True
    share[gap] = 0.2
    assert overlap(share > 0.5, brain > 0.5) < 0.93
    weighed = weigh_by_shape(share, fit_shape(share, STEP_MM)) > 0.5
    assert weighed[neck & (brain < 0.02)].mean() < 0.2
    assert weighed[gap].all()
    assert overlap(weighed, brain > 0.5) > 0.96


def test_equal_evidence_leaves_the_other_as_it_is():
    share = np.array([[[0.0, 0.3, 1.0]]], np.float32)
    even = np.full((1, 1, 3), 0.5, np.float32)
    np.testing.assert_allclose(weigh_by_shape(share, even), [[[0.003, 0.3, 0.997]]], atol=1e-6)


def test_nothing_like_a_brain_gives_some_shape_and_no_error():
    fitted = fit_shape(np.zeros((20, 22, 24), np.float32), 4.0)
    assert np.isfinite(fitted).all()
