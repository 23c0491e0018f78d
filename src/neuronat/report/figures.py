"""Figures for papers and reports: box plots, learning curves, planes with labels. The only user of matplotlib.

Every function returns a figure that belongs to nobody else: no window, no global state. `render_figure` turns
it into the bytes of a file; the same figure gives the same bytes.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from neuronat.errors import ConfigError
from neuronat.labels.scheme import LabelScheme
from neuronat.labels.sides import Sided
from neuronat.measure.compare import Comparison
from neuronat.report.boxes import Box, placed_boxes, plan_boxes, row_places
from neuronat.report.curves import Curves, Points, running_mean
from neuronat.report.panels import crop_plane, hide_far_from_labels, label_edges, place_panels, shown_structures
from neuronat.report.planes import Plane, cut_planes
from neuronat.space.volume import LabelMap, Volume

__all__ = ["FORMATS", "draw_boxplots", "draw_learning_curves", "draw_segmentation", "render_figure"]

FORMATS = ("png", "pdf", "svg")
DOTS_PER_INCH = 200
# Okabe and Ito's colours, told apart by people who do not see red or green
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000", "#8c6d31")
STYLE: dict[Any, Any] = {"font.size": 8.0, "axes.linewidth": 0.6, "pdf.fonttype": 42, "svg.hashsalt": "neuronat"}
METRIC_TITLES = {
    "dice": "Dice coefficient",
    "hd95_mm": "95 % Hausdorff distance (mm)",
    "asd_mm": "average symmetric surface distance (mm)",
}
FILL_OPACITY = 0.35


def render_figure(figure: Figure, file_format: str) -> bytes:
    """Return a figure as the bytes of a file: `png`, `pdf` or `svg`; ConfigError for any other format.

    Notes
    -----
    Source: ours. No date and no program version goes into the file.
    """
    if file_format not in FORMATS:
        raise ConfigError(f"the format of a figure must be one of {', '.join(FORMATS)}; got {file_format!r}")
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}, "svg": {"Date": None}}
    stream = BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(
            stream,
            format=file_format,
            dpi=DOTS_PER_INCH,
            facecolor=figure.get_facecolor(),
            metadata=metadata[file_format],
        )
    return stream.getvalue()


def draw_boxplots(comparison: Comparison, *, metric: str = "dice") -> Figure:
    """Draw the scores of each structure over scans: a row per structure, a box and a colour per method.

    Parameters
    ----------
    comparison : Comparison
        Scores of M methods.
    metric : str
        `dice`, `hd95_mm` or `asd_mm`.

    Returns
    -------
    Figure
        Left and right of a structure stand next to each other; the scans' means over all structures come first.
        A triangle at the edge stands for a value beyond it.

    Raises
    ------
    ConfigError
        If the metric is not known.

    Notes
    -----
    Source: [DEEPNAT] evaluation; [TUKEY] for the boxes.
    """
    plan = plan_boxes(comparison, metric)
    n_columns, n_methods = len(plan.columns), len(comparison.methods)
    height = 0.9 + plan.height * (0.1 + 0.085 * n_methods)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6 if n_columns == 1 else 5.2 * n_columns, height), layout="constrained")
        for number, groups in enumerate(plan.columns):
            axes = figure.add_subplot(1, n_columns, number + 1, xlim=plan.limits, ylim=(plan.height + 0.2, -0.2))
            axes.set_xlabel(f"{METRIC_TITLES[metric]}, {len(comparison.scans)} scans")
            _draw_rows(axes, groups)
            for position, boxes in enumerate(plan.boxes):
                _draw_boxes(
                    axes,
                    placed_boxes(groups, boxes, position=position, n_methods=n_methods),
                    thickness=0.67 / n_methods,
                    colour=_colour(position),
                )
        handles = [Patch(color=_colour(position)) for position in range(n_methods)]
        figure.legend(handles, comparison.methods, loc="outside upper center", ncols=min(n_methods, 4), frameon=False)
    return figure


def draw_learning_curves(curves: Mapping[str, Curves]) -> Figure:
    """Draw loss, accuracy and validation over the iterations of one or several trainings.

    Parameters
    ----------
    curves : mapping of str to Curves
        By the name of the training, for the legend.

    Returns
    -------
    Figure
        Accuracy: the centre task as a line, the mean of its neighbours dotted. Faint: as logged; strong: running
        mean. The panel of the validation is left out where nobody validated.

    Notes
    -----
    Source: [DEEPNAT] evaluation. Ours: the running mean.
    """
    has_validation = any(entry.validation for entry in curves.values())
    titles = ["loss", "accuracy (dotted: neighbours)", *(["validation Dice"] if has_validation else [])]
    with mpl.rc_context(STYLE):
        n_rows = (len(curves) + 1) // 2  # of the legend, which shall not take the panels' height
        figure = Figure(figsize=(2.6 * len(titles), 2.3 + 0.17 * n_rows), layout="constrained")
        panels = [_curve_panel(figure, number, titles) for number in range(len(titles))]
        for position, entry in enumerate(curves.values()):
            _draw_curve(panels[0], entry.loss, _colour(position))
            neighbours = entry.accuracy_per_task[1:]
            if neighbours:
                _draw_curve(panels[1], np.mean(neighbours, axis=0), _colour(position), linestyle=":")
            if entry.accuracy_per_task:
                _draw_curve(panels[1], entry.accuracy_per_task[0], _colour(position))
            for points, linestyle in zip(entry.validation.values(), ("-", "--", ":", "-.") * 50, strict=False):
                panels[2].plot(*points.T, color=_colour(position), linestyle=linestyle, marker="o", markersize=3)
        if all((entry.loss[:, 1] > 0).all() for entry in curves.values()):
            panels[0].set_yscale("log")
            panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panels[0].yaxis.set_major_formatter("{x:g}")
            panels[0].yaxis.set_minor_formatter(NullFormatter())
        handles = [Patch(color=_colour(position)) for position in range(len(curves))]
        figure.legend(handles, list(curves), loc="outside upper center", ncols=2, frameon=False)
    return figure


def draw_segmentation(
    volume: Volume,
    label_map: LabelMap,
    *,
    centre_mm: tuple[float, float, float] | None = None,
    convention: str = "radiological",
    shown_mm: float = 5.0,
) -> Figure:
    """Draw three planes of a scan, above as it is, below with the labels in the colours of their scheme.

    Parameters
    ----------
    volume : Volume
        Grey values.
    label_map : LabelMap
        Labels on the grid of the volume.
    centre_mm : (3,) float, optional
        Where the planes cross, world mm, RAS+; without it the middle of the labels.
    convention : str
        `radiological` (the right of the body on the left) or `neurological`; letters in the figure say it.
    shown_mm : float
        What is further away from any label is not shown, so that no face can be recognized.

    Returns
    -------
    Figure
        Black; all panels to one scale in mm, whatever the spacing.

    Raises
    ------
    ConfigError
        If the convention is not known.
    GridError
        If volume and labels lie on different grids.

    Notes
    -----
    Source: ours.
    """
    cuts = cut_planes(volume, label_map, centre_mm=centre_mm, convention=convention)
    planes = [crop_plane(hide_far_from_labels(plane, shown_mm)) for plane in cuts]
    bright = np.concatenate([plane.values[plane.values != 0] for plane in planes])
    window = tuple(np.percentile(bright, [0.5, 99.5]).tolist()) if bright.size else (0.0, 1.0)
    entries = shown_structures(planes, label_map.scheme)
    names, colours = zip(*entries, strict=True) if entries else ((), ())
    rows, width_mm, height_mm = place_panels(planes, below_mm=6.0 + 11.0 * np.ceil(len(entries) / 4))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 7.2 * height_mm / width_mm), facecolor="black")
        for boxes, scheme in zip(rows, (label_map.scheme, None), strict=True):
            for plane, box in zip(planes, boxes, strict=True):
                _draw_plane(figure.add_axes(box), plane, scheme, window)
        handles = [Patch(facecolor=colour) for colour in colours]
        figure.legend(handles, names, loc="lower center", ncols=4, frameon=False, labelcolor="white", fontsize=7)
    return figure


def _draw_rows(axes: Axes, groups: Sequence[Sequence[Sided]]) -> None:
    """Name and shade the rows of one column."""
    places = row_places(groups)
    for number, (group, middles) in enumerate(zip(groups, places, strict=True)):
        if number % 2:
            axes.axhspan(middles[0] - 0.67, middles[-1] + 0.67, color="#f2f2f2", linewidth=0, zorder=0)
        axes.annotate(
            group[0].base,
            (0, (middles[0] + middles[-1]) / 2),
            xytext=(-16 if group[0].side else -4, 0),
            textcoords="offset points",
            xycoords=axes.get_yaxis_transform(),
            ha="right",
            va="center",
        )
    axes.set_yticks([p for middles in places for p in middles], [row.side[:1].upper() for g in groups for row in g])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.5, zorder=0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_boxes(axes: Axes, found: Sequence[tuple[float, Box]], *, thickness: float, colour: str) -> None:
    """Draw one method's boxes; values beyond the limits become triangles at the edge."""
    low, high = axes.get_xlim()
    middles = np.array([place for place, _ in found])
    numbers = np.array([(b.low, b.first, b.median, b.third, b.high) for _, b in found]).reshape(-1, 5)
    lows, firsts, medians, thirds, highs = numbers.T
    axes.hlines(middles, lows, highs, color=colour, linewidth=0.8, zorder=2)
    axes.barh(middles, thirds - firsts, thickness, left=firsts, color=_mixed(colour, 1.0), edgecolor=colour, zorder=3)
    tops, bottoms = middles - thickness / 2, middles + thickness / 2
    axes.vlines(medians, tops, bottoms, color=_mixed(colour, 0.0), linewidth=1.3, zorder=4)
    far = np.array([(x, place) for place, box in found for x in box.beyond]).reshape(-1, 2)
    for marker, size, points in (
        ("o", 4, far[(far[:, 0] >= low) & (far[:, 0] <= high)]),
        ("<", 9, far[far[:, 0] < low]),
        (">", 9, far[far[:, 0] > high]),
    ):
        places = np.clip(points[:, 0], low, high), points[:, 1]
        axes.scatter(*places, s=size, color=colour, marker=marker, linewidths=0, clip_on=False, zorder=5)


