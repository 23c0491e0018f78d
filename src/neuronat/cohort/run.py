"""Run a cohort: hand out the scans, take in what became of them, and know when to stop."""

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field

from neuronat.cohort.engine import Engine
from neuronat.cohort.entry import FAILED_STATES, Entry, Job, Row
from neuronat.cohort.supervise import forget_stop, request_stop
from neuronat.errors import ConfigError

__all__ = ["Rules", "Tally", "exit_code", "run_cohort"]

SEATS_AGE_S = 2.0
FEWEST_WAITING = 4
PATIENCE_S = 20.0
DISK_FULL, SOME_FAILED, TRY_AGAIN = 73, 1, 75
LOST = "its machine was lost, or the cluster gave it up"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When a run ends before its time.

    `grace_s`: how long scans may go on after a signal. `most_alike`: so many failures of one kind in a row
    end the run, `most_unwritten` if it is the disk; `keep_going` lifts both.
    """

    grace_s: float = 30.0
    most_alike: int = 10
    most_unwritten: int = 3
    keep_going: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.grace_s < math.inf:
            raise ConfigError(f"grace must be a finite number of seconds, at least 0; got {self.grace_s:g}")


@dataclass(eq=False)
class Tally:
    """What has happened so far: counts by state, failures in a row, and why the run ended early, if it did."""

    n_scans: int
    counts: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    n_alike: int = 0
    last_failure: str = ""
    ended: str = ""
    ended_code: int = 0

    @property
    def n_seen(self) -> int:
        """How many scans have come back."""
        return self.counts.total()


def run_cohort(
    entries: Sequence[Entry], job: Job, engine: Engine, rules: Rules, report: Callable[[Row, Tally], None]
) -> Tally:
    """Do the scans of a cohort; one or a hundred thousand take the same way.

    Parameters
    ----------
    entries : sequence of Entry
        The scans.
    job : Job
        What to do with each.
    engine : Engine
        Where.
    rules : Rules
        When to stop early.
    report : callable
        Takes each row as it comes, with the tally so far.

    Returns
    -------
    Tally

    Notes
    -----
    Source: ours. Only as many scans as there are seats, and a few, are handed out at a time: memory does not
    grow with the cohort, and who stops has little to take back. Whatever ends this function (a signal, too)
    first lets the scans at hand go on for `grace_s`, then drops them; nothing unfinished stays.
    """
    tally = Tally(len(entries))
    pending: dict[Future[Row], Entry] = {}
    waiting = iter(entries)
    try:
        for row in _rows(waiting, pending, engine):
            _count(row, tally, rules)
            report(row, tally)
            if tally.ended:
                break
    finally:
        for row in _drain(pending, job, rules):
            _count(row, tally, rules)
            report(row, tally)
        forget_stop(job)
    return tally


def exit_code(tally: Tally, n_gaps_failed: int = 0) -> int:
    """Return the exit code of a run: 0 if all is done, 75 if other runs hold the rest, 1 if scans failed.

    Notes
    -----
    Source: ours. A run that stopped because nothing could be written has 73.
    """
    if tally.ended_code:
        return tally.ended_code
    if n_gaps_failed or tally.codes or any(tally.counts[state] for state in FAILED_STATES):
        return SOME_FAILED
    return TRY_AGAIN if tally.counts["busy"] or tally.counts["stopped"] else 0


def _rows(waiting: Iterator[Entry], pending: dict["Future[Row]", Entry], engine: Engine) -> Iterator[Row]:
    """Keep the seats busy and yield the rows as they come."""
    n_seats, asked_s, is_over = engine.n_seats(), time.monotonic(), False
    while True:
        while not is_over and len(pending) < n_seats + max(FEWEST_WAITING, n_seats // 2):
            entry = next(waiting, None)
            is_over = entry is None
            if entry is not None:
                pending[engine.submit(entry)] = entry
        if not pending:
            return
        done, _ = wait(pending, timeout=SEATS_AGE_S, return_when=FIRST_COMPLETED)
        for future in [future for future in pending if future in done]:
            yield _row_of(future, pending.pop(future))
        if time.monotonic() - asked_s > SEATS_AGE_S:
            n_seats, asked_s = engine.n_seats(), time.monotonic()


def _drain(pending: dict["Future[Row]", Entry], job: Job, rules: Rules) -> Iterator[Row]:
    """Begin nothing any more, wait for the scans at hand as long as grace allows, then drop them."""
    if not pending:
        return
    request_stop(job)
    done, left = wait(pending, timeout=rules.grace_s)
    if left:
        request_stop(job, at_once=True)
        dropped, _ = wait(left, timeout=PATIENCE_S)
        done |= dropped
    for future in done:
        yield _row_of(future, pending[future])
    pending.clear()


def _row_of(future: "Future[Row]", entry: Entry) -> Row:
    """Return a future's row; what the engine itself raises is a failure of this scan alone."""
    try:
        return future.result()
    except CancelledError:
        return Row(folder=entry.folder, stem=entry.stem, state="stopped", code=TRY_AGAIN, message=LOST)
    except Exception as error:
        message = f"{LOST} ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        return Row(folder=entry.folder, stem=entry.stem, state="killed", code=71, message=message)


def _count(row: Row, tally: Tally, rules: Rules) -> None:
    """Count a row, and decide whether it is time to stop."""
    tally.counts[row.state] += 1
    if not row.is_failure:
        tally.codes.update([row.code] if row.state == "done" and row.code else [])
        tally.n_alike, tally.last_failure = 0, ""
        return
    tally.codes[row.code] += 1
    failure = f"{row.code} {re.sub(re.escape(row.stem) + r'[^ :]*|[0-9.]+', '', row.message)}"
    tally.n_alike = tally.n_alike + 1 if failure == tally.last_failure else 1
    tally.last_failure = failure
    most = rules.most_unwritten if row.code == DISK_FULL else rules.most_alike
    if tally.n_alike >= most and not rules.keep_going and not tally.ended:
        tally.ended = f"{tally.n_alike} scans in a row failed alike ({row.message}); --keep-going would go on"
        tally.ended_code = DISK_FULL if row.code == DISK_FULL else SOME_FAILED
