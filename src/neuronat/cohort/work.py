"""What a worker does with a scan: plan it, segment it if need be, and say in a row what became of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from neuronat.cohort.entry import Entry, Job, Row
from neuronat.cohort.ledger import is_tolerable, row_of_marker
from neuronat.errors import UsageError
from neuronat.pipeline.batch import load_protocols, place_networks, run_task
from neuronat.pipeline.codes import BUG
from neuronat.pipeline.device import device_names
from neuronat.pipeline.outputs import require_same_tables
from neuronat.pipeline.plan import plan_task
from neuronat.record import marker_path, read_marker
from neuronat.space.memory import reset_peak_memory

__all__ = ["open_segmentation"]

CHANGED = "the scan has changed since its last result, which was replaced"


def open_segmentation(job: Job, seat: int) -> Callable[[Entry], Row]:
    """Load the models once and return the function that segments one scan after the other.

    Parameters
    ----------
    job : Job
        The cohort's job.
    seat : int
        Number of the worker's seat; workers take the GPUs in turn.

    Returns
    -------
    callable
        Takes an entry and returns its row; an error of ours is a row, too.

    Raises
    ------
    ModelError, UnavailableError
        If the model or the device cannot be used.

    Notes
    -----
    Source: ours.
    """
    config = job.config
    n_gpus = len(device_names()) - 1
    if config.device == "auto" and n_gpus:
        config = replace(config, device=f"cuda:{seat % n_gpus}")
    models, protocols = load_protocols(config)
    networks = place_networks(models, protocols, config)
    require_same_tables(job.out, [model.schemes[name] for name, model in protocols.items()])

    def segment_entry(entry: Entry) -> Row:
        reset_peak_memory()
        out, own = job.out / entry.folder, replace(config, mask=entry.mask)
        task = plan_task(entry.scan, out, own, models)
        if task.failure is not None:
            raise task.failure
        if not all(is_tolerable(line) for line in task.differing) and not config.overwrite:
            raise UsageError(f"its result was made otherwise ({'; '.join(task.differing)}); use --overwrite")
        if task.is_done:
            return _row(entry, out, "already done")
        outcome = run_task(task, out, own, networks, tables=job.out)
        if outcome.failure is not None:
            raise outcome.failure
        row = _row(entry, out, outcome.state)
        if outcome.report_failure is not None:
            reason = " ".join(str(outcome.report_failure).split())
            return replace(row, code=BUG, message=f"its report failed ({reason}); labels and volumes are whole")
        has_changed = any(line.startswith("inputs ") for line in task.differing)
        return replace(row, message=CHANGED) if has_changed else row

    return segment_entry


def _row(entry: Entry, out: Path, state: str) -> Row:
    """Read a row from the marker that was just written, or found."""
    marker = read_marker(marker_path(out, entry.stem))
    if marker is None:
        raise RuntimeError(f"{entry.stem}: done, and has no marker")
    return row_of_marker(marker, entry.folder, entry.stem, state)
