"""The one error handler: a failure becomes one line on stderr and an exit code. Tracebacks go to a log."""

import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click

from neuronat.errors import NeuronatError, OutputError, UsageError
from neuronat.pipeline.codes import code_of, is_memory_error

__all__ = ["Stopped", "exit_code_of", "failure_message", "log_file", "redacted", "run_guarded", "stop_on_signals"]

BROKEN_PIPE = 141
LOG_BYTES = 2**20


class Stopped(BaseException):
    """A signal asked the run to stop; `finally` blocks remove unfinished files on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def stop_on_signals() -> None:
    """Let SIGINT and SIGTERM end the run in good order; a second signal ends it at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> None:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_DFL)
    raise Stopped(number)


def run_guarded(work: Callable[[], object]) -> int:
    """Run a command and return its exit code, having said in one line what went wrong, if anything.

    Parameters
    ----------
    work : callable
        The command; an integer that it returns is its exit code.

    Returns
    -------
    int
        Exit code, 0 if all is well.

    Notes
    -----
    Source: ours; the codes are those of docs/cli.md.
    """
    try:
        returned = work()
        return returned if type(returned) is int else 0
    except BrokenPipeError:
        # the reader went away (neuronat ... | head): nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (Exception, Stopped, KeyboardInterrupt) as error:
        code = exit_code_of(error)
        click.echo(f"neuronat: {failure_message(error)}", err=True)
        return code


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of docs/cli.md for any exception.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> exit_code_of(UsageError("two answers")), exit_code_of(KeyError("bug"))
    (2, 70)
    """
    if isinstance(error, Stopped):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        return 130
    if isinstance(error, click.ClickException):
        return UsageError.exit_code
    return code_of(error)


def failure_message(error: BaseException) -> str:
    """Say in one line what went wrong and what to do; the traceback goes to the log.

    Notes
    -----
    Source: ours.
    """
    _write_log(error)
    if isinstance(error, click.ClickException):
        return _one_line(_usage_message(error))
    if isinstance(error, NeuronatError):
        return _one_line(str(error))
    if isinstance(error, Stopped | KeyboardInterrupt | click.exceptions.Abort):
        return "stopped; unfinished files were removed, run the same command again to go on"
    if is_memory_error(error):
        return "not enough memory; close other programs, or use a machine with more of it"
    if exit_code_of(error) == OutputError.exit_code:
        return f"cannot write ({_one_line(getattr(error, 'strerror', '') or str(error))}); choose another folder"
    where = log_file()
    kept = f"the log {where} says where" if where else "no log could be written"
    return f"our mistake ({type(error).__name__}: {_one_line(str(error))[:200]}); please report it, {kept}"


def log_file() -> Path | None:
    """Return the file that tracebacks go to; None in a homeless container."""
    try:
        return Path.home() / ".local" / "state" / "neuronat" / "neuronat.log"
    except RuntimeError:
        return None


def redacted(text: str) -> str:
    """Return a traceback without folders: of code the last two parts of the path stay, of other paths the last.

    Notes
    -----
    Source: ours. Folders name people and places.

    Examples
    --------
    >>> redacted('File "/srv/anna/lib/neuronat/record.py", line 7: no "/data/doe/scan.nii"')
    'File "neuronat/record.py", line 7: no "scan.nii"'
    """
    text = re.sub(r'File "[^"\n]*?([^/"\n]+/[^/"\n]+)"', r'File "\1"', text)
    text = re.sub(r"""(["'])/(?:(?!\1)[^\n])*?((?:(?!\1)[^/\n])+)\1""", r"\1\2\1", text)
    home = os.environ.get("HOME", "")
    return text.replace(home, "~") if len(home) > 1 else text


def _usage_message(error: click.ClickException) -> str:
    """Click's own sentence, and the help that explains it."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "neuronat"
    return f"{error.format_message().rstrip('.')}; see {command} --help"


def _one_line(message: str) -> str:
    """Join the lines of a message."""
    return " ".join(message.split())


def _write_log(error: BaseException) -> None:
    """Append the traceback to the log, which keeps its last mebibytes; never fails itself."""
    where = log_file()
    if where is None:
        return
    lines = traceback.format_exception(error)
    head = f"{time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()}: {type(error).__name__}\n"
    try:
        where.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if where.exists() and where.stat().st_size > LOG_BYTES:
            where.replace(where.with_name(f"{where.name}.1"))
        with where.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(head + redacted("".join(lines)))
    except OSError:
        return
