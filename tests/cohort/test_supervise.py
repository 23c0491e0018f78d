"""The faults of one scan, with real processes (specs: cohort faults 1, 6, 13, 14, 15, 17, 18, 19)."""

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from neuronat.cohort.engine import open_here
from neuronat.cohort.entry import Entry, Selection
from neuronat.cohort.ledger import read_rows
from neuronat.cohort.manifest import find_cohort
from neuronat.cohort.run import Rules, exit_code, run_cohort
from neuronat.cohort.supervise import log_path


def run(source: Path, out: Path, job, n_workers: int = 2, rules: Rules | None = None):
    """Run a cohort in this process; return its tally and its rows by stem."""
    out.mkdir(exist_ok=True)
    rows = {}
    with open_here(job, n_workers) as engine:
        entries = find_cohort(source, out, Selection()).entries
        tally = run_cohort(entries, job, engine, rules or Rules(), lambda row, _: rows.setdefault(row.stem, row))
    return tally, rows


def started(out: Path, stem: str) -> list[list[str]]:
    """Process, tile, device and memory in bytes of every attempt at a scan."""
    return [line.split() for line in (out / "started" / stem).read_text().splitlines()]


def leftovers(out: Path) -> list[str]:
    return sorted(path.name for path in out.rglob(".neuronat-*"))


def test_a_killed_worker_costs_one_retry_with_smaller_tiles_and_then_that_scan_alone(standin, source, tmp_path: Path):
    out = tmp_path / "out"
    tally, rows = run(source("ok", "kill 9", "kill-once", "kill 11", "ok"), out, standin.make_job(out))
    assert dict(tally.counts) == {"done": 3, "killed": 2}
    assert rows["s001"].message.startswith("killed (signal 9, likely out of memory; peak memory ")
    assert rows["s003"].message.startswith("killed (signal 11, Segmentation fault; ")
    assert [tile for _, tile, *_ in started(out, "s001")] == ["64", "32"]
    assert (rows["s002"].state, rows["s002"].fallback) == ("done", "smaller tiles")
    assert exit_code(tally) == 1
    assert leftovers(out) == []
    states = {row.stem: row.state for row in read_rows(out)}
    assert states == {"s000": "done", "s001": "killed", "s002": "done", "s003": "killed", "s004": "done"}


def test_a_worker_killed_from_outside_in_mid_scan_is_seen_within_seconds(standin, source, tmp_path: Path):
    out = tmp_path / "out"
    job = standin.make_job(out)
    killed_at_s = []

    def kill_twice():
        for attempt in (1, 2):
            while not (out / "started" / "s000").exists() or len(started(out, "s000")) < attempt:
                time.sleep(0.02)
            os.kill(int(started(out, "s000")[-1][0]), signal.SIGKILL)
        killed_at_s.append(time.monotonic())

    thread = threading.Thread(target=kill_twice)
    thread.start()
    tally, rows = run(source("sleep 60"), out, job, 1)
    thread.join()
    assert time.monotonic() - killed_at_s[0] < 5
    assert rows["s000"].state == "killed"
    assert tally.codes == {71: 1}
    assert leftovers(out) == []


@pytest.mark.parametrize(
    ("text", "n_gpus", "expected", "fallback"),
    [
        ("memory", 1, [("64", "auto"), ("32", "auto"), ("32", "cpu")], "CPU"),
        ("driver", 1, [("64", "auto"), ("64", "auto"), ("64", "cpu")], "CPU"),
    ],
)
def test_an_accelerator_without_memory_or_lost_falls_back_step_by_step(
    standin, source, tmp_path: Path, text: str, n_gpus: int, expected: list, fallback: str
):
    out = tmp_path / "out"
    _, rows = run(source(text), out, standin.make_job(out, n_gpus=n_gpus), 1)
    attempts = started(out, "s000")
    assert [(tile, device) for _, tile, device, _ in attempts] == expected
    assert (rows["s000"].state, rows["s000"].fallback) == ("done", fallback)
    is_new = attempts[0][0] != attempts[1][0]
    assert is_new == (text == "driver"), "only a lost device asks for a new process"


def test_without_accelerator_memory_is_tried_twice_and_then_named(standin, source, tmp_path: Path):
    out = tmp_path / "out"
    tally, rows = run(source("memory"), out, standin.make_job(out), 1)
    assert [tile for _, tile, *_ in started(out, "s000")] == ["64", "32"]
    assert rows["s000"].message == "memory ran out (CUDA out of memory at tiles of 32)"
    assert tally.codes == {71: 1}


def test_a_scan_that_hangs_is_ended_and_the_next_gets_a_new_worker(standin, source, tmp_path: Path):
    out = tmp_path / "out"
    tally, rows = run(source("sleep 600", "ok"), out, standin.make_job(out, timeout_s=6.0), 1)
    assert dict(tally.counts) == {"timeout": 1, "done": 1}
    assert rows["s000"].message.startswith("not done after 0.1 minutes")
    assert len(started(out, "s000")) == 1
    assert leftovers(out) == []


