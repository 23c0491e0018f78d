"""Dask clusters as engines: one in this process, or one that is running somewhere.

A thread of a Dask worker computes nothing: it is the supervisor of one seat, so that Dask stays responsive
whatever a scan does, and its `nthreads` are the number of scans at a time.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, WorkerPlugin, get_worker

from neuronat.cohort.engine import Engine
from neuronat.cohort.entry import Entry, Job, Row
from neuronat.cohort.seat import Seats, close_seats, open_seats
from neuronat.cohort.supervise import attend
from neuronat.errors import UnavailableError

__all__ = ["SeatsPlugin", "attend_here", "join_cluster", "local_cluster"]

DASHBOARD = "127.0.0.1:8787"
PATIENCE_S = "20s"


class SeatsPlugin(WorkerPlugin):
    """Keeps the seats of one Dask worker for one run, and ends their processes with it."""

    seats: Seats  # opened where the worker is

    def __init__(self, run: str) -> None:
        self.name = f"neuronat-{run}"

    def setup(self, worker: Any) -> None:
        """Open a seat for each thread of the worker."""
        self.seats = open_seats(worker.state.nthreads)

    def teardown(self, worker: Any) -> None:  # noqa: ARG002
        """End the processes."""
        close_seats(self.seats)


def attend_here(entry: Entry, job: Job) -> Row:
    """Do one scan in a seat of the Dask worker that runs this."""
    plugin: Any = get_worker().plugins[f"neuronat-{job.run}"]
    return attend(plugin.seats, entry, job)


@contextmanager
def local_cluster(job: Job, n_workers: int) -> Iterator[Engine]:
    """Start a cluster of one Dask worker with so many threads in this process; its network is this process.

    Parameters
    ----------
    job : Job
        What every worker is told.
    n_workers : int
        Scans at a time.

    Yields
    ------
    Engine

    Notes
    -----
    Source: ours. Memory is watched per seat and by the plan (`cohort.machine`), not by Dask.
    """
    # the scheduler and its one worker live and sleep together: after a suspension it must not take it for lost
    lives = dask.config.set({"distributed.scheduler.worker-ttl": None})
    with lives, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a port that is taken: Dask finds another one
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=n_workers,
            processes=False,
            memory_limit=None,
            dashboard_address=DASHBOARD if find_spec("bokeh") else None,
            silence_logs=logging.CRITICAL,
        )
    dashboard = cluster.dashboard_link if find_spec("bokeh") else ""
    with cluster, Client(cluster) as client, _engine(client, job, dashboard) as engine:
        yield engine


@contextmanager
def join_cluster(job: Job, scheduler: str) -> Iterator[Engine]:
    """Join a running cluster by its address or scheduler file.

    Parameters
    ----------
    job : Job
        What every worker is told.
    scheduler : str
        Such as `tcp://node7:8786`, or the path of the file that `dask scheduler --scheduler-file` writes.

    Yields
    ------
    Engine

    Raises
    ------
    UnavailableError
        If nobody answers there.

    Notes
    -----
    Source: ours. The cluster is left as it was: only the seats of this run go.
    """
    is_file = Path(scheduler).is_file()
    try:
        client = Client(**({"scheduler_file": scheduler} if is_file else {"address": scheduler}), timeout=PATIENCE_S)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"no Dask scheduler answers at {scheduler}; check the address, or start one") from error
    with client, _engine(client, job, client.dashboard_link) as engine:
        yield engine


@contextmanager
def _engine(client: Client, job: Job, dashboard: str) -> Iterator[Engine]:
    """Register the seats and lend the client's executor."""
    plugin = SeatsPlugin(job.run)
    with dask.config.set({"distributed.scheduler.worker-saturation": 1.0}):
        client.register_plugin(plugin)
        executor = client.get_executor(pure=False, retries=0)
        try:
            yield Engine(
                lambda entry: executor.submit(attend_here, entry, job),
                lambda: sum(client.nthreads().values()),
                dashboard,
            )
        finally:
            executor.shutdown(wait=False)
            client.unregister_worker_plugin(plugin.name)
