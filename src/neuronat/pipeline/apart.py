"""Work of other libraries in a process of its own, which can be stopped, and may fail, without ours."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from neuronat.errors import MemoryShortError

__all__ = ["processor_s", "run_apart"]

THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
Answer = TypeVar("Answer")


def run_apart(function: Callable[..., Answer], *arguments: Any, n_threads: int | None = None) -> Answer:
    """Call a function in a fresh process, and return what it returns or raise what it raises.

    Parameters
    ----------
    function : callable
        Of a module, so that the other process finds it by its name.
    n_threads : int, optional
        Threads of ITK there; by default all cores.
    *arguments : any
        What it is called with; they are copied.

    Returns
    -------
    any
        What the function returned.

    Raises
    ------
    MemoryShortError
        If the process was killed.

    Notes
    -----
    Source: ours. A registration by ANTs hears no signal for minutes; here it ends with the run, and leaves no file.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="neuronat-") as folder:
        process = context.Process(
            target=_answer, args=(sender, Path(folder), function, arguments), kwargs={"n_threads": n_threads}
        )
        process.start()
        sender.close()
        try:
            answer = receiver.recv()
        except EOFError:
            raise MemoryShortError(
                "a process was ended from outside, most likely for want of memory; close other programs"
            ) from None
        finally:
            process.kill()
            process.join()
            receiver.close()
    if isinstance(answer, BaseException):
        raise answer
    return answer  # type: ignore[no-any-return]


def processor_s() -> float:
    """Return the processor seconds that this process and those it has ended have used so far."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _answer(
    sender: Connection, folder: Path, function: Callable[..., Any], arguments: tuple[Any, ...], *, n_threads: int | None
) -> None:
    """Call the function and send its answer; what C++ prints goes nowhere."""
    tempfile.tempdir = str(folder)
    if n_threads is not None:
        os.environ[THREADS] = str(n_threads)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        answer = function(*arguments)
    except Exception as error:
        answer = error
    sender.send(answer)