def test_one_corrupt_scan_in_a_hundred_is_one_line(standin, source, tmp_path: Path):
    out = tmp_path / "out"
    texts = ["ok"] * 100
    texts[41] = "corrupt"
    tally, rows = run(source(*texts), out, standin.make_job(out))
    assert dict(tally.counts) == {"done": 99, "failed": 1}
    assert exit_code(tally) == 1
    assert rows["s041"].message.startswith("our mistake (ValueError: not a scan)")
    assert [path.name for path in (out / "logs").iterdir()] == ["s041.log"]
    assert "ValueError: not a scan" in (out / "logs" / "s041.log").read_text()


def test_a_log_storm_stays_small(standin, source, tmp_path: Path):
    out = tmp_path / "out"
    _, rows = run(source("storm 200"), out, standin.make_job(out), 1)
    assert rows["s000"].state == "failed"
    text = (out / "logs" / "s000.log").read_text()
    assert len(text) < 2 * 2**20
    assert "earlier messages were cut" in text
    assert "ValueError: after a storm" in text


def test_workers_are_replaced_before_what_leaks_adds_up(standin, source, tmp_path: Path):
    out = tmp_path / "out"
    tally, _ = run(source(*["leak 1000000"] * 12), out, standin.make_job(out, scans_per_worker=5), 1)
    assert tally.counts["done"] == 12
    processes = Counter(started(out, f"s{number:03d}")[0][0] for number in range(12))
    assert sorted(processes.values()) == [2, 5, 5]


@pytest.mark.slow
def test_memory_does_not_creep_over_two_hundred_scans(standin, source, tmp_path: Path):
    out = tmp_path / "out"
    tally, _ = run(source(*["leak 4000000"] * 200), out, standin.make_job(out), 1)
    assert tally.counts["done"] == 200
    held = [int(started(out, f"s{number:03d}")[0][3]) for number in range(200)]
    assert held[49] - held[0] > 49 * 3.9e6, "it does leak"
    assert max(held[50:]) < max(held[:50]) + 5e6
    assert [held[number] < held[0] + 5e6 for number in (50, 100, 150)] == [True] * 3


def test_a_scan_that_another_live_run_has_is_left_to_it(standin, source, tmp_path: Path):
    out, scans = tmp_path / "out", source("sleep 2", "ok")
    first, second = standin.make_job(out, run="first"), standin.make_job(out, run="second")
    found = {}
    thread = threading.Thread(target=lambda: found.update(first=run(scans, out, first, 1)))
    thread.start()
    while not (out / "started" / "s000").exists():
        time.sleep(0.02)
    tally, rows = run(scans, out, second, 1)
    thread.join()
    assert rows["s000"].state == "busy"
    assert rows["s000"].message.startswith(f"another run has it (process {os.getpid()} on ")
    assert exit_code(tally) == 75
    assert exit_code(found["first"][0]) == 0
    assert len(started(out, "s000")) == len(started(out, "s001")) == 1


def test_a_done_scan_is_trusted_only_with_its_hashes_and_its_input(standin, source, tmp_path: Path):
    out, scans = tmp_path / "out", source("ok", "ok", "ok", "ok")
    job = standin.make_job(out)
    run(scans, out, job)
    (out / "s001_done.json").unlink()
    (out / "s002_seg-deepnat25_volumes.tsv").write_text("damaged")
    (scans / "s003.nii.gz").write_text("ok changed")
    for path in out.glob("s000*"):
        os.utime(path, (0, 0))  # times decide nothing
    tally, rows = run(scans, out, replace(job, run="again"))
    assert {stem: row.state for stem, row in rows.items()} == {
        "s000": "already done", "s001": "done", "s002": "done", "s003": "done",
    }  # fmt: skip
    assert exit_code(tally) == 0
    assert [len(started(out, f"s00{number}")) for number in range(4)] == [1, 2, 2, 2]


def test_a_success_takes_the_failure_off_the_books(standin, source, tmp_path: Path):
    out, scans = tmp_path / "out", source("corrupt")
    run(scans, out, standin.make_job(out))
    assert [row.state for row in read_rows(out)] == ["failed"]
    (scans / "s000.nii.gz").write_text("ok now")
    run(scans, out, standin.make_job(out))
    assert [row.state for row in read_rows(out)] == ["done"]
    assert not (out / "s000_failed.json").exists()


def test_every_scan_has_a_log_of_its_own_however_deep_it_lies(standin, tmp_path: Path):
    job = standin.make_job(tmp_path)
    deep = "/".join(["folder-of-about-fifty-characters-as-some-people-make"] * 5)
    places = (("a", "s"), ("", "a__s"), (deep, "s"), (f"x/{deep}", "s"))
    paths = [log_path(Entry(scan=Path(f"{stem}.nii.gz"), folder=folder), job) for folder, stem in places]
    assert paths[0].name == "a__s.log"
    assert len(set(paths)) == 4
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
