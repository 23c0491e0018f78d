"""Where scans are done: here one after the other, on a local Dask cluster, or on one that is running already.

All three are an executor of `concurrent.futures` and a number of seats; what is done, and how faults are met, is
the same (`cohort.supervise`). Dask is imported only where it is used: it comes with the extra `cohort`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from neuronat.cohort.entry import Entry, Job, Row
from neuronat.cohort.seat import close_seats, open_seats
from neuronat.cohort.supervise import attend
from neuronat.errors import UnavailableError

__all__ = ["Engine", "has_dask", "open_engine", "open_here"]


@dataclass(frozen=True, eq=False)
class Engine:
    """Takes entries and promises rows; `n_seats` may change while a cluster grows; `dashboard` is an address."""

    submit: Callable[[Entry], "Future[Row]"]
    n_seats: Callable[[], int]
    dashboard: str = ""


def has_dask() -> bool:
    """Tell whether Dask is installed, without importing it."""
    return find_spec("distributed") is not None


@contextmanager
def open_engine(job: Job, *, n_workers: int, scheduler: str = "") -> Iterator[Engine]:
    """Open the engine that fits: a running cluster, a local one, or this process where there is no Dask.

    Parameters
    ----------
    job : Job
        What every worker is told.
    n_workers : int
        Seats of a local cluster.
    scheduler : str
        Address of a running cluster, or the path of a scheduler file; a local cluster if empty.

    Yields
    ------
    Engine

    Raises
    ------
    UnavailableError
        If a cluster is asked for and cannot be reached, or Dask is not installed.

    Notes
    -----
    Source: ours.
    """
    if not has_dask():
        if scheduler:
            raise UnavailableError("dask, which joins clusters, is not installed; pip install 'neuronat[cohort]'")
        with open_here(job) as engine:
            yield engine
        return
    from neuronat.cohort.cluster import join_cluster, local_cluster

    with join_cluster(job, scheduler) if scheduler else local_cluster(job, n_workers) as engine:
        yield engine


@contextmanager
def open_here(job: Job, n_workers: int = 1) -> Iterator[Engine]:
    """Open an engine of this process alone, without Dask."""
    seats = open_seats(n_workers)
    executor: Executor = ThreadPoolExecutor(n_workers, thread_name_prefix="seat")
    try:
        yield Engine(lambda entry: executor.submit(attend, seats, entry, job), lambda: n_workers)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        close_seats(seats)
