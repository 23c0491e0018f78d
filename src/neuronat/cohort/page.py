"""One page about a cohort: every scan in a table that sorts, and a box plot per structure. It loads nothing."""

import math
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import jinja2
import numpy as np

from neuronat import __version__
from neuronat.cohort.entry import Row
from neuronat.cohort.tables import VolumeTable
from neuronat.pipeline.pack import pack_path
from neuronat.record import write_whole
from neuronat.report.boxes import summarize_box

__all__ = ["GroupContent", "plan_boxes_of", "write_page"]

MOST_ROWS, MOST_POINTS, MOST_PICTURES = 5000, 40, 3
LAST_LETTER = "\U0010ffff"
WIDTH, LEAST, MOST = 560, 40.0, 160.0  # of a plot in pixels; percent of the median


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupContent:
    """What the page tells: a row per scan, volumes by protocol, unusual structures by scan."""

    rows: Sequence[Row]
    tables: Sequence[VolumeTable]
    outliers: Mapping[str, tuple[str, ...]]


def write_page(out: Path, content: GroupContent) -> None:
    """Write `group.html`, piece by piece; of a large cohort it shows the scans that need a look first.

    Parameters
    ----------
    out : Path
        The folder of the results; pictures and pages of single scans are linked where they are.
    content : GroupContent
        What to tell.

    Raises
    ------
    OutputError
        If it cannot be written.

    Notes
    -----
    Source: ours. Names come from files, so everything is escaped, and the page may load nothing from elsewhere.
    """
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
        files("neuronat.cohort").joinpath("group.html").read_text(encoding="utf-8")
    )
    shown = sorted(content.rows, key=lambda row: _is_fine(row, content))[:MOST_ROWS]
    listed = cache(_listed)  # once per folder: one may hold the pictures of 100,000 scans
    pieces = template.generate(
        version=__version__,
        n_scans=len(content.rows),
        counts=sorted(Counter(row.state for row in content.rows).items()),
        verdicts=sorted(Counter(row.verdict for row in content.rows if row.verdict).items()),
        n_outliers=len(content.outliers),
        n_shown=len(shown),
        scans=(_scan(out, row, content, listed) for row in shown),
        plots=[{"protocol": table.protocol, "boxes": plan_boxes_of(table)} for table in content.tables],
        width=WIDTH,
        ticks=[(percent, _place(percent)) for percent in (50, 75, 100, 125, 150)],
    )

    def write(stream: BinaryIO) -> None:
        for piece in pieces:
            stream.write(piece.encode("utf-8"))

    write_whole(out / "group.html", write)


def plan_boxes_of(table: VolumeTable) -> list[dict[str, Any]]:
    """Place a box plot per structure on one axis: percent of the structure's median over the cohort.

    Parameters
    ----------
    table : VolumeTable
        Volumes of one protocol.

    Returns
    -------
    list of dict
        Name, number of scans, median in ml, and places in pixels of whiskers, box and points; a place beyond the
        axis lies at its end. Structures that nobody has are left out.

    Notes
    -----
    Source: ours; the box is `report.boxes.summarize_box`.
    """
    plots = []
    for number, name in enumerate(table.structures):
        values = table.volumes_mm3[:, number]
        box = summarize_box(values)
        if box is None or box.median <= 0:
            continue
        to_percent = 100 / box.median
        low, first, middle, third, high = (
            _place(value * to_percent) for value in (box.low, box.first, box.median, box.third, box.high)
        )
        beyond = np.flatnonzero((values < box.low) | (values > box.high))
        farthest = beyond[np.argsort(-np.abs(values[beyond] - box.median))][:MOST_POINTS]
        points = [
            {"x": _place(values[i] * to_percent), "scan": table.scans[i], "ml": values[i] / 1000} for i in farthest
        ]
        plots.append(
            {"name": name, "n": int(np.sum(~np.isnan(values))), "median_ml": box.median / 1000, "points": points}
            | {"low": low, "first": first, "middle": middle, "third": third, "high": high}
        )
    return plots


def _place(percent: float) -> float:
    """Return where a value lies on the axis, in pixels."""
    share = (min(max(percent, LEAST), MOST) - LEAST) / (MOST - LEAST)
    return round(share * WIDTH, 1)


def _is_fine(row: Row, content: GroupContent) -> bool:
    """Tell whether a scan needs no look: done, plausible, with usual volumes."""
    return row.state == "done" and row.verdict not in ("review", "fail") and row.key not in content.outliers


def _scan(out: Path, row: Row, content: GroupContent, listed: Callable[[Path], list[str]]) -> dict[str, Any]:
    """Return what the table shows of one scan."""
    folder = out / row.folder
    pages = (folder / f"{row.stem}.html", pack_path(folder, row.stem))
    seconds, gigabytes = (math.nan if n is None else n for n in (row.duration_s, row.peak_memory_gb))
    return {
        "key": row.key,
        "page": next((_link(out, page) for page in pages if page.is_file()), ""),
        "pictures": [_link(out, picture) for picture in _pictures(out, row, listed)],
        "state": row.state,
        "verdict": row.verdict,
        "seconds": seconds,
        "gigabytes": gigabytes,
        "outliers": content.outliers.get(row.key, ()),
        "message": row.message or "; ".join(row.warnings),
        "is_fine": _is_fine(row, content),
    }


def _pictures(out: Path, row: Row, listed: Callable[[Path], list[str]]) -> Iterator[Path]:
    """Yield a few pictures of a scan, where its results offer some."""
    folder = out / row.folder
    for place in {folder: None, folder / "figures": None, out / row.folder.partition("/")[0] / "figures": None}:
        names = listed(place)
        found = [name for mark in "._" for name in _beginning_with(f"{row.stem}{mark}", names)]
        if found:
            yield from (place / name for name in found[:MOST_PICTURES])
            return


def _listed(folder: Path) -> list[str]:
    """Return the names of the pictures in a folder, sorted."""
    return sorted(path.name for path in folder.glob("*.png"))


def _beginning_with(start: str, names: Sequence[str]) -> Sequence[str]:
    """Return those of sorted names that begin so."""
    return names[bisect_left(names, start) : bisect_left(names, start + LAST_LETTER)]


def _link(out: Path, path: Path) -> str:
    """Return the address of a file relative to the page."""
    return quote(os.fsencode(path.relative_to(out)))  # bytes: a name need not be UTF-8
