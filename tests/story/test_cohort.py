"""Whole runs of cohorts, in processes of their own that are stopped, killed and starved."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STANDIN = Path(__file__).parents[1] / "cohort" / "standin"
N_MOMENTS = 20


def start(source: Path, out: Path, engine: str = "here", n_workers: int = 2, **environment: str) -> subprocess.Popen:
    """Start a run in a process of its own."""
    command = [sys.executable, str(STANDIN / "cohort_work.py"), str(source), str(out), engine, str(n_workers)]
    path = os.pathsep.join(filter(None, (str(STANDIN), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "HOME": str(source.parent)} | environment
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # a group of its own, which a terminal or a batch system would signal as a whole
    )


def finish(process: subprocess.Popen, code: int) -> dict[str, str]:
    """Wait for a run, compare its exit code, and return the states by scan."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, output + errors
    lines = [line.split() for line in output.splitlines()]
    return {words[0]: " ".join(words[1:]) for words in lines if words and words[0].startswith("s0")}


def write_scans(folder: Path, *texts: str) -> Path:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"s{number:03d}.nii.gz").write_text(f"{text} #{number}")
    return folder


def leftovers(out: Path) -> list[str]:
    return sorted(path.name for path in out.rglob(".neuronat-*"))


def wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline_s, path
        time.sleep(0.01)


def workers_of(out: Path) -> set[int]:
    """Process numbers of all workers that ever began a scan."""
    return {int(line.split()[0]) for path in (out / "started").iterdir() for line in path.read_text().splitlines()}


def is_alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