def _curve_panel(figure: Figure, number: int, titles: Sequence[str]) -> Axes:
    """Add one of several panels side by side."""
    axes = figure.add_subplot(1, len(titles), number + 1, xlabel="iteration", ylabel=titles[number])
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _draw_curve(axes: Axes, points: Points, colour: str, *, linestyle: str = "-") -> None:
    """Draw a curve as logged, faint, and its running mean."""
    axes.plot(*points.T, color=_mixed(colour, 1.0), linewidth=0.5, zorder=1)
    axes.plot(*running_mean(points).T, color=colour, linewidth=1.2, linestyle=linestyle, zorder=2)


def _draw_plane(axes: Axes, plane: Plane, scheme: LabelScheme | None, window: tuple[float, ...]) -> None:
    """Draw a plane in mm, its letters, and the labels if there is a scheme."""
    width, height = np.array(plane.values.shape) * plane.spacing_mm
    place: dict[str, Any] = {"origin": "lower", "extent": (0.0, width, 0.0, height), "aspect": "equal"}
    axes.imshow(plane.values.T, cmap="gray", vmin=window[0], vmax=window[1], interpolation="nearest", **place)
    if scheme and plane.ids is not None:
        colours = dict(zip(scheme.ids, scheme.colours, strict=True))
        paint = np.zeros((*plane.ids.shape, 4))
        for index in np.unique(plane.ids[plane.ids != 0]).tolist():
            paint[plane.ids == index] = (*to_rgb(colours[index]), FILL_OPACITY)
        axes.imshow(paint.transpose(1, 0, 2), interpolation="nearest", **place)
        edges, owners = label_edges(plane)
        axes.add_collection(LineCollection(list(edges), colors=[colours[o] for o in owners.tolist()], linewidths=0.5))
    else:
        axes.set_title(f"{plane.name}, {plane.position}", color="white", fontsize=7, y=0.0, va="top", pad=0)
    axes.set_axis_off()
    spots = ((0.01, 0.5, "left", "center"), (0.99, 0.5, "right", "center"), (0.5, 0.01, "center", "bottom"))
    for letter, (x, y, ha, va) in zip(plane.letters, (*spots, (0.5, 0.99, "center", "top")), strict=True):
        axes.text(x, y, letter, color="white", ha=ha, va=va, transform=axes.transAxes, fontweight="bold")


def _colour(position: int) -> str:
    return COLOURS[position % len(COLOURS)]


def _mixed(colour: str, grey: float) -> tuple[float, float, float]:
    """Mix a colour with as much white (1) or black (0)."""
    red, green, blue = ((grey + part) / 2 for part in to_rgb(colour))
    return red, green, blue
