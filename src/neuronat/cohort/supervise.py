"""One scan from lock to row: a worker is asked, watched, and asked once more where that may help.

Whatever happens to the worker happens to one scan: it can die, hang, or run out of memory, and the next scan gets
a new one. Nothing here computes, so that a supervisor can be a thread of a Dask worker.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from neuronat.cohort.entry import Entry, Job, Row
from neuronat.cohort.ledger import failure_path, write_failure
from neuronat.cohort.locks import BEAT_S, beat, holder_name, lock_path, release, take_lock
from neuronat.cohort.seat import Seat, Seats, describe_death, empty_seat, peak_of, seated
from neuronat.cohort.worker import failed_row
from neuronat.errors import OutputError
from neuronat.pipeline.pack import pack_path
from neuronat.record import LONGEST_NAME, marker_path, remove_leftovers

__all__ = ["attend", "forget_stop", "log_path", "request_stop"]

TICK_S = 0.5
LOG_BYTES = 2**20
TIMEOUT_CODE, KILLED_CODE, BUSY_CODE, STOPPED_CODE = 75, 71, 75, 75
NO_SPACE = 73


def attend(seats: Seats, entry: Entry, job: Job) -> Row:
    """Do one scan in the next free seat.

    Parameters
    ----------
    seats : Seats
        The seats of this machine.
    entry : Entry
        The scan.
    job : Job
        What to do with it.

    Returns
    -------
    Row
        What became of it; nothing that happens to one scan is raised. A failure is written down beside the
        results, and so survives this process.

    Notes
    -----
    Source: ours.
    """
    seat = seats.get()
    folder = job.out / entry.folder
    try:
        if _stop_paths(job)[0].exists():
            return _row(entry, "stopped", code=STOPPED_CODE, message="the run was stopped before it began")
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_path(folder, entry.stem)
        if not take_lock(lock, job.run):
            return _row(entry, "busy", code=BUSY_CODE, message=f"another run has it ({holder_name(lock)})")
        try:
            log_path(entry, job).unlink(missing_ok=True)
            row, seat = _attempt_all(seat, entry, job, lock)
            _write_down(row, job)
        finally:
            remove_leftovers(folder, _names(entry))
            release(lock, job.run)
    except OSError as error:
        row = _no_space(failed_row(entry, error), job)
    finally:
        seats.put(seat)
    return row


def request_stop(job: Job, *, at_once: bool = False) -> None:
    """Tell all supervisors of a run, on all machines, to begin no scan any more, or to drop those at hand, too."""
    for path in _stop_paths(job)[: 2 if at_once else 1]:
        try:
            path.touch()
        except OSError:
            return  # a full disk; the workers end with this process


def forget_stop(job: Job) -> None:
    """Remove what `request_stop` left."""
    for path in _stop_paths(job):
        path.unlink(missing_ok=True)


def log_path(entry: Entry, job: Job) -> Path:
    """Return where the messages of one scan go: a name of its own, and none too long for a file system."""
    name = entry.key.replace("/", "__")
    if "__" in entry.key or len(os.fsencode(name)) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(entry.key)).hexdigest()[:8]
        name = f"{os.fsencode(name)[-LONGEST_NAME:].decode('utf-8', 'ignore')}-{digest}"
    return job.out / "logs" / f"{name}.log"


def _stop_paths(job: Job) -> tuple[Path, Path]:
    """Return the files that say: begin nothing any more; drop everything."""
    return job.out / f".neuronat-{job.run}.stop", job.out / f".neuronat-{job.run}.drop"


def _attempt_all(seat: Seat, entry: Entry, job: Job, lock: Path) -> tuple[Row, Seat]:
    """Ask a worker, and again with less where the failure may come from too little memory or a bad device."""
    row, seat = _ask(seat, entry, job, lock)
    for changed in _fallbacks(row, job):
        if not row.kind:
            break
        if row.kind == "device":
            seat = empty_seat(seat)
        row, seat = _ask(seat, entry, changed, lock)
    return row, seat


def _fallbacks(row: Row, job: Job) -> Iterator[Job]:
    """Yield what else to try: smaller tiles, or a new worker for a lost device; then the CPU, once each."""
    config = job.config
    smaller = replace(config, tile_vox=max(8, config.tile_vox // 2), fallback="smaller tiles")
    if row.kind == "device":
        smaller = replace(config, fallback="restarted worker")
    yield replace(job, config=smaller)
    if row.kind != "killed" and config.device != "cpu" and job.n_gpus:
        yield replace(job, config=replace(smaller, device="cpu", fallback="CPU"))


def _ask(seat: Seat, entry: Entry, job: Job, lock: Path) -> tuple[Row, Seat]:
    """Ask the seat's worker once; a dead or hanging one becomes a row, and the seat is empty then."""
    log = log_path(entry, job)
    start_s = time.monotonic()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        seat = seated(seat, job.config.n_threads or 1)
        if seat.connection is None:
            raise EOFError
        seat.connection.send((job, seat.number, entry, log))
        watch = Watch(deadline_s=start_s + job.timeout_s, drop=_stop_paths(job)[1], lock=lock, log=log)
        peak_bytes, verdict = _wait(seat, watch)
        if verdict:
            row = _dropped(verdict, entry, job, peak_bytes=peak_bytes)
            seat = empty_seat(seat, at_once=True)
        else:
            row, seat = _answer(seat, entry, job, peak_bytes=peak_bytes)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        row = _row(entry, "killed", code=KILLED_CODE, message=describe_death(seat, 0))
        row, seat = replace(row, kind="killed"), empty_seat(seat)
    return replace(row, duration_s=row.duration_s or round(time.monotonic() - start_s, 2)), seat


