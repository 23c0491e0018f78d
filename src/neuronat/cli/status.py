"""`neuronat status`: how far a cohort is."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from neuronat.cohort.entry import Row

__all__ = ["command"]

MOST_NAMED = 20
SOME_FAILED, UNFINISHED = 1, 75


@click.command(name="status")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Compare the hashes of all files as well; takes as long as reading them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every scan.")
@click.pass_context
def command(context: click.Context, out: Path, verify: bool, as_json: bool) -> None:
    """Say what is done, failed, running and missing, from the markers alone.

    \b
    OUT is the folder of the results. Exit code: 0 if every scan is done (or there was none to do),
    1 if one failed, 75 if none failed but some are running or missing.
    """
    from neuronat.cohort.entry import FAILED_STATES
    from neuronat.cohort.ledger import read_rows
    from neuronat.record import counted

    counts: Counter[str] = Counter()
    rows: list[Row] = []
    n_problems = 0
    for row in read_rows(out, verify=verify):
        counts[row.state] += 1
        if row.state != "done":
            n_problems += 1
        if as_json or (row.state != "done" and n_problems <= MOST_NAMED):
            rows.append(row)
    failed = sum(counts[state] for state in FAILED_STATES)
    code = SOME_FAILED if failed else UNFINISHED if counts["running"] or counts["missing"] else 0
    if as_json:
        scans = [_values(row) for row in rows]
        report = {"counts": dict(sorted(counts.items())), "exit_code": code, "scans": scans}
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
        context.exit(code)
    listed = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
    click.echo(f"{counted(counts.total(), 'scan')}: {listed}")
    for row in rows:
        click.echo(f"{row.key}: {row.state}" + (f", {row.message}" if row.message else ""))
    if n_problems > MOST_NAMED:
        click.echo(f"and {n_problems - MOST_NAMED} more; --json names all")
    context.exit(code)


def _values(row: "Row") -> dict[str, object]:
    """Return a row as plain values."""
    from dataclasses import asdict

    from neuronat.cohort.entry import readable

    return {"scan": row.key} | asdict(row) | {"folder": readable(row.folder), "stem": readable(row.stem)}
