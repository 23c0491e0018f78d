from pathlib import Path

import pytest

from neuronat.cohort.machine import (
    Machine,
    batch_job_limits,
    core_quota,
    describe_sizes,
    measure_machine,
    plan_sizes,
    worker_environment,
)
from neuronat.errors import ConfigError

GB = 10**9


@pytest.mark.parametrize(
    ("cores", "free_gb", "gpus", "scans", "workers", "threads"),
    [
        (8, 100, 0, 100, 8, 1),  # as many as cores
        (8, 20, 0, 100, 3, 2),  # 60 % of 20 GB hold three of 4 GB
        (8, 100, 0, 3, 3, 2),  # no more than scans
        (8, 3, 0, 100, 1, 8),  # at least one
        (16, 100, 2, 100, 2, 8),  # one per GPU
    ],
)
def test_workers_fit_cores_memory_gpus_and_scans(
    cores: int, free_gb: int, gpus: int, scans: int, workers: int, threads: int
):
    machine = Machine(n_cores=cores, free_bytes=free_gb * GB, n_gpus=gpus)
    sizes = plan_sizes(machine, {64: 4 * GB}, n_scans=scans)
    assert (sizes.n_workers, sizes.n_threads) == (workers, threads)
    assert sizes.fits == (free_gb >= 4)


def test_what_the_user_says_is_kept_and_doubted_if_it_does_not_fit():
    machine = Machine(n_cores=4, free_bytes=8 * GB)
    sizes = plan_sizes(machine, {64: 4 * GB}, n_scans=100, n_workers=3)
    assert (sizes.n_workers, sizes.n_threads, sizes.fits) == (3, 1, False)
    assert plan_sizes(machine, {64: GB}, n_scans=100, n_threads=2).n_workers == 2
    assert describe_sizes(sizes, machine) == (
        "3 workers with 1 threads each on 4 cores; about 4.0 GB each of 8.0 GB free, tiles of 64; "
        "this may be too much: see --n-procs, or free memory"
    )
    with pytest.raises(ConfigError, match="number of threads must be at least 1; got 0"):
        plan_sizes(machine, {64: GB}, n_scans=1, n_threads=0)


@pytest.mark.parametrize(
    ("free_gb", "workers", "tile_vox"),
    [(40, 8, 64), (28, 7, 32), (10, 2, 64), (4, 1, 64), (2.5, 1, 32), (1, 1, 32)],
)
def test_smaller_tiles_where_they_let_more_workers_fit(free_gb: float, workers: int, tile_vox: int):
    machine = Machine(n_cores=8, free_bytes=int(free_gb * GB))
    sizes = plan_sizes(machine, {64: 3 * GB, 48: 29 * GB // 10, 32: 24 * GB // 10}, n_scans=100)
    assert (sizes.n_workers, sizes.tile_vox) == (workers, tile_vox)
    assert sizes.fits == (free_gb >= 2.5)
    assert plan_sizes(machine, {64: 3 * GB, 32: GB}, n_scans=1).n_workers == 1


def test_slurm_says_cores_and_memory():
    gib = 2**30
    assert batch_job_limits({}) == (None, None)
    assert batch_job_limits({"SLURM_CPUS_PER_TASK": "4", "SLURM_MEM_PER_NODE": "8192"}) == (4, 8 * gib)
    assert batch_job_limits({"SLURM_CPUS_ON_NODE": "2", "SLURM_MEM_PER_CPU": "1024"}) == (2, 2 * gib)
    assert batch_job_limits({"SLURM_CPUS_PER_TASK": "x", "SLURM_MEM_PER_NODE": "0"}) == (None, None)


def test_slurm_limits_what_is_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    machine = measure_machine(n_gpus=2)
    assert (machine.n_cores, machine.free_bytes, machine.n_gpus) == (1, 100 * 2**20, 2)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/b\n",
                "sys/fs/cgroup/cpu/b/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/b/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_control_groups_pay_for_cores(tmp_path: Path, files: dict[str, str], cores: int | None):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert core_quota(tmp_path) == cores


def test_workers_are_told_how_many_threads_they_have():
    environment = worker_environment(3)
    assert {environment[name] for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")} == {"3"}
    assert environment["PATH"]


@pytest.mark.parametrize(("given", "wanted"), [(None, "10000"), ("7", "7")])
def test_threads_of_workers_that_wait_sleep_soon_wherever_they_are_started(
    monkeypatch: pytest.MonkeyPatch, given: str | None, wanted: str
):
    monkeypatch.setenv("GOMP_SPINCOUNT", "")
    monkeypatch.delenv("GOMP_SPINCOUNT") if given is None else monkeypatch.setenv("GOMP_SPINCOUNT", given)
    assert worker_environment(3)["GOMP_SPINCOUNT"] == wanted
