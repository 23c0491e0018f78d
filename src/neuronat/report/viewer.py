"""What the interactive viewer may show of a folder of results: planned first, plain data; `serve` hands it out.

Every file gets an **address** of its own. What has none is not there for a browser, whatever its path. A result is
known by its **title**: the folder below the one that is shown, and the stem. Equal stems in two folders are two people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from neuronat.errors import MissingInputError, UnusableInputError, UsageError
from neuronat.labels.scheme import read_scheme
from neuronat.record import shown_name, stem_of
from neuronat.space.files import write_volume
from neuronat.space.reading import read_scan
from neuronat.space.scan import ReadOptions
from neuronat.space.source import IMAGE_ENDINGS

__all__ = ["ASSETS", "Show", "plan_show", "read_asset", "viewable"]

ASSETS = {
    "/": ("view.html", "text/html; charset=utf-8"),
    "/view.css": ("view.css", "text/css; charset=utf-8"),
    "/view.js": ("view.js", "text/javascript; charset=utf-8"),
    "/niivue.umd.js": ("niivue.umd.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True, eq=False)
class Show:
    """What is handed out: files by address, and what the page is told of them (`results`, for JSON)."""

    files: Mapping[str, Path]
    results: Sequence[Mapping[str, Any]]


def plan_show(out: Path, scans: Sequence[Path] = ()) -> Show:
    """Find the results in a folder and below it, and the scans to show below them.

    Parameters
    ----------
    out : Path
        Folder that `segment` or `bids` wrote into.
    scans : sequence of Path
        Scans of these results; where one is missing, the brain mask is shown instead.

    Returns
    -------
    Show

    Raises
    ------
    MissingInputError
        If the folder or a scan is not there.
    UnusableInputError
        If the folder holds no label map, or a scan belongs to none of them.
    UsageError
        If a scan could belong to several results, or two scans to one.

    Notes
    -----
    Source: ours.
    """
    if not out.is_dir():
        raise MissingInputError(f"{shown_name(out)}: no such folder; name one that segment wrote into")
    maps: dict[str, list[Path]] = {}
    for path in sorted(out.rglob("*_dseg.*")):
        stem, mark, _ = path.name.partition("_seg-")
        if mark and path.name.endswith(IMAGE_ENDINGS) and _is_inside(path, out):
            maps.setdefault((path.parent.relative_to(out) / stem).as_posix(), []).append(path)
    if not maps:
        raise UnusableInputError(f"{shown_name(out)}: holds no label map (*_seg-*_dseg.*); segment a scan first")
    by_title = _scans_by_title(scans, maps)
    handed: dict[str, Path] = {}
    results = [_result(title, paths, by_title.get(title), out, handed) for title, paths in maps.items()]
    return Show(handed, results)


def viewable(scan: Path, folder: Path, options: ReadOptions) -> Path:
    """Return a scan as a file: itself, or a series of a DICOM folder, which is written into `folder`.

    Raises
    ------
    UsageError, UnusableInputError, MissingInputError, UnavailableError
        As `read_scan`, if it is a folder.

    Notes
    -----
    Source: ours.
    """
    if not scan.is_dir():
        return scan
    path = folder / f"{stem_of(scan)}.nii.gz"
    write_volume(path, read_scan(scan, options).volume)
    return path


def read_asset(name: str) -> bytes:
    """Return a file of the viewer itself."""
    return (files("neuronat.report") / "assets" / name).read_bytes()


def _result(title: str, paths: Sequence[Path], scan: Path | None, out: Path, handed: dict[str, Path]) -> dict[str, Any]:
    """Describe one scan's results, and add the files to those handed out."""
    layers, folder, stem = [], paths[0].parent, PurePosixPath(title).name
    for path in paths:
        protocol = path.name.partition("_seg-")[2].partition("_dseg.")[0]
        address = _hand_out(path, out, handed)
        layers.append(
            {"protocol": protocol, "name": path.name, "address": address, "table": _table(path, protocol, out)}
        )
    background = scan or next(
        (m for m in sorted(folder.glob(f"{stem}_desc-brain_mask.*")) if m.name.endswith(IMAGE_ENDINGS)), paths[0]
    )
    report = folder / f"{stem}.html"
    return {
        "title": title,
        "background": {"name": background.name, "address": _hand_out(background, out, handed)},
        "layers": layers,
        "report": _hand_out(report, out, handed) if report.is_file() else "",
    }


def _hand_out(path: Path, out: Path, handed: dict[str, Path]) -> str:
    """Give a file an address that ends in its name, as the viewer tells formats by it."""
    inner = path.resolve().parent.relative_to(out.resolve()) if _is_inside(path, out) else None
    folder = "/scan/." if inner is None else f"/out/{quote(inner.as_posix())}"
    address = f"{folder}/{quote(path.name)}".replace("/./", "/")
    handed[address] = path
    return address


def _table(path: Path, protocol: str, out: Path) -> list[tuple[int, str, str]]:
    """Read index, name and colour of a label map from the table beside it or above it."""
    name = f"seg-{protocol}_dseg.tsv"
    for folder in (path.parent, *path.parent.parents):
        if (folder / name).is_file():
            scheme = read_scheme(folder / name)
            return list(zip(scheme.ids, scheme.names, scheme.colours, strict=True))
        if folder == out:
            break
    raise UnusableInputError(f"{shown_name(path)}: its label table {name} is missing; segment the scan again")


def _scans_by_title(scans: Sequence[Path], maps: Mapping[str, object]) -> dict[str, Path]:
    """Say which scan belongs to which result."""
    by_title: dict[str, Path] = {}
    for scan in scans:
        if not scan.is_file():
            raise MissingInputError(f"{shown_name(scan)}: no such file; name the scan that was segmented")
        stem = stem_of(scan)
        fitting = [title for title in maps if PurePosixPath(title).name == stem]
        if not fitting:
            raise UnusableInputError(f"{shown_name(scan)}: there is no result of {stem}; there are {', '.join(maps)}")
        if len(fitting) > 1:
            raise UsageError(
                f"{shown_name(scan)}: could belong to any of {', '.join(fitting)}; show the folder of one of them"
            )
        if fitting[0] in by_title:
            raise UsageError(f"{shown_name(scan)}: a second scan of {fitting[0]}; name one")
        by_title[fitting[0]] = scan
    return by_title


def _is_inside(path: Path, out: Path) -> bool:
    """Tell whether a file lies in a folder, links followed."""
    return path.is_file() and path.resolve().is_relative_to(out.resolve())
