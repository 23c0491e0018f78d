"""A cluster that is running already: real scheduler and worker processes of Dask."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="the extra cohort is not installed")

from neuronat.cohort.engine import open_engine
from neuronat.cohort.entry import Entry
from neuronat.cohort.run import Rules, run_cohort
from neuronat.errors import UnavailableError


@pytest.fixture
def scheduler_file(standin, tmp_path: Path) -> Iterator[Path]:  # noqa: ARG001
    """A scheduler and a worker with two threads, as `dask scheduler` and `dask worker` start them."""
    path = tmp_path / "scheduler.json"
    common = ("--scheduler-file", str(path), "--no-dashboard")
    commands = (
        ("dask", "scheduler", *common, "--host", "127.0.0.1", "--port", "0"),
        ("dask", "worker", *common, "--nthreads", "2", "--local-directory", str(tmp_path)),
    )
    processes = [
        subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for words in commands
    ]
    yield path
    for process in processes:
        process.terminate()
        process.wait(20)


@pytest.mark.slow
def test_a_running_cluster_is_joined_survives_faults_and_is_left_as_it_was(
    standin, source, scheduler_file: Path, tmp_path: Path
):
    scans = source("ok", "kill 9", "corrupt", *["ok"] * 5)
    out = tmp_path / "out"
    out.mkdir()
    entries = [Entry(path, "") for path in sorted(scans.iterdir())]
    deadline_s = time.monotonic() + 60
    while not scheduler_file.exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    for attempt in range(2):  # the second run finds the cluster as the first one did
        job = standin.make_job(out, run=f"run{attempt}")
        with open_engine(job, n_workers=1, scheduler=str(scheduler_file)) as engine:
            tally = run_cohort(entries, job, engine, Rules(), lambda *_: None)
        done = "already done" if attempt else "done"
        assert dict(tally.counts) == {done: 6, "killed": 1, "failed": 1}
    workers = {int(line.split()[0]) for path in (out / "started").iterdir() for line in path.read_text().splitlines()}
    deadline_s = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline_s, "workers of a run end with it"
        time.sleep(0.1)


def test_a_scheduler_that_does_not_answer_is_named(standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("neuronat.cohort.cluster.PATIENCE_S", "1s")
    with (
        pytest.raises(UnavailableError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1; check the address"),
        open_engine(standin.make_job(tmp_path), n_workers=1, scheduler="tcp://127.0.0.1:1"),
    ):
        pass
