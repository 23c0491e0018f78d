import numpy as np
import pytest
from matplotlib.collections import LineCollection

from neuronat.errors import ConfigError
from neuronat.labels.scheme import load_scheme
from neuronat.measure.compare import Comparison
from neuronat.report.curves import Curves
from neuronat.report.figures import draw_boxplots, draw_learning_curves, draw_segmentation, render_figure
from neuronat.space.volume import LabelMap, Volume

# stored as L, A, S
AFFINE = np.array([[-1.0, 0, 0, 30], [0, 2.0, 0, -20], [0, 0, 1.5, 30], [0, 0, 0, 1]])


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


@pytest.fixture
def comparison(rng):
    dice = rng.uniform(0.6, 0.9, (2, 7, 3))
    dice[1, 3, 0] = 0.0  # a miss
    dice[:, :, 2] = np.nan
    names = ("Left-Thalamus", "Right-Thalamus", "5th-Ventricle")
    scans = tuple(f"s{i}" for i in range(7))
    return Comparison(("one", "two"), scans, (10, 49, 72), names, {"dice": dice, "hd95_mm": dice * 10}, ())


@pytest.fixture
def segmentation(rng):
    values = rng.uniform(50, 200, (40, 30, 36)).astype(np.float32)
    ids = np.zeros((40, 30, 36), np.int16)
    ids[10:18, 8:20, 8:24] = 49  # low i is right
    ids[22:30, 8:20, 8:24] = 10
    return Volume(values, AFFINE), LabelMap(ids, AFFINE, load_scheme("deepnat25"))


def test_boxplots_name_structures_sides_methods_and_scans(comparison):
    figure = draw_boxplots(comparison)
    (axes,) = figure.axes
    assert texts_of(axes) == ["All structures", "Thalamus", "5th ventricle"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["", "L", "R", ""]
    assert axes.get_xlabel() == "Dice coefficient, 7 scans"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
    # two methods times the row of all structures and two rows of the thalamus; none for what nobody has
    assert sum(len(container) for container in axes.containers) == 6


def test_a_value_beyond_the_axis_becomes_a_triangle_at_its_edge(comparison):
    axes = draw_boxplots(comparison).axes[0]
    low = axes.get_xlim()[0]
    assert low > 0.3
    places = [tuple(offset) for points in axes.collections for offset in getattr(points, "get_offsets", list)()]
    assert min(x for x, _ in places if x > 0) == pytest.approx(low)


def test_one_method_of_many_structures_fills_columns():
    fine = load_scheme("neuromorphometrics")
    values = {"dice": np.full((1, 2, fine.n_classes - 1), 0.5)}
    comparison = Comparison(("one",), ("s0", "s1"), fine.ids[1:], fine.names[1:], values, ())
    figure = draw_boxplots(comparison)
    assert len(figure.axes) == 4
    assert sum(len(container) for axes in figure.axes for container in axes.containers) == fine.n_classes


def test_learning_curves_show_what_was_logged():
    points = np.column_stack([np.arange(1, 41), np.linspace(3, 1, 40)])
    full = Curves(points, (points / 3, points / 4, points / 5), {"dice": points[::10]})
    figure = draw_learning_curves({"seven tasks": full, "one task": Curves(points[:20], (points[:20] / 3,), {})})
    loss, accuracy, validation = figure.axes
    assert (loss.get_ylabel(), loss.get_yscale(), validation.get_ylabel()) == ("loss", "log", "validation Dice")
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), points[:, 1])
    assert [line.get_linestyle() for line in accuracy.lines[1::2]] == [":", "-", "-"]
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), points[:, 1] * (1 / 4 + 1 / 5) / 2)
    np.testing.assert_array_equal(validation.lines[0].get_ydata(), points[::10, 1])
    assert len(draw_learning_curves({"one task": Curves(points, (), {})}).axes) == 2


def test_a_segmentation_has_two_rows_with_letters_and_true_proportions(segmentation):
    figure = draw_segmentation(*segmentation)
    assert len(figure.axes) == 6
    # labels first, then the scan alone: coronal, axial, sagittal
    assert [texts_of(axes)[:2] for axes in figure.axes] == [["R", "L"], ["R", "L"], ["A", "P"]] * 2
    assert [axes.get_title().split(",")[0] for axes in figure.axes] == ["", "", "", "coronal", "axial", "sagittal"]
    assert [len(axes.images) for axes in figure.axes] == [2, 2, 2, 1, 1, 1]
    for axes in figure.axes:
        left, right, bottom, top = axes.images[0].get_extent()
        box = axes.get_position()
        width, height = figure.get_size_inches() * [box.width, box.height]
        np.testing.assert_allclose((right - left) / (top - bottom), width / height, rtol=1e-6)
    assert any(isinstance(part, LineCollection) for part in figure.axes[0].collections)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Thalamus"]


def test_the_right_of_the_body_is_where_the_letter_says(segmentation):
    volume, label_map = segmentation
    only_right = LabelMap(np.where(label_map.ids == 49, 49, 0), AFFINE, label_map.scheme)
    for convention, side in (("radiological", "R"), ("neurological", "L")):
        # the plane goes through the left thalamus; the right one is painted on one side only
        centre_mm = (30.0 - 20, -20 + 2.0 * 14, 30 + 1.5 * 16)
        axes = draw_segmentation(volume, only_right, centre_mm=centre_mm, convention=convention, shown_mm=60).axes[0]
        painted = axes.images[1].get_array()[:, :, 3].any(axis=0)
        assert texts_of(axes)[0] == side
        is_left_half = np.flatnonzero(painted).mean() < len(painted) / 2
        assert is_left_half == (side == "R")


def test_what_is_far_from_the_brain_is_black(segmentation):
    volume, label_map = segmentation
    image = draw_segmentation(volume, label_map, shown_mm=2.0).axes[3].images[0].get_array()
    near = draw_segmentation(volume, label_map, shown_mm=60.0).axes[3].images[0].get_array()
    assert np.count_nonzero(image) < 0.5 * np.count_nonzero(near)


@pytest.mark.parametrize(("file_format", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_same_figure_gives_the_same_bytes(comparison, file_format, start):
    first, second = (render_figure(draw_boxplots(comparison, metric="hd95_mm"), file_format) for _ in range(2))
    assert first.startswith(start)
    assert first == second


def test_unknown_formats_and_metrics_are_refused(comparison):
    with pytest.raises(ConfigError, match=r"one of png, pdf, svg; got 'gif'"):
        render_figure(draw_boxplots(comparison), "gif")
    with pytest.raises(ConfigError, match=r"one of dice, hd95_mm; got 'asd_mm'"):
        draw_boxplots(comparison, metric="asd_mm")
