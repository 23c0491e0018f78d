"""Decide, before anything is computed, what is to do with each scan: it is done, to do, or cannot be done."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuronat import __version__
from neuronat.errors import NeuronatError, UnusableInputError, UsageError
from neuronat.nets.store import Model
from neuronat.pipeline.settings import SegmentConfig, lacks_report, result_settings
from neuronat.record import (
    Marker,
    broken_outputs,
    differences,
    marker_path,
    read_marker,
    shown_name,
    stem_of,
)
from neuronat.space.reading import hash_of_scan

__all__ = ["Task", "plan_task", "plan_tasks", "require_distinct", "require_unclaimed", "require_usable_name"]

MOST_NAME_BYTES = 255  # of a file, on the file systems in use
LONGEST_KIND = "probseg.nii.gz"


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """One scan to segment, or a reason not to: `is_done` (a verified result is there) or `failure`.

    `differing` names how a result that is there, and whole, differs from the one wanted.
    """

    scan: Path
    stem: str
    wanted: Marker | None = None
    is_done: bool = False
    outputs: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    failure: NeuronatError | None = None


def plan_tasks(scans: Sequence[Path], out: Path, config: SegmentConfig, models: Sequence[Model]) -> tuple[Task, ...]:
    """Decide for each scan whether it is to do, done already, or cannot be done.

    Raises
    ------
    UsageError
        If a folder holds a result of another scan, model, version or settings, unless it may be overwritten.

    Notes
    -----
    Source: ours. A result whose files are missing or changed counts as not there; one without the report that is
    wanted is made anew, for nothing is lost with it.
    """
    tasks = tuple(plan_task(scan, out, config, models) for scan in scans)
    for task in tasks:
        others = [line for line in task.differing if not lacks_report(line)]
        if others and not config.overwrite:
            raise UsageError(
                f"{shown_name(task.scan)}: the output folder holds another result of {task.stem} "
                f"({'; '.join(others)}); use --overwrite or another folder"
            )
    return tasks


def plan_task(scan: Path, out: Path, config: SegmentConfig, models: Sequence[Model]) -> Task:
    """Plan one scan (see `plan_tasks`); whether a differing result may be overwritten is left to the caller."""
    stem = stem_of(scan)
    offered = [protocol for model in models for protocol in model.schemes]
    try:
        require_usable_name(scan, config.protocols or offered)
        inputs = {shown_name(scan): hash_of_scan(scan, config.reading)}
        if config.mask is not None:
            inputs[f"mask {shown_name(config.mask)}"] = hash_of_scan(config.mask)
    except NeuronatError as error:
        return Task(scan=scan, stem=shown_name(Path(stem)), failure=error)  # fit for the line that tells it
    hashes = {model.name: model.sha256 for model in models}
    wanted = Marker(version=__version__, inputs=inputs, models=hashes, settings=result_settings(config), outputs={})
    there = read_marker(marker_path(out, stem))
    if there is None or broken_outputs(there, out):
        return Task(scan=scan, stem=stem, wanted=wanted)
    differing, outputs = differences(there, wanted), tuple(sorted(there.outputs))
    return Task(scan=scan, stem=stem, wanted=wanted, is_done=not differing, outputs=outputs, differing=differing)


def require_distinct(scans: Sequence[Path], out: Path, config: SegmentConfig) -> None:
    """Raise UsageError if outputs would share a name or replace an input, or scans a mask."""
    if not scans:
        raise UsageError("no scan is named; name at least one")
    _require_outside(scans, out)
    if config.mask is not None and len(scans) > 1:
        raise UsageError(f"one mask cannot serve {len(scans)} scans; segment them one by one")
    by_stem: dict[str, list[Path]] = {}
    for scan in scans:
        by_stem.setdefault(stem_of(scan), []).append(scan)
    for stem, group in by_stem.items():
        if len(group) > 1:
            listed = ", ".join(shown_name(scan) for scan in group)
            raise UsageError(f"{listed}: their outputs would share the name {stem}; use folders of their own")
    for path in (*scans, *([config.mask] if config.mask else [])):
        names = _output_prefixes(by_stem)
        if path.resolve().parent == out.resolve() and path.name.startswith(names) and _is_output(path.name):
            raise UsageError(
                f"{shown_name(path)}: is in the output folder and could be replaced; choose another folder"
            )


def require_usable_name(scan: Path, protocols: Iterable[str]) -> None:
    """Raise UnusableInputError if files cannot be named after a scan and the protocols that label it.

    Notes
    -----
    Source: ours. Markers, tables and pages are UTF-8 and hold the name; found after the work, it would be lost.
    """
    endings = [f"_seg-{protocol}_{LONGEST_KIND}" for protocol in protocols]
    try:
        n_bytes = max(len((stem_of(scan) + ending).encode("utf-8")) for ending in endings)
    except UnicodeEncodeError as error:
        raise UnusableInputError(f"{shown_name(scan)}: its name is not UTF-8; rename it") from error
    if n_bytes > MOST_NAME_BYTES:
        raise UnusableInputError(
            f"{shown_name(scan)}: names of its outputs would take {n_bytes} bytes, and {MOST_NAME_BYTES} is the limit; "
            "give it a shorter name"
        )


def require_unclaimed(name: str, marker: Path, config: SegmentConfig) -> None:
    """Raise UsageError if a whole result of another command, that of `marker`, has a label map called `name`.

    Notes
    -----
    Source: ours. `segment` and `targets` give their label maps names of one kind, and mark their results apart.
    """
    there = read_marker(marker)
    if config.overwrite or there is None or not any(path.startswith(f"{name}.") for path in there.outputs):
        return
    if not broken_outputs(there, marker.parent):
        raise UsageError(f"{name} in the output folder is of {marker.name}; use --overwrite or another folder")


def _require_outside(scans: Sequence[Path], out: Path) -> None:
    """Raise UsageError if outputs would lie inside a folder that is read."""
    for scan in scans:
        if scan.is_dir() and scan.resolve() in (out.resolve(), *out.resolve().parents):
            raise UsageError(f"{shown_name(scan)}: outputs would lie inside the folder of the scan; choose another one")


def _output_prefixes(stems: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(f"{stem}_" for stem in stems)


def _is_output(name: str) -> bool:
    """Tell whether a name is of the kind that segmenting writes."""
    return any(part in name for part in ("_seg-", "_desc-brain_mask.", "_done.json"))
