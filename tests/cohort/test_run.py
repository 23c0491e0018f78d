import math
from concurrent.futures import Future
from pathlib import Path

import pytest

from neuronat.cohort.engine import Engine
from neuronat.cohort.entry import Entry, Job, Row
from neuronat.cohort.run import Rules, Tally, exit_code, run_cohort
from neuronat.errors import ConfigError
from neuronat.pipeline.settings import SegmentConfig


def run(tmp_path: Path, answers: list, **rules: object):
    """Run scans whose rows, or exceptions, are given; return the tally and how many were handed out."""
    handed_out = []

    def submit(entry: Entry) -> Future:
        future: Future = Future()
        answer = answers[len(handed_out)]
        handed_out.append(entry)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            state, code, message = answer
            row = Row(folder="", stem=entry.stem, state=state, code=code, message=message.replace("NAME", entry.stem))
            future.set_result(row)
        return future

    entries = [Entry(Path(f"s{number}.nii"), "") for number in range(len(answers))]
    job = Job(out=tmp_path, config=SegmentConfig(), run="r", work=lambda *_: None)
    tally = run_cohort(entries, job, Engine(submit, lambda: 2), Rules(**rules), lambda *_: None)
    return tally, len(handed_out)


DONE = ("done", 0, "")


def test_all_scans_are_handed_out_once_and_counted(tmp_path: Path):
    tally, n = run(tmp_path, [DONE, ("already done", 0, ""), ("failed", 65, "x"), DONE])
    assert (dict(tally.counts), n) == ({"done": 2, "already done": 1, "failed": 1}, 4)
    assert tally.n_seen == tally.n_scans == 4


def test_ten_failures_alike_end_a_run_and_names_and_numbers_do_not_hide_it(tmp_path: Path):
    answers = [("failed", 69, f"NAME.nii: model broke after {number}.5 s") for number in range(100)]
    tally, n = run(tmp_path, answers)
    assert tally.ended.startswith("10 scans in a row failed alike")
    assert n < 20
    assert exit_code(tally) == 1
    assert run(tmp_path, answers, keep_going=True)[1] == 100


def test_failures_of_different_kinds_or_with_successes_between_do_not(tmp_path: Path):
    mixed = [("failed", 65, ("cut off", "no contrast")[number % 2]) for number in range(40)]
    assert run(tmp_path, mixed)[1] == 40
    assert run(tmp_path, ([("failed", 65, "cut off")] * 9 + [DONE]) * 4)[1] == 40


def test_three_that_cannot_be_written_end_a_run_with_73(tmp_path: Path):
    tally, n = run(tmp_path, [("failed", 73, "no space")] * 50)
    assert n < 12
    assert exit_code(tally) == 73


def test_what_an_engine_loses_is_a_failure_of_that_scan(tmp_path: Path):
    tally, _ = run(tmp_path, [DONE, RuntimeError("worker gone"), DONE])
    assert dict(tally.counts) == {"done": 2, "killed": 1}


@pytest.mark.parametrize(
    ("counts", "gaps", "code"),
    [
        ({"done": 3, "already done": 2}, 0, 0),
        ({"done": 3, "failed": 1}, 0, 1),
        ({"done": 3, "timeout": 1, "busy": 1}, 0, 1),
        ({"done": 3, "busy": 1}, 0, 75),
        ({"done": 3}, 1, 1),
    ],
)
def test_exit_codes_tell_the_truth(counts: dict[str, int], gaps: int, code: int):
    tally = Tally(10)
    tally.counts.update(counts)
    assert exit_code(tally, gaps) == code


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_grace_cannot_be_negative_or_endless(seconds: float):
    with pytest.raises(ConfigError, match="grace must be a finite number of seconds, at least 0; got"):
        Rules(grace_s=seconds)
