"""What runs in a worker: a process of its own that answers one scan after the other until its pipe closes.

It ends when its supervisor does, however that died, and it leaves stopping to the supervisor: signals of a
terminal or a batch system reach every process of a group, and a scan that is nearly done may be finished.
"""

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from neuronat.cohort.entry import Entry, Job, Row
from neuronat.errors import NeuronatError
from neuronat.pipeline.codes import BUG, code_of, is_memory_error

__all__ = ["failed_row", "serve"]

WATCH_S = 0.5
DEVICE_PHRASES = ("cuda error", "cudnn", "cublas", "device-side", "no kernel image", "driver")


def serve(connection: Connection, parent: int) -> None:
    """Answer `(job, seat, entry, log)` by a row, until the other end closes.

    Parameters
    ----------
    connection : Connection
        The pipe to the supervisor.
    parent : int
        Process number of the supervisor; when it is gone this process ends, too.

    Notes
    -----
    Source: ours. What `job.work` prepares (models, device) is kept as long as the job stays the same.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    prepared: tuple[Job, Callable[[Entry], Row]] | None = None
    while True:
        try:
            job, seat, entry, log = connection.recv()
        except (EOFError, OSError):
            return
        with _logged_to(log):
            try:
                if prepared is None or prepared[0] != job:
                    prepared = None
                    prepared = job, job.work(job, seat)
                row = prepared[1](entry)
            except Exception as error:
                row = failed_row(entry, error)
        connection.send(row)


def failed_row(entry: Entry, error: BaseException) -> Row:
    """Turn an exception into a row; the traceback goes to the log of the scan."""
    traceback.print_exception(error, file=sys.stderr)
    code = code_of(error)
    message = " ".join(str(error).split())
    kind = "memory" if is_memory_error(error) else "device" if _is_device_error(error) else ""
    if kind == "memory" and not isinstance(error, NeuronatError):
        message = f"memory ran out ({message[:200]})"
    elif kind == "device":
        message = f"the device failed ({message[:200]})"
    elif code == BUG:
        message = f"our mistake ({type(error).__name__}: {message[:200]}); please report it, the log says where"
    return Row(folder=entry.folder, stem=entry.stem, state="failed", code=code, kind=kind, message=message)


def _is_device_error(error: BaseException) -> bool:
    """Tell whether an accelerator or its driver failed."""
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in message for phrase in DEVICE_PHRASES)


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Let everything that is printed, by C code too, go into the log of one scan; an empty log is removed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    logging.captureWarnings(True)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", force=True)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if os.fstat(2).st_size == 0:
            path.unlink(missing_ok=True)


def _end_with(parent: int) -> None:
    """End this process when its supervisor is gone."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
