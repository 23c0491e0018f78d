import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from neuronat.cli.failures import Stopped, exit_code_of, log_file, run_guarded
from neuronat.errors import (
    BusyError,
    ConfigError,
    GridError,
    MissingInputError,
    ModelError,
    NeuronatError,
    OutputError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (click.UsageError("x"), 2),
        (GridError("x"), 65),
        (MissingInputError("x"), 66),
        (ModelError("x"), 69),
        (NeuronatError("x"), 70),
        (ZeroDivisionError("x"), 70),
        (OSError(errno.ENOENT, "x"), 70),
        (MemoryError(), 71),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 71),
        (OutputError("x"), 73),
        (OSError(errno.ENOSPC, "No space left on device"), 73),
        (PermissionError(errno.EACCES, "denied"), 73),
        (BusyError("x"), 75),
        (KeyboardInterrupt(), 130),
        (Stopped(signal.SIGINT), 130),
        (Stopped(signal.SIGTERM), 143),
    ],
)
def test_every_exception_has_its_exit_code(error: BaseException, code: int):
    assert exit_code_of(error) == code


def fail(error: BaseException) -> None:
    raise error


def test_our_errors_print_their_message_in_one_line(capfd: pytest.CaptureFixture[str]):
    assert run_guarded(lambda: fail(GridError("scan.nii: two\nlines; mend it"))) == 65
    assert capfd.readouterr().err == "neuronat: scan.nii: two lines; mend it\n"


def test_a_bug_keeps_its_traceback_in_the_log_and_off_the_screen(capfd: pytest.CaptureFixture[str], home: Path):
    assert run_guarded(lambda: fail(ZeroDivisionError("by zero"))) == 70
    shown = capfd.readouterr()
    log = home / ".local" / "state" / "neuronat" / "neuronat.log"
    expected = f"neuronat: our mistake (ZeroDivisionError: by zero); please report it, the log {log} says where\n"
    assert (shown.out, shown.err) == ("", expected)
    assert log_file() == log
    assert "in fail\n    raise error\nZeroDivisionError: by zero" in log.read_text()


def test_a_log_that_cannot_be_written_stops_nothing(capfd: pytest.CaptureFixture[str], home: Path):
    (home / ".local").write_text("in the way")
    assert run_guarded(lambda: fail(ConfigError("wrong; mend it"))) == 2
    assert capfd.readouterr().err == "neuronat: wrong; mend it\n"


def test_the_exit_code_of_a_command_passes_and_anything_else_is_success():
    assert run_guarded(lambda: 1) == 1
    assert run_guarded(lambda: True) == 0
    assert run_guarded(lambda: None) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_run_in_good_order(number: int, code: int, tmp_path: Path):
    script = (
        "import pathlib, sys, time\n"
        "from neuronat.cli.failures import run_guarded, stop_on_signals\n"
        "def work():\n"
        "    path = pathlib.Path(sys.argv[1])\n"
        "    try: path.write_text('half'); time.sleep(30)\n"
        "    finally: path.unlink()\n"
        "stop_on_signals()\n"
        "sys.exit(run_guarded(work))\n"
    )
    half = tmp_path / "half"
    process = subprocess.Popen([sys.executable, "-c", script, str(half)], stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 20
    while not half.exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    os.kill(process.pid, number)
    _, shown = process.communicate(timeout=20)
    assert process.returncode == code
    assert shown == "neuronat: stopped; unfinished files were removed, run the same command again to go on\n"
    assert not half.exists()


def test_a_reader_that_goes_away_is_no_error():
    script = "from neuronat.cli.main import main\nimport sys\nsys.argv[1:] = ['--help']\nmain()"
    done = subprocess.run(
        f'{sys.executable} -c "{script}" | true', shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
