"""How many workers a machine can hold: by its cores, its memory, its GPUs, and what a batch system allows.

The only place of this room where environment variables are read.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuronat.errors import ConfigError
from neuronat.space.memory import cgroup_folders, free_memory_bytes, system_lines

__all__ = [
    "SPIN",
    "Machine",
    "Sizes",
    "batch_job_limits",
    "core_quota",
    "describe_sizes",
    "measure_machine",
    "plan_sizes",
    "worker_environment",
]

SHARE = 0.6  # of the free memory; the rest is for the page cache, for others, and for wrong estimates
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
SPIN = ("GOMP_SPINCOUNT", "10000")
"""Threads that wait for each other soon sleep, and leave the core to the one they wait for (decision 0047)."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this process may use."""

    n_cores: int
    free_bytes: int
    n_gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many workers with how many threads each, how large their tiles are, what one needs, and whether that fits."""

    n_workers: int
    n_threads: int
    tile_vox: int
    bytes_per_worker: int
    fits: bool


def measure_machine(n_gpus: int = 0) -> Machine:
    """Return the cores and the memory that this process may use.

    Notes
    -----
    Source: ours. Cores: those that the scheduler of the system lets us on, no more than the quota of the control
    groups (both versions) and than Slurm gave the job. Memory: `space.memory`, no more than Slurm gave.
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm_cores, slurm_bytes = batch_job_limits(dict(os.environ))
    quota = core_quota()
    return Machine(
        n_cores=max(1, min(n for n in (n_cores, slurm_cores, quota) if n is not None)),
        free_bytes=min(free_memory_bytes(), slurm_bytes or 2**62),
        n_gpus=n_gpus,
    )


def plan_sizes(
    machine: Machine,
    bytes_by_tile: Mapping[int, int],
    *,
    n_scans: int,
    n_workers: int | None = None,
    n_threads: int | None = None,
) -> Sizes:
    """Decide how many workers to start, and with which tiles.

    Parameters
    ----------
    machine : Machine
        What there is.
    bytes_by_tile : mapping of int to int
        Estimated peak memory of one worker by the edge of its tiles in voxels; at least one.
    n_scans : int
        No more workers than scans.
    n_workers, n_threads : int, optional
        What the user decided; it is kept, and only whether it fits is said.

    Returns
    -------
    Sizes
        As many workers as cores, or as GPUs where there are some, but no more than 60 % of the free memory can
        hold, and at least one; the cores are divided among them. Smaller tiles where they let more workers fit.

    Raises
    ------
    ConfigError
        If a number is below 1.

    Notes
    -----
    Source: ours. One thread per scan uses the cores best, since some steps of a scan cannot be divided.
    """
    for name, number in (("workers", n_workers), ("threads", n_threads)):
        if number is not None and number < 1:
            raise ConfigError(f"number of {name} must be at least 1; got {number}")
    most = machine.n_gpus or max(1, machine.n_cores // (n_threads or 1))
    plans = []
    for tile_vox, need in bytes_by_tile.items():
        held = int(SHARE * machine.free_bytes // max(need, 1))
        chosen = n_workers or max(1, min(most, held, n_scans))
        plans.append(
            Sizes(
                n_workers=chosen,
                n_threads=n_threads or max(1, machine.n_cores // chosen),
                tile_vox=tile_vox,
                bytes_per_worker=need,
                fits=chosen * need <= machine.free_bytes,
            )
        )
    return max(plans, key=lambda plan: (plan.fits, plan.n_workers, plan.tile_vox if plan.fits else -plan.tile_vox))


def describe_sizes(sizes: Sizes, machine: Machine) -> str:
    """Say in one line what was planned."""
    gpus = f", {machine.n_gpus} GPUs" if machine.n_gpus else ""
    need = f"{sizes.bytes_per_worker / 1e9:.1f} GB each of {machine.free_bytes / 1e9:.1f} GB free"
    doubt = "" if sizes.fits else "; this may be too much: see --n-procs, or free memory"
    return (
        f"{sizes.n_workers} workers with {sizes.n_threads} threads each on {machine.n_cores} cores{gpus}; "
        f"about {need}, tiles of {sizes.tile_vox}{doubt}"
    )


def worker_environment(n_threads: int) -> dict[str, str]:
    """Return the environment of a worker process whose libraries start so many threads, which sleep when they wait."""
    return dict([SPIN]) | os.environ | dict.fromkeys(THREAD_VARIABLES, str(n_threads))


def batch_job_limits(environment: dict[str, str]) -> tuple[int | None, int | None]:
    """Return how many cores and how many bytes of memory Slurm gave this job; None where it does not say."""

    def number(name: str) -> int | None:
        text = environment.get(f"SLURM_{name}", "")
        return int(text) if text.isdigit() and int(text) > 0 else None

    n_cores = number("CPUS_PER_TASK") or number("CPUS_ON_NODE")
    per_core = number("MEM_PER_CPU")
    megabytes = number("MEM_PER_NODE") or (per_core * n_cores if per_core and n_cores else None)
    return n_cores, megabytes * 2**20 if megabytes else None


def core_quota(root: Path = Path("/")) -> int | None:
    """Return how many cores the control groups pay for, rounded up; None without a quota."""
    quotas = []
    for folder in cgroup_folders("", root):
        fields = (system_lines(folder / "cpu.max") or [""])[0].split()
        if len(fields) == 2 and fields[0].isdigit():
            quotas.append(int(fields[0]) / int(fields[1]))
    for folder in cgroup_folders("cpu", root):
        quota, period = (system_lines(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota and period and quota[0].isdigit():
            quotas.append(int(quota[0]) / int(period[0]))
    return math.ceil(min(quotas)) if quotas else None
