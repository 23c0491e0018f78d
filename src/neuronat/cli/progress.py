"""Progress on stderr: a bar in a terminal, plain lines elsewhere, nothing when it shall be quiet."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

__all__ = ["shown_progress"]

PLAIN_INTERVAL_S = 15.0


@contextmanager
def shown_progress(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """Yield a callback that takes a step's name and the share done, in [0, 1], and shows them."""
    if quiet:
        yield lambda _step, _done: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _plain_lines()


@contextmanager
def _bar() -> Iterator[Callable[[str, float], None]]:
    """Show a bar that vanishes when all is done; rich itself obeys NO_COLOR."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda step, done: progress.update(task, description=step, completed=done)


def _plain_lines() -> Callable[[str, float], None]:
    """One line when a step begins, and now and then while it goes on."""
    shown_step, shown_at_s = "", 0.0

    def report(step: str, done: float) -> None:
        nonlocal shown_step, shown_at_s
        now_s = time.monotonic()
        if step != shown_step or now_s - shown_at_s > PLAIN_INTERVAL_S:
            shown_step, shown_at_s = step, now_s
            click.echo(f"{step}: {done:.0%}", err=True)

    return report
