"""What markers say: which scans are done, failed, running or missing. The truth about a cohort is on the disk."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuronat import __version__
from neuronat.cohort.entry import Entry, Job, Row, key_of
from neuronat.cohort.locks import is_held, lock_path, stem_of_lock
from neuronat.errors import MissingInputError, UsageError
from neuronat.pipeline.settings import lacks_report, result_settings
from neuronat.record import Marker, broken_outputs, differences, marker_path, read_marker, shown_name, write_text

__all__ = [
    "failure_path",
    "is_tolerable",
    "read_rows",
    "require_same_making",
    "row_of_marker",
    "write_expected",
    "write_failure",
]

DONE, FAILED, EXPECTED = "_done.json", "_failed.json", "expected-"
LOGS = "logs"
VOLUMES = re.compile(r"_seg-([0-9A-Za-z+]+)_volumes\.tsv$")


def failure_path(out: Path, folder: str, stem: str) -> Path:
    """Return where the failure of a scan is written down."""
    return out / folder / f"{stem}{FAILED}"


def write_failure(out: Path, row: Row) -> None:
    """Write down why a scan has no result; whole or not at all."""
    fields = {key: value for key, value in asdict(row).items() if key not in ("folder", "stem")}
    fields |= {"version": __version__}
    write_text(failure_path(out, row.folder, row.stem), json.dumps(fields, indent=1, ensure_ascii=False) + "\n")


def write_expected(out: Path, text: str, name: str) -> None:
    """Keep the list of scans that a run was asked for, so that one that never began is known to be missing."""
    path = out / LOGS / f"{EXPECTED}{name}.tsv"
    if not path.is_file():
        write_text(path, text)


def read_rows(out: Path, *, verify: bool = False) -> Iterator[Row]:
    """Yield what became of every scan of a folder of results, from the markers alone.

    Parameters
    ----------
    out : Path
        The folder.
    verify : bool
        Compare the hashes of all files, too; what does not agree is missing.

    Yields
    ------
    Row
        Sorted by folder. `running` are scans whose lock a live run holds.

    Raises
    ------
    MissingInputError
        If there is no such folder, or it holds no results.

    Notes
    -----
    Source: ours. One pass over the folders, and nothing of a scan is kept: memory does not grow with the files.
    """
    if not out.is_dir():
        raise MissingInputError(f"{shown_name(out)}: not found; give the folder of the results")
    seen: set[str] = set()
    for folder, names in _folders(out):
        for row in _rows_of(out, folder, names, verify=verify):
            seen.add(row.key)
            yield row
    expected = list(_expected(out))
    for folder, stem in expected:
        if key_of(folder, stem) not in seen:
            seen.add(key_of(folder, stem))
            yield Row(folder=folder, stem=stem, state="missing", message="not begun, or stopped before it was done")
    if not seen and not expected:
        raise MissingInputError(f"{shown_name(out)}: holds no results of a cohort; give the folder of the results")


def row_of_marker(marker: Marker, folder: str, stem: str, state: str = "done") -> Row:
    """Turn the marker of a result into a row."""
    notes = marker.notes
    names = [*marker.outputs, *notes.get("packed", ())]
    return Row(
        folder=folder,
        stem=stem,
        state=state,
        verdict=str(notes.get("verdict", "")),
        warnings=tuple(notes.get("warnings", ())),
        duration_s=notes.get("duration_s"),
        peak_memory_gb=notes.get("peak_memory_gb"),
        device=str(notes.get("device", "")),
        version=marker.version,
        models=dict(marker.models),
        fallback=str(notes.get("fallback", "")),
        protocols=tuple(found[1] for name in sorted(names) if (found := VOLUMES.search(name))),
    )


def require_same_making(entries: Sequence[Entry], job: Job, models: dict[str, str]) -> None:
    """Raise UsageError if the folder holds results of another version, other models or other settings.

    Notes
    -----
    Source: ours. Inputs are not compared here: a scan that changed is computed anew.
    """
    wanted = Marker(version=__version__, inputs={}, models=models, settings=result_settings(job.config), outputs={})
    for entry in entries:
        marker = read_marker(marker_path(job.out / entry.folder, entry.stem))
        differing = [] if marker is None else [d for d in differences(marker, wanted) if not is_tolerable(d)]
        if differing:
            raise UsageError(
                f"{shown_name(job.out)}: holds a result of {entry.stem} made otherwise ({'; '.join(differing)}); "
                f"use --overwrite or another folder"
            )


def is_tolerable(difference: str) -> bool:
    """Tell whether a differing result is simply made anew: its scan has changed, or its report had failed."""
    return difference.startswith("inputs ") or lacks_report(difference)


def _folders(out: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield the folders of results with the names of their files; hidden ones and logs are left out."""
    for place, folders, names in os.walk(out):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not (place == str(out) and n == LOGS))
        relative = Path(place).relative_to(out).as_posix()
        yield "" if relative == "." else relative, set(names)


def _rows_of(out: Path, folder: str, names: set[str], *, verify: bool) -> Iterator[Row]:
    """Yield the rows of one folder: running before done before failed."""
    stems = {name.removesuffix(ending) for name in names for ending in (DONE, FAILED) if name.endswith(ending)}
    held = {stem for name in names if (stem := stem_of_lock(name)) and is_held(lock_path(out / folder, stem))}
    for stem in sorted(stems | held):
        if stem in held:
            yield Row(folder=folder, stem=stem, state="running")
            continue
        marker = read_marker(out / folder / f"{stem}{DONE}") if f"{stem}{DONE}" in names else None
        if marker is not None and not (verify and broken_outputs(marker, out / folder)):
            yield row_of_marker(marker, folder, stem)
        elif f"{stem}{FAILED}" in names:
            yield _failed_row(out, folder, stem)
        else:
            yield Row(folder=folder, stem=stem, state="missing", message="its files are damaged; run again")


def _failed_row(out: Path, folder: str, stem: str) -> Row:
    """Read why a scan has no result."""
    try:
        fields: dict[str, Any] = json.loads(failure_path(out, folder, stem).read_text(encoding="utf-8"))
        fields |= {name: tuple(fields.get(name, ())) for name in ("warnings", "protocols")}
        return Row(folder=folder, stem=stem, **fields)
    except (OSError, ValueError, TypeError, AttributeError):
        return Row(folder=folder, stem=stem, state="failed", code=70, message="its failure marker cannot be read")


def _expected(out: Path) -> Iterator[tuple[str, str]]:
    """Yield folder and stem of all scans that runs were asked for."""
    for path in sorted((out / LOGS).glob(f"{EXPECTED}*.tsv")):
        with path.open(encoding="utf-8") as lines:
            next(lines, None)
            for line in lines:
                folder, _, stem = line.rstrip("\n").partition("\t")
                if stem:
                    yield folder, stem
