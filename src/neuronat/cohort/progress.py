"""Lines for people about a run: one per scan, with counts, rate and time left; and one at the end."""

from collections import Counter
from collections.abc import Callable

from neuronat.cohort.entry import FAILED_STATES, Row
from neuronat.cohort.run import Tally
from neuronat.record import counted

__all__ = ["Say", "duration_text", "final_line", "progress_line"]

Say = Callable[[str, bool], None]
"""Takes a line for the user, and whether it tells of something that went wrong."""


def progress_line(row: Row, tally: Tally, *, elapsed_s: float) -> str:
    """Say what became of a scan and how the run goes on.

    Notes
    -----
    Source: ours. The rate counts scans that were worked on, since those that were done already take no time.

    Examples
    --------
    >>> tally = Tally(10)
    >>> tally.counts.update({"done": 3, "already done": 2})
    >>> row = Row(folder="sub-01/anat", stem="sub-01", state="done", duration_s=60.2, verdict="pass")
    >>> progress_line(row, tally, elapsed_s=90.0)
    '[5/10] sub-01: done in 60 s, pass; 2.0 scans per minute, 2.5 min left'
    """
    took = f" in {row.duration_s:.0f} s" if row.state == "done" and row.duration_s is not None else ""
    parts = [part for part in (row.verdict, row.fallback, row.message) if part]
    text = f"[{tally.n_seen}/{tally.n_scans}] {row.stem}: {row.state}{took}{''.join(f', {part}' for part in parts)}"
    n_worked = tally.n_seen - tally.counts["already done"]
    n_left = tally.n_scans - tally.n_seen
    if n_worked and n_left and elapsed_s > 0 and row.state != "stopped":
        rate_s = n_worked / elapsed_s
        text += f"; {60 * rate_s:.1f} scans per minute, {duration_text(n_left / rate_s)} left"
    n_failed = sum(tally.counts[state] for state in FAILED_STATES)
    return f"{text}; {n_failed} failed" if n_failed else text


def final_line(tally: Tally, elapsed_s: float, *, n_gaps: int = 0) -> str:
    """Say how a run ended; `n_gaps` failed before it began.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> tally = Tally(4)
    >>> tally.counts.update({"done": 3, "failed": 1})
    >>> final_line(tally, 7300)
    '4 scans in 2.0 h: 3 done, 1 failed'
    """
    found = tally.counts + Counter(failed=n_gaps)
    counts = ", ".join(f"{n} {state}" for state, n in sorted(found.items()))
    unseen = tally.n_scans - tally.n_seen
    rest = f", {unseen} not begun" if unseen else ""
    scans = counted(tally.n_scans + n_gaps, "scan")
    return f"{scans} in {duration_text(elapsed_s)}: {counts or 'nothing done'}{rest}"


def duration_text(seconds: float) -> str:
    """Say a duration in the unit that fits.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> duration_text(42), duration_text(200), duration_text(9000), duration_text(400000)
    ('42 s', '3.3 min', '2.5 h', '4.6 d')
    """
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.0f} s"