@dataclass(frozen=True)
class Watch:
    """What a supervisor looks at while a worker computes."""

    deadline_s: float
    drop: Path
    lock: Path
    log: Path


def _wait(seat: Seat, watch: Watch) -> tuple[int, str]:
    """Wait for an answer; return the peak memory seen, and `timeout` or `stopped` if waiting is over before."""
    peak_bytes, beaten_s = 0, time.monotonic()
    while seat.connection is not None and not seat.connection.poll(TICK_S):
        peak_bytes = max(peak_bytes, peak_of(seat))
        now_s = time.monotonic()
        if now_s - beaten_s > BEAT_S:
            beat(watch.lock)
            beaten_s = now_s
        _limit_log(watch.log)
        if now_s > watch.deadline_s:
            return peak_bytes, "timeout"
        if watch.drop.exists():
            return peak_bytes, "stopped"
    return max(peak_bytes, peak_of(seat)), ""


def _answer(seat: Seat, entry: Entry, job: Job, *, peak_bytes: int) -> tuple[Row, Seat]:
    """Take the answer of a worker that is ready or dead; replace one that has done many scans."""
    if seat.connection is None:
        raise EOFError
    try:
        row = seat.connection.recv()
    except (EOFError, OSError):
        row = _row(entry, "killed", code=KILLED_CODE, message=describe_death(seat, peak_bytes))
        return replace(row, kind="killed", peak_memory_gb=round(peak_bytes / 1e9, 3)), empty_seat(seat)
    if row.is_failure:
        row = _no_space(replace(row, peak_memory_gb=round(peak_bytes / 1e9, 3) or None), job)
    seat = Seat(seat.number, seat.process, seat.connection, seat.n_done + 1)
    return row, (empty_seat(seat) if seat.n_done >= job.scans_per_worker else seat)


def _dropped(verdict: str, entry: Entry, job: Job, *, peak_bytes: int) -> Row:
    """Say why waiting for a worker ended."""
    if verdict == "stopped":
        return _row(entry, "stopped", code=STOPPED_CODE, message="the run was stopped")
    message = f"not done after {job.timeout_s / 60:g} minutes; give more with --timeout, or look at the scan"
    return replace(
        _row(entry, "timeout", code=TIMEOUT_CODE, message=message), peak_memory_gb=round(peak_bytes / 1e9, 3)
    )


def _write_down(row: Row, job: Job) -> None:
    """Keep a failure on the disk until the scan is done."""
    path = failure_path(job.out, row.folder, row.stem)
    if row.is_failure:
        try:
            write_failure(job.out, row)
        except OutputError:
            return  # a full disk; the row still reaches the run
    elif row.state in ("done", "already done") and path.exists():
        path.unlink(missing_ok=True)


def _no_space(row: Row, job: Job) -> Row:
    """Add to a failure of writing how much space is left."""
    if row.code != NO_SPACE:
        return row
    try:
        left = os.statvfs(job.out)
        return replace(row, message=f"{row.message}; {left.f_bavail * left.f_frsize / 2**20:.0f} MiB are left")
    except OSError:
        return row


def _limit_log(path: Path) -> None:
    """Begin a log anew when it has grown too long: a storm shall not fill the disk."""
    try:
        if path.stat().st_size > LOG_BYTES:
            os.truncate(path, 0)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"note": "earlier messages were cut"}) + "\n")
    except OSError:
        return


def _names(entry: Entry) -> tuple[str, ...]:
    """Name what a killed worker or supervisor may have left unfinished."""
    stem = entry.stem
    files = (marker_path(Path(), stem), failure_path(Path(), "", stem), pack_path(Path(), stem))
    return (stem, f"{stem}.html", *(file.name for file in files))


def _row(entry: Entry, state: str, *, code: int, message: str) -> Row:
    return Row(folder=entry.folder, stem=entry.stem, state=state, code=code, message=message)
