"""Several scans, one after the other: planned before the first starts, and none stops the others."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from neuronat.nets.store import Model
from neuronat.pipeline.device import choose_device, limit_threads
from neuronat.pipeline.freesurfer import with_freesurfer_ids
from neuronat.pipeline.networks import Networks, chosen_protocols, load_models
from neuronat.pipeline.outputs import require_same_tables, staged, tidied, write_luts, write_result
from neuronat.pipeline.pack import pack_path, write_pack
from neuronat.pipeline.plan import Task, plan_tasks, require_distinct, require_unclaimed
from neuronat.pipeline.report import extras_of
from neuronat.pipeline.result import Result
from neuronat.pipeline.segment import read_inputs, segment_scan
from neuronat.pipeline.settings import Progress, SegmentConfig, no_progress
from neuronat.record import make_folder, marker_path, read_marker, sha256_of, write_marker
from neuronat.space.loading import naming
from neuronat.space.memory import peak_memory_bytes

__all__ = ["Outcome", "load_protocols", "place_networks", "run_task", "segment_files"]

logger = logging.getLogger(__name__)


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
        protocol is unknown, or the folder holds a result of another scan, model, version or settings, or of `targets`.
    ModelError, UnavailableError, OutputError
        Before anything is computed: the model, the device or the folder cannot be used.

    Notes
    -----
    Source: ours.
    """
    require_distinct(scans, out, config)
    models, protocols = load_protocols(config)
    tasks = plan_tasks(scans, out, config, models)
    for name in _label_maps(tasks, protocols, config):
        require_unclaimed(f"{name}_dseg", marker_path(out, name), config)
    with tidied(out):
        networks = None
        for task in tasks:
            if task.is_done or task.failure:
                yield _unchanged(task)
                continue
            if networks is None:
                make_folder(out)
                require_same_tables(out, [model.schemes[name] for name, model in protocols.items()])
                networks = place_networks(models, protocols, config)
            yield run_task(task, out, config, networks, progress=progress)


def load_protocols(config: SegmentConfig) -> tuple[tuple[Model, ...], dict[str, Model]]:
    """Load the models of a configuration; return them, and which of them answers in which protocol."""
    models = load_models(config.models, config.effort)
    return models, chosen_protocols(models, config)


def place_networks(models: Sequence[Model], protocols: Mapping[str, Model], config: SegmentConfig) -> Networks:
    """Choose threads and device, and return the networks that will calculate there."""
    limit_threads(config.n_threads)
    return Networks(protocols, choose_device(config.device), tuple(models))


def _label_maps(tasks: Sequence[Task], protocols: Iterable[str], config: SegmentConfig) -> list[str]:
    """Name the label maps that will be written as files of their own."""
    stems = [task.stem for task in tasks if not (task.is_done or task.failure or config.is_packed)]
    return [f"{stem}_seg-{protocol}" for stem, protocol in product(stems, protocols)]


def _unchanged(task: Task) -> Outcome:
    """Turn a task with nothing to do into its outcome."""
    state = "failed" if task.failure else "already done"
    return Outcome(scan=task.scan, stem=task.stem, state=state, outputs=task.outputs, failure=task.failure)


def run_task(
    task: Task,
    out: Path,
    config: SegmentConfig,
    networks: Networks,
    *,
    tables: Path | None = None,
    progress: Progress = no_progress,
) -> Outcome:
    """Segment one scan and write its files, the marker last; every exception becomes part of the outcome.

    Parameters
    ----------
    task : Task
        A scan that is to do.
    out : Path
        Folder for its files.
    config : SegmentConfig
        What the user decided.
    networks : Networks
        Models and device.
    tables : Path, optional
        Folder of the label tables that scans share; by default `out`.
    progress : callable, optional
        Takes the step's name and the share of this scan that is done.

    Returns
    -------
    Outcome
        `done`, or `failed` with the exception.

    Notes
    -----
    Source: ours.
    """
    start_s = time.monotonic()
    try:
        inputs = read_inputs(task.scan, config)
        with naming(task.scan):
            result = segment_scan(inputs, networks, config, lambda step, done: progress(f"{task.stem}: {step}", done))
        if config.has_freesurfer_ids:
            result = with_freesurfer_ids(result)
        extras, report_failure = extras_of(result, config)
        outputs, packed = _write(task, result, config, out, tables or out, extras)
        notes = _notes(result, config, networks, duration_s=time.monotonic() - start_s) | {"packed": packed}
        _mark(task, out, outputs, notes)
    except Exception as error:
        logger.debug("%s failed", task.stem, exc_info=True)
        took_s = time.monotonic() - start_s
        return Outcome(scan=task.scan, stem=task.stem, state="failed", failure=error, duration_s=took_s)
    return Outcome(
        scan=task.scan,
        stem=task.stem,
        state="done",
        outputs=(*outputs, marker_path(out, task.stem).name),
        result=result,
        report_failure=report_failure,
        duration_s=time.monotonic() - start_s,
    )


def _notes(result: Result, config: SegmentConfig, networks: Networks, *, duration_s: float) -> dict[str, Any]:
    """Return what a marker says beside the hashes."""
    return {
        "verdict": result.verdict,
        "reasons": list(result.reasons),
        "warnings": list(result.warnings),
        "device": str(networks.device),
        "fallback": config.fallback,
        "duration_s": round(duration_s, 2),
        "peak_memory_gb": round(peak_memory_bytes() / 1e9, 3),
    }


def _mark(task: Task, out: Path, outputs: Mapping[str, str], notes: Mapping[str, Any]) -> None:
    """Write the marker; without a report that was wanted, the work is not done."""
    if task.wanted is not None:
        settings = {**task.wanted.settings, "report": f"{task.stem}.html" in {*outputs, *notes["packed"]}}
        marker = replace(task.wanted, outputs=outputs, settings=settings, notes=notes)
        write_marker(marker_path(out, task.stem), marker)


def _write(
    task: Task, result: Result, config: SegmentConfig, out: Path, tables: Path, extras: Mapping[str, bytes]
) -> tuple[dict[str, str], list[str]]:
    """Replace what an older run left of this scan, marker and all.

    Return the hashes of the new files by name, and which files are in the one that packs them.
    """
    older = read_marker(marker_path(out, task.stem))
    marker_path(out, task.stem).unlink(missing_ok=True)
    write = partial(
        write_result,
        result,
        file_format=config.file_format,
        has_probabilities=config.has_probabilities,
        extras=extras,
        tables=tables,
    )
    names, packed = _write_pack(write, task, out) if config.is_packed else ([path.name for path in write(out)], [])
    shared = [f"seg-{protocol}_dseg.tsv" for protocol in result.labels]
    if config.has_luts:
        shared += write_luts(tables, [labels.scheme for labels in result.labels.values()])
    shared = [Path(os.path.relpath(tables, out), name).as_posix() for name in shared]
    for name in set(older.outputs if older else ()) - {*names, *shared}:
        if name.startswith((f"{task.stem}_", f"{task.stem}.")) and "/" not in name:
            (out / name).unlink(missing_ok=True)
    return {name: sha256_of(out / name) for name in [*names, *shared]}, packed


def _write_pack(write: Callable[[Path], Sequence[Path]], task: Task, out: Path) -> tuple[list[str], list[str]]:
    """Write the files of a scan into one; return its name, and theirs."""
    make_folder(out)
    pack = pack_path(out, task.stem)
    with staged(out, task.stem) as stage:
        files = write(stage)
        write_pack(pack, files)
    return [pack.name], [file.name for file in files]
