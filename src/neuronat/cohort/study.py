"""The participant level: everything is checked first, then the scans are handed out."""

import hashlib
import math
import secrets
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from neuronat.cohort.bids import write_description
from neuronat.cohort.engine import has_dask, open_engine
from neuronat.cohort.entry import Cohort, Job, Row, Selection
from neuronat.cohort.ledger import failure_path, require_same_making, write_expected, write_failure
from neuronat.cohort.machine import Machine, Sizes, describe_sizes, measure_machine, plan_sizes
from neuronat.cohort.manifest import find_cohort, write_manifest_text
from neuronat.cohort.need import bytes_per_scan, disk_bytes_per_scan
from neuronat.cohort.progress import Say, final_line, progress_line
from neuronat.cohort.run import Rules, Tally, exit_code, run_cohort
from neuronat.cohort.work import open_segmentation
from neuronat.errors import ConfigError, OutputError, UsageError
from neuronat.pipeline.batch import load_protocols
from neuronat.pipeline.device import choose_device, device_names
from neuronat.pipeline.memory import TILES
from neuronat.pipeline.outputs import require_same_tables, tidied
from neuronat.pipeline.settings import SegmentConfig
from neuronat.record import counted, make_folder, shown_name

__all__ = ["StudyConfig", "run_participants"]


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What the user decided about a run; sizes that are None are chosen by cores and memory."""

    segment: SegmentConfig
    selection: Selection = field(default_factory=Selection)
    rules: Rules = field(default_factory=Rules)
    n_workers: int | None = None
    memory_gb: float | None = None
    scheduler: str = ""
    timeout_s: float = 1800.0
    scans_per_worker: int = 50

    def __post_init__(self) -> None:
        for name in ("memory_gb", "timeout_s", "scans_per_worker"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be a finite number above 0; got {value:g}")


def run_participants(source: Path, out: Path, config: StudyConfig, say: Say) -> int:
    """Segment the scans of a cohort.

    Parameters
    ----------
    source : Path
        BIDS data set, folder, or list (`cohort.manifest`).
    out : Path
        Folder for the results.
    config : StudyConfig
        What the user decided.
    say : callable
        Takes the lines for the user: the plan, one per scan, the end; and whether they tell of a failure.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    UsageError
        Before anything is computed: filters, names, or a folder with results made otherwise.
    MissingInputError
        If there are no scans.
    ModelError, UnavailableError
        If model, device or cluster cannot be used.
    OutputError
        If the folder cannot be written to.

    Notes
    -----
    Source: ours.
    """
    if config.segment.mask is not None:
        raise UsageError("one mask cannot serve a cohort; use --masks, or a table with the column mask")
    cohort = find_cohort(source, out, config.selection)
    is_serial = not (has_dask() or config.scheduler)
    if is_serial:
        config = replace(config, n_workers=1 if config.n_workers is None else min(config.n_workers, 1))
    with tidied(out):
        make_folder(out)
        machine, job = _check(cohort, out, config)
        sizes = _sizes(cohort, machine, config)
        job = replace(job, config=replace(job.config, n_threads=sizes.n_threads, tile_vox=sizes.tile_vox))
        _prepare_folder(cohort, source, out, job)
    say(f"{counted(len(cohort.entries), 'scan')}; {describe_sizes(sizes, machine)}", False)
    if is_serial and len(cohort.entries) > 1:
        several = "pip install 'neuronat[cohort]' for several at once"
        say(f"dask is not installed, so one scan follows the other; {several}", False)
    for gap in cohort.gaps:
        say(f"{gap.stem}: {'failed' if gap.is_failure else 'skipped'}, {gap.message}", gap.is_failure)
    begun_s = time.monotonic()

    def report(row: Row, tally: Tally) -> None:
        went_wrong = row.is_failure or (row.state == "done" and row.code > 0)  # a report that failed
        say(progress_line(row, tally, elapsed_s=time.monotonic() - begun_s), went_wrong)

    with open_engine(job, n_workers=sizes.n_workers, scheduler=config.scheduler) as engine:
        if engine.dashboard:
            say(f"dashboard: {engine.dashboard}", False)
        tally = run_cohort(cohort.entries, job, engine, config.rules, report)
    if tally.ended:
        say(tally.ended, True)
    n_gaps = sum(gap.is_failure for gap in cohort.gaps)
    say(final_line(tally, time.monotonic() - begun_s, n_gaps=n_gaps), bool(tally.codes or n_gaps))
    return exit_code(tally, n_gaps)


def _check(cohort: Cohort, out: Path, config: StudyConfig) -> tuple[Machine, Job]:
    """Find out whether the work can be done at all: model, device, disk, and what the folder holds."""
    models, protocols = load_protocols(config.segment)
    require_same_tables(out, [model.schemes[name] for name, model in protocols.items()])
    n_gpus = 0
    if config.segment.device != "cpu":
        choose_device(config.segment.device)
        n_gpus = len(device_names()) - 1 if config.segment.device == "auto" else 1
    job = Job(
        out=out.resolve(),
        config=config.segment,
        run=secrets.token_hex(6),
        work=open_segmentation,
        timeout_s=config.timeout_s,
        scans_per_worker=config.scans_per_worker,
        n_gpus=n_gpus,
    )
    if not config.segment.overwrite:
        require_same_making(cohort.entries, job, {model.name: model.sha256 for model in models})
    machine = measure_machine(n_gpus)
    if config.memory_gb is not None:  # the user's own limit counts as what is free
        machine = replace(machine, free_bytes=int(1e9 * config.memory_gb))
    return machine, job


def _sizes(cohort: Cohort, machine: Machine, config: StudyConfig) -> Sizes:
    """Plan the workers."""
    return plan_sizes(
        machine,
        {tile_vox: bytes_per_scan(cohort.entries, tile_vox) for tile_vox in TILES},
        n_scans=len(cohort.entries),
        n_workers=config.n_workers,
        n_threads=config.segment.n_threads,
    )


def _prepare_folder(cohort: Cohort, source: Path, out: Path, job: Job) -> None:
    """Write what the scans share, the list of what is expected, and the gaps."""
    need = disk_bytes_per_scan(has_probabilities=job.config.has_probabilities)
    free = shutil.disk_usage(out).free
    if free < need:
        raise OutputError(
            f"{shown_name(out)}: no space: need {need / 2**20:.0f} MiB for a scan, have {free / 2**20:.0f} MiB"
        )
    if cohort.is_bids:
        write_description(source, out)
    text = write_manifest_text(cohort)
    write_expected(out, text, hashlib.sha256(text.encode()).hexdigest()[:16])
    for subject in {entry.folder.partition("/")[0] for entry in cohort.entries}:
        failure_path(out, subject, subject).unlink(missing_ok=True)
    for gap in cohort.gaps:
        state = "failed" if gap.is_failure else "skipped"
        write_failure(out, Row(folder=gap.folder, stem=gap.stem, state=state, code=gap.code, message=gap.message))
