"""A seat: the place of one worker, which is started when it is needed and replaced when it died."""

import os
import queue
import signal
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe

from neuronat.cohort.machine import worker_environment
from neuronat.space.memory import process_peak_bytes

__all__ = ["Seat", "Seats", "close_seats", "describe_death", "empty_seat", "open_seats", "peak_of", "seated"]

PATIENCE_S = 5.0


@dataclass(frozen=True, eq=False)
class Seat:
    """A place for one scan at a time; `process` and `connection` are None while nobody sits there."""

    number: int
    process: "subprocess.Popen[bytes] | None" = None
    connection: Connection | None = None
    n_done: int = 0


Seats = queue.SimpleQueue[Seat]
"""The seats of one machine; whoever takes one out puts one back."""


def open_seats(n_seats: int) -> Seats:
    """Return so many empty seats."""
    seats: Seats = queue.SimpleQueue()
    for number in range(n_seats):
        seats.put(Seat(number))
    return seats


def close_seats(seats: Seats) -> None:
    """End the workers of all seats that nobody uses."""
    while True:
        try:
            empty_seat(seats.get_nowait())
        except queue.Empty:
            return


def seated(seat: Seat, n_threads: int) -> Seat:
    """Return the seat with a living worker in it.

    Parameters
    ----------
    seat : Seat
        Empty, or with a worker.
    n_threads : int
        How many threads libraries may start in a new worker.

    Returns
    -------
    Seat

    Notes
    -----
    Source: ours. No other process holds the worker's end of the pipe, so its death closes the pipe at once.
    """
    if seat.process is not None and seat.process.poll() is None:
        return seat
    ours, theirs = Pipe()
    descriptor = theirs.fileno()
    command = [sys.executable, "-m", "neuronat.cohort.worker", str(descriptor), str(os.getpid())]
    process = subprocess.Popen(
        command, pass_fds=[descriptor], stdin=subprocess.DEVNULL, env=worker_environment(n_threads)
    )
    theirs.close()
    return Seat(seat.number, process, ours)


def empty_seat(seat: Seat, *, at_once: bool = False) -> Seat:
    """End the worker of a seat, by closing its pipe or, `at_once`, by SIGKILL; return the empty seat."""
    if seat.connection is not None:
        seat.connection.close()
    if seat.process is not None:
        if at_once:
            seat.process.kill()
        try:
            seat.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            seat.process.kill()
            seat.process.wait()
    return Seat(seat.number)


def describe_death(seat: Seat, peak_bytes: int) -> str:
    """Say how a worker died: by which signal or with which code, and how much memory it had taken."""
    code = seat.process.wait() if seat.process is not None else 0
    peak = f"peak memory {peak_bytes / 1e9:.1f} GB"
    if code == -signal.SIGKILL:
        return f"killed (signal 9, likely out of memory; {peak})"
    if code < 0:
        return f"killed (signal {-code}, {signal.strsignal(-code)}; {peak})"
    return f"killed (the worker ended by itself with code {code}; {peak})"


def peak_of(seat: Seat) -> int:
    """Return the most memory that a seat's worker has held, in bytes; 0 where the system does not say."""
    return 0 if seat.process is None else process_peak_bytes(seat.process.pid)
