"""The group level: what came out of a cohort, in tables and on one page; of an unfinished one, too."""

import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from neuronat.cohort.entry import Row
from neuronat.cohort.ledger import read_rows
from neuronat.cohort.locks import holder_name, lock_path, release, take_lock
from neuronat.cohort.outliers import find_outliers
from neuronat.cohort.page import GroupContent, write_page
from neuronat.cohort.progress import Say
from neuronat.cohort.tables import gather_volumes, write_failures, write_status, write_volumes
from neuronat.errors import BusyError, MissingInputError
from neuronat.record import counted, make_folder, shown_name

__all__ = ["collect_group"]

SOME_FAILED = 1


def collect_group(out: Path, say: Say, *, require_all: bool = False) -> int:
    """Collect volumes, verdicts, times and failures of all scans in tables and one page.

    Parameters
    ----------
    out : Path
        The folder of the results; the tables go there, too.
    say : callable
        Takes the lines for the user, and whether they tell of something that went wrong.
    require_all : bool
        Whether a scan without result makes the exit code 1.

    Returns
    -------
    int
        Exit code: 0, or 1 if the page could not be made or `require_all` is not met.

    Raises
    ------
    MissingInputError
        If there are no results.
    BusyError
        If another run is collecting in this folder.
    OutputError
        If a table cannot be written.

    Notes
    -----
    Source: ours. The tables come first: a page that fails leaves them whole.
    """
    if not out.is_dir():
        raise MissingInputError(f"{shown_name(out)}: not found; give the folder of the results")
    rows = list(read_rows(out))  # first: a folder without results stays as it is
    make_folder(out / "logs")
    lock, run = lock_path(out / "logs", "group"), secrets.token_hex(6)
    if not take_lock(lock, run):
        raise BusyError(f"{shown_name(out)}: another run is collecting in it ({holder_name(lock)}); try again later")
    try:
        return _collect(out, rows, say, require_all=require_all)
    finally:
        release(lock, run)


def _collect(out: Path, rows: Sequence[Row], say: Say, *, require_all: bool) -> int:
    """Collect, while the folder is ours."""
    tables = gather_volumes(out, rows)
    outliers: dict[str, tuple[str, ...]] = {}
    for table in tables:
        write_volumes(out / f"group_seg-{table.protocol}_volumes.tsv", table)
        for scan, structures in find_outliers(table).items():
            outliers[scan] = outliers.get(scan, ()) + structures
    write_status(out / "status.tsv", rows, outliers)
    write_failures(out / "failures.tsv", rows)
    counts = Counter(row.state for row in rows)
    listed = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
    n_without = sum(n for state, n in counts.items() if state not in ("done", "skipped"))
    say(f"{counted(len(rows), 'scan')}: {listed}; {len(outliers)} with unusual volumes; tables in {out}", n_without > 0)
    if n_without:
        say(f"warning: without a result: {counted(n_without, 'scan')}; failures.tsv names them", True)
    is_whole = _write_page(out, GroupContent(rows=rows, tables=tables, outliers=outliers), say)
    return 0 if is_whole and not (require_all and n_without) else SOME_FAILED


def _write_page(out: Path, content: GroupContent, say: Say) -> bool:
    """Write the page; a failure is said, and leaves the tables as they are."""
    try:
        write_page(out, content)
    except Exception as error:
        say(f"the page failed ({type(error).__name__}: {' '.join(str(error).split())}); the tables are whole", True)
        return False
    say(f"page: {out / 'group.html'}", False)
    return True
