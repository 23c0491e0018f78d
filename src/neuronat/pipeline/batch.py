"""Several scans, one after the other: planned before the first starts, and none stops the others."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neuronat import __version__
from neuronat.errors import NeuronatError, UsageError
from neuronat.measure.doubts import require_no_doubt
from neuronat.nets.store import Model
from neuronat.pipeline.device import choose_device, limit_threads
from neuronat.pipeline.freesurfer import with_freesurfer_ids
from neuronat.pipeline.networks import Networks, chosen_protocols, load_models
from neuronat.pipeline.outputs import require_same_tables, write_luts, write_result
from neuronat.pipeline.report import texts_of
from neuronat.pipeline.result import Result
from neuronat.pipeline.segment import read_inputs, segment_scan
from neuronat.pipeline.settings import Progress, SegmentConfig, no_progress, result_settings
from neuronat.record import (
    Marker,
    broken_outputs,
    differences,
    make_folder,
    read_marker,
    sha256_of,
    shown_name,
    stem_of,
    write_marker,
)
from neuronat.space.loading import naming
from neuronat.space.reading import hash_of_scan

__all__ = ["Outcome", "Task", "plan_tasks", "require_distinct", "segment_file", "segment_files"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """One scan to segment, or a reason not to: `is_done` (a verified result is there) or `failure`."""

    scan: Path
    stem: str
    wanted: Marker | None = None
    is_done: bool = False
    outputs: tuple[str, ...] = ()
    failure: NeuronatError | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What became of one scan: `state` is `done`, `already done` or `failed`; then `failure` says why.

    `report_failure` says why a scan that is done has no report.
    """

    scan: Path
    stem: str
    state: str
    outputs: tuple[str, ...] = ()
    result: Result | None = None
    failure: BaseException | None = None
    report_failure: BaseException | None = None
    duration_s: float = 0.0


def segment_files(
    scans: Sequence[Path], out: Path, config: SegmentConfig, progress: Progress = no_progress
) -> Iterator[Outcome]:
    """Segment scans into a folder; the outcomes come as they are ready, and one failure stops no other scan.

    Parameters
    ----------
    scans : sequence of Path
        Images of one head each.
    out : Path
        Folder for the results; made if need be.
    config : SegmentConfig
        What the user decided.
    progress : callable, optional
        Takes the step's name and the share of this scan that is done.

    Yields
    ------
    Outcome
        One per scan, in their order.

    Raises
    ------
    UsageError
        Before anything is computed: two scans would give one name, an output would replace an input, a
        protocol is unknown, or the folder holds a result of another scan, model, version or settings.
    ModelError, UnavailableError, OutputError
        Before anything is computed: the model, the device or the folder cannot be used.

    Notes
    -----
    Source: ours.
    """
    require_distinct(scans, out, config)
    models = load_models(config.models)
    protocols = chosen_protocols(models, config)
    tasks = plan_tasks(scans, out, config, models)
    is_new = not out.exists()
    try:
        networks = None
        for task in tasks:
            if task.is_done or task.failure:
                yield _unchanged(task)
                continue
            if networks is None:
                make_folder(out)
                require_same_tables(out, [model.schemes[name] for name, model in protocols.items()])
                limit_threads(config.n_threads)
                networks = Networks(protocols, choose_device(config.device), models)
            yield _run(task, out, config, networks, progress)
    finally:
        if is_new and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def segment_file(scan: Path, out: Path, config: SegmentConfig, progress: Progress = no_progress) -> Outcome:
    """Segment one scan into a folder; its error is raised as it is (see `segment_files`)."""
    outcome = next(iter(list(segment_files([scan], out, config, progress))))
    if outcome.failure is not None:
        raise outcome.failure
    return outcome


def plan_tasks(scans: Sequence[Path], out: Path, config: SegmentConfig, models: Sequence[Model]) -> tuple[Task, ...]:
    """Decide for each scan whether it is to do, done already, or cannot be done.

    Raises
    ------
    UsageError
        If a folder holds a result of another scan, model, version or settings, unless it may be overwritten.

    Notes
    -----
    Source: ours. A result whose files are missing or changed counts as not there.
    """
    hashes = {model.name: model.sha256 for model in models}
    return tuple(_plan(scan, out, config, hashes) for scan in scans)


