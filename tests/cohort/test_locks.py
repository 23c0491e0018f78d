import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from neuronat.cohort.locks import beat, holder_name, is_held, lock_path, release, stem_of_lock, take_lock
from neuronat.record import remove_leftovers


def other_machine(path: Path) -> None:
    """Make a lock look as if another machine held it."""
    path.write_text(json.dumps({"run": "theirs", "pid": 1, "started": "1", "place": "elsewhere", "host": "node9"}))


def test_a_lock_belongs_to_one_run_until_it_is_given_back(tmp_path: Path):
    path = lock_path(tmp_path, "sub-01")
    assert stem_of_lock(path.name) == "sub-01"
    assert stem_of_lock("sub-01_done.json") == ""
    assert take_lock(path, "a")
    assert not take_lock(path, "b")
    assert is_held(path)
    assert holder_name(path).startswith(f"process {os.getpid()} on ")
    release(path, "b")
    assert path.exists()
    release(path, "a")
    assert not path.exists()
    assert take_lock(path, "b")


def test_a_lock_of_a_dead_process_is_free_at_once(tmp_path: Path):
    path = lock_path(tmp_path, "x")
    script = f"import pathlib, neuronat.cohort.locks as locks; locks.take_lock(pathlib.Path({str(path)!r}), 'a')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert path.exists()
    assert not is_held(path)
    assert take_lock(path, "b")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_process_number_that_was_given_again_is_not_the_holder(tmp_path: Path):
    path = lock_path(tmp_path, "x")
    take_lock(path, "a")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"started": "12"}))
    assert not is_held(path)


def test_a_lock_of_another_machine_is_free_when_it_does_not_change_for_long_enough(tmp_path: Path):
    path = lock_path(tmp_path, "x")
    other_machine(path)
    os.utime(path, (2**33, 2**33))  # a clock far ahead of ours decides nothing
    began_s = time.monotonic()
    assert take_lock(path, "b", expiry_s=0.5)
    assert time.monotonic() - began_s >= 0.5


def test_a_lock_of_another_machine_that_beats_is_respected(tmp_path: Path):
    path = lock_path(tmp_path, "x")
    other_machine(path)
    is_over = threading.Event()

    def keep_beating():
        while not is_over.wait(0.05):
            beat(path)

    thread = threading.Thread(target=keep_beating)
    thread.start()
    try:
        assert not take_lock(path, "b", expiry_s=2.0)
    finally:
        is_over.set()
        thread.join()


def test_a_lock_of_our_own_run_whose_worker_is_gone_is_taken_over(tmp_path: Path):
    path = lock_path(tmp_path, "x")
    assert take_lock(path, "a")
    assert take_lock(path, "a")


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_a_lock_without_content_expires(tmp_path: Path, content: str):
    path = lock_path(tmp_path, "x")
    path.write_text(content)
    assert take_lock(path, "a", expiry_s=0.1)


def test_a_holder_killed_while_it_makes_a_lock_leaves_none(tmp_path: Path):
    path = lock_path(tmp_path, "x")
    script = f"""
import json, os, pathlib, neuronat.cohort.locks as locks
json.dumps = lambda content: os._exit(9)
locks.take_lock(pathlib.Path({str(path)!r}), "a")
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert not path.exists()
    remove_leftovers(tmp_path, ["x"])
    assert not list(tmp_path.iterdir())


def test_where_files_cannot_be_linked_a_lock_is_one_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = lock_path(tmp_path, "x")
    assert take_lock(path, "a")
    assert not take_lock(path, "b")
    release(path, "a")
    assert len(race(path, 8)) == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def race(path: Path, n: int) -> list[str]:
    """Let n runs take one lock at once; return those that got it."""
    won = []

    def take(name: str) -> None:
        if take_lock(path, name):
            won.append(name)

    threads = [threading.Thread(target=take, args=(f"run{number}",)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_of_many_runs_one_gets_the_lock_of_a_dead_one(tmp_path: Path):
    for number in range(20):
        path = lock_path(tmp_path, f"x{number}")
        take_lock(path, "dead")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"started": "12"}))
        assert len(race(path, 8)) == 1