@pytest.mark.slow
def test_a_run_killed_at_random_moments_is_finished_by_the_next_and_nothing_is_done_twice(tmp_path: Path):
    source, out, rng = write_scans(tmp_path / "in", *["sleep 0.05"] * 60), tmp_path / "out", random.Random(1)
    for _ in range(N_MOMENTS):
        process = start(source, out)
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.8))
        done = {path.name for path in out.glob("*_done.json")}
        process.kill()
        process.communicate()
        assert done <= {path.name for path in out.glob("*_done.json")}
        for path in out.glob("*_done.json"):
            assert json.loads(path.read_text())["outputs"], "a marker is whole or not there"
    states = finish(start(source, out), 0)
    assert len(states) == 60
    assert leftovers(out) == []
    assert len(list(out.glob("*_done.json"))) == 60
    last = finish(start(source, out), 0)
    assert {state.strip() for state in last.values()} == {"already done"}


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path):
    source, out = write_scans(tmp_path / "in", "sleep 60", "sleep 60"), tmp_path / "out"
    process = start(source, out)
    wait_for(out / "started" / "s000")
    wait_for(out / "started" / "s001")
    process.kill()
    process.communicate()
    deadline_s = time.monotonic() + 30
    while any(is_alive(worker) for worker in workers_of(out)):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert not list(out.glob("*_done.json"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_in_good_order(tmp_path: Path, number: int, code: int):
    source, out = write_scans(tmp_path / "in", "sleep 1.5", "sleep 60", *["ok"] * 30), tmp_path / "out"
    process = start(source, out, GRACE="12")
    wait_for(out / "started" / "s001")
    os.killpg(process.pid, number)
    states = finish(process, code)
    assert states["s000"].startswith("done"), "grace let it finish"
    assert len((out / "started" / "s000").read_text().splitlines()) == 1, "the signal did not reach its worker"
    assert states["s001"].startswith("stopped"), "it would have taken a minute"
    assert len(list((out / "started").iterdir())) == 2, "no other scan began"
    assert leftovers(out) == []
    assert not any(is_alive(worker) for worker in workers_of(out))


def test_a_second_signal_ends_it_at_once(tmp_path: Path):
    source, out = write_scans(tmp_path / "in", "sleep 60"), tmp_path / "out"
    process = start(source, out, GRACE="60")
    wait_for(out / "started" / "s000")
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM


def test_a_full_disk_stops_the_run_and_freed_space_lets_it_go_on(tmp_path: Path):
    source, out = write_scans(tmp_path / "in", "ok", *["large 300000"] * 20), tmp_path / "out"
    process = start(source, out, n_workers=1, LARGEST_FILE="100000")
    states = finish(process, 73)
    assert states["s000"].startswith("done")
    assert sum(state.startswith("failed") for state in states.values()) < 12, "the rest was not tried in vain"
    assert "cannot be written (File too large)" in states["s001"]
    assert "MiB are left" in states["s001"]
    assert leftovers(out) == []
    states = finish(start(source, out, n_workers=1), 0)
    assert states["s000"].startswith("already done")
    assert len(list(out.glob("*_done.json"))) == 21


@pytest.mark.slow
def test_a_small_file_system_fills_up_and_nothing_half_is_left(tmp_path: Path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=False).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        out = small / "out"
        states = finish(start(write_scans(tmp_path / "in", *["large 900000"] * 12), out, n_workers=1), 73)
        assert states["s000"].startswith("done")
        assert leftovers(out) == []
        for path in out.glob("*_done.json"):
            assert (out / path.name.replace("_done.json", "_large.txt")).stat().st_size == 900000
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_run_that_was_suspended_goes_on(tmp_path: Path):
    pytest.importorskip("distributed")
    source, out = write_scans(tmp_path / "in", *["sleep 0.2"] * 24), tmp_path / "out"
    # Dask gives up workers that it has not heard of for so long, 5 minutes by default
    process = start(source, out, engine="dask", DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="1s")
    wait_for(out / "started" / "s003")
    process.send_signal(signal.SIGSTOP)
    time.sleep(7)  # Dask takes ten beats of half a second at the least
    process.send_signal(signal.SIGCONT)
    states = finish(process, 0)
    assert len(states) == 24
    assert all(state.startswith("done") for state in states.values())


def test_two_runs_at_once_share_the_work(tmp_path: Path):
    source, out = write_scans(tmp_path / "in", *["sleep 0.1"] * 30), tmp_path / "out"
    first, second = start(source, out), start(source, out)
    for process in (first, second):
        output, errors = process.communicate(timeout=120)
        assert process.returncode in (0, 75), output + errors
    assert len(list(out.glob("*_done.json"))) == 30
    attempts = [len((out / "started" / f"s{number:03d}").read_text().splitlines()) for number in range(30)]
    assert attempts == [1] * 30
    assert leftovers(out) == []


def test_two_cohorts_at_once_know_nothing_of_each_other(tmp_path: Path):
    source, others = (write_scans(tmp_path / name, *["sleep 0.1"] * 12) for name in ("in", "others"))
    first, second = start(source, tmp_path / "out"), start(others, tmp_path / "out" / "inner")
    wait_for(tmp_path / "out" / "started" / "s003")
    first.send_signal(signal.SIGTERM)  # stops the one, and not the other, whose folder is inside
    finish(first, 143)
    assert {state.strip() for state in finish(second, 0).values()} == {"done"}
    assert len(list((tmp_path / "out" / "inner").glob("*_done.json"))) == 12
    assert leftovers(tmp_path) == []


def test_scan_after_scan_that_fails_alike_ends_the_run(tmp_path: Path):
    source, out = write_scans(tmp_path / "in", *["corrupt"] * 60), tmp_path / "out"
    process = start(source, out)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1, output + errors
    assert "10 scans in a row failed alike" in output.splitlines()[-1]
    assert output.count(" failed ") < 25


@pytest.mark.slow
def test_dask_survives_the_same_faults(tmp_path: Path):
    pytest.importorskip("distributed", reason="the extra cohort is not installed")
    texts = ["ok", "kill 9", "corrupt", "kill-once", *["ok"] * 20]
    source, out = write_scans(tmp_path / "in", *texts), tmp_path / "out"
    states = finish(start(source, out, "dask"), 1)
    assert states["s001"].startswith("killed killed (signal 9, likely out of memory")
    assert states["s002"].startswith("failed our mistake (ValueError: not a scan)")
    assert sum(state.startswith("done") for state in states.values()) == 22
    assert leftovers(out) == []


@pytest.mark.slow
def test_a_signal_ends_a_run_on_dask_in_good_order(tmp_path: Path):
    pytest.importorskip("distributed", reason="the extra cohort is not installed")
    source, out = write_scans(tmp_path / "in", "sleep 1.5", "sleep 60", *["ok"] * 30), tmp_path / "out"
    process = start(source, out, "dask", GRACE="12")
    wait_for(out / "started" / "s001")
    os.killpg(process.pid, signal.SIGTERM)
    states = finish(process, 143)
    assert states["s000"].startswith("done")
    assert states["s001"].startswith("stopped")
    assert leftovers(out) == []