def _plan(scan: Path, out: Path, config: SegmentConfig, models: Mapping[str, str]) -> Task:
    """Plan one scan."""
    stem = stem_of(scan)
    try:
        inputs = {shown_name(scan): hash_of_scan(scan, config.reading)}
        if config.mask is not None:
            inputs[f"mask {shown_name(config.mask)}"] = hash_of_scan(config.mask)
    except NeuronatError as error:
        return Task(scan=scan, stem=stem, failure=error)
    settings = result_settings(config)
    wanted = Marker(version=__version__, inputs=inputs, models=models, settings=settings, outputs={})
    there = read_marker(_marker_path(out, stem))
    if there is None or broken_outputs(there, out):
        return Task(scan=scan, stem=stem, wanted=wanted)
    differing = differences(there, wanted)
    if differing and not config.overwrite:
        raise UsageError(
            f"{shown_name(scan)}: the output folder holds another result of {stem} ({'; '.join(differing)}); "
            f"use --overwrite or another folder"
        )
    return Task(scan=scan, stem=stem, wanted=wanted, is_done=not differing, outputs=tuple(sorted(there.outputs)))


def _unchanged(task: Task) -> Outcome:
    """Turn a task with nothing to do into its outcome."""
    state = "failed" if task.failure else "already done"
    return Outcome(scan=task.scan, stem=task.stem, state=state, outputs=task.outputs, failure=task.failure)


def _run(task: Task, out: Path, config: SegmentConfig, networks: Networks, progress: Progress) -> Outcome:
    """Segment one scan and write its files, the marker last; every exception becomes part of the outcome."""
    start_s = time.monotonic()
    try:
        inputs = read_inputs(task.scan, config)
        with naming(task.scan):
            result = segment_scan(inputs, networks, config, lambda step, done: progress(f"{task.stem}: {step}", done))
            require_no_doubt(result.reasons, strict=config.strict and result.verdict != "pass")
        if config.has_freesurfer_ids:
            result = with_freesurfer_ids(result)
        texts, report_failure = texts_of(result, config)
        outputs = _write(task, result, out, config, texts)
    except Exception as error:
        logger.debug("%s failed", task.stem, exc_info=True)
        return Outcome(
            scan=task.scan,
            stem=task.stem,
            state="failed",
            failure=error,
            duration_s=time.monotonic() - start_s,
        )
    duration_s = time.monotonic() - start_s
    return Outcome(
        scan=task.scan,
        stem=task.stem,
        state="done",
        outputs=outputs,
        result=result,
        report_failure=report_failure,
        duration_s=duration_s,
    )


def _write(task: Task, result: Result, out: Path, config: SegmentConfig, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Replace what an older run left of this scan: write the files, and the marker when all are there."""
    marker_path = _marker_path(out, task.stem)
    older = read_marker(marker_path)
    marker_path.unlink(missing_ok=True)
    paths = write_result(
        result,
        out,
        file_format=config.file_format,
        has_probabilities=config.has_probabilities,
        texts=texts,
    )
    names = [path.name for path in paths]
    shared = [f"seg-{protocol}_dseg.tsv" for protocol in result.labels]
    if config.has_luts:
        shared += write_luts(out, [labels.scheme for labels in result.labels.values()])
    for name in set(older.outputs if older else ()) - {*names, *shared}:
        if name.startswith((f"{task.stem}_", f"{task.stem}.")) and "/" not in name:
            (out / name).unlink(missing_ok=True)
    outputs = {name: sha256_of(out / name) for name in [*names, *shared]}
    wanted = task.wanted
    if wanted is not None:
        notes = {"verdict": result.verdict, "reasons": list(result.reasons), "warnings": list(result.warnings)}
        settings = {
            **wanted.settings,
            "report": f"{task.stem}.html" in texts,
        }  # without a report that was wanted, the work is not done
        write_marker(marker_path, replace(wanted, outputs=outputs, settings=settings, notes=notes))
    return (*names, *shared, marker_path.name)


def _marker_path(out: Path, stem: str) -> Path:
    return out / f"{stem}_done.json"


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
