"""Several processes that train one network, started as users start them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from neuronat.errors import UnavailableError
from neuronat.train.course import Course, Exercise, TrainConfig, follow_course
from neuronat.train.team import SOLO, join_team

ITERATIONS = 6


def make_net() -> nn.Module:
    """Two heads, of which a member may use one only."""
    torch.manual_seed(0)
    return nn.ModuleDict({"a": nn.Linear(3, 1), "b": nn.Linear(3, 1)})


def make_exercise(net: nn.Module, used: str) -> Exercise:
    def score(batch):
        return (net[used](batch) ** 2).mean(), torch.tensor([1.0]), len(batch)

    return Exercise(lambda chance, _: torch.randn(8, 3, generator=chance) + 2, score, 1, {})


def train_as_a_member(folder: Path) -> None:
    """What each process of the tests below does."""
    team, device = join_team(torch.device("cpu"))
    if "KILLED_AT" in os.environ:
        return train_until_killed(folder, team, int(os.environ["KILLED_AT"]))
    net = make_net().to(device)
    config = TrainConfig(iterations=ITERATIONS, momentum=0.0, rate=0.05, weight_decay=0.0)
    for minutes, resume in ((0.0, False), (9.0, True)):  # stopped after the first step, then resumed
        course = Course(folder=folder / "run", log_every=2, max_minutes=minutes, resume=resume, team=team)
        follow_course(net, make_exercise(net, "ab"[team.rank]), config, course)
    weights = {name: value.tolist() for name, value in net.state_dict().items()}
    (folder / f"{team.rank}.json").write_text(json.dumps({"size": team.size, "weights": weights}))
    team.leave()


def train_until_killed(folder: Path, team, killed_at: int) -> None:
    """Write a checkpoint after each step; the second member dies at one of them."""
    exercise = make_exercise(make_net(), "ab"[team.rank])
    n_drawn = 0

    def draw(chance, done):
        nonlocal n_drawn
        n_drawn += 1
        if team.rank == 1 and n_drawn == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return exercise.draw(chance, done)

    config = TrainConfig(iterations=ITERATIONS, momentum=0.0, rate=0.05, weight_decay=0.0)
    course = Course(folder=folder / "run", log_every=1, checkpoint_every_s=0.0, resume=True, team=team)
    assert follow_course(make_net(), replace(exercise, draw=draw), config, course)
    team.leave()


def run_team(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Start two members of this file as users start them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    return subprocess.run(
        [*command, str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        check=False,
    )


@pytest.mark.slow
def test_a_member_that_dies_ends_the_team_which_goes_on_from_its_checkpoint(tmp_path):
    began_s = time.monotonic()
    assert run_team(tmp_path, KILLED_AT="4").returncode != 0
    assert time.monotonic() - began_s < 120, "the other member did not wait for ever"
    logged = [json.loads(line)["iteration"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert logged == [1, 2, 3]
    ended = run_team(tmp_path, KILLED_AT="0")
    assert ended.returncode == 0, ended.stderr[-2000:]
    logged = [json.loads(line)["iteration"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert logged == list(range(1, ITERATIONS + 1))


@pytest.mark.slow
def test_two_processes_take_the_same_steps_from_different_examples(tmp_path):
    ended = run_team(tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["size"] == second["size"] == 2
    assert first["weights"] == second["weights"]
    start = {name: value.tolist() for name, value in make_net().state_dict().items()}
    assert all(first["weights"][name] != start[name] for name in start)  # each head was used by one member only
    logged = [json.loads(line)["iteration"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert logged == [2, 4, 6]  # written once, not twice


def test_without_torchrun_there_is_one_member():
    assert join_team(torch.device("cpu")) == (SOLO, torch.device("cpu"))
    with SOLO.first_goes_ahead():
        assert SOLO.agree(True)
    SOLO.leave()
    net = make_net()
    gradient = torch.ones(1, 3)
    net["a"].weight.grad = gradient
    SOLO.average_gradients(net)
    assert net["a"].weight.grad is gradient


def test_a_missing_fabric_is_named_with_its_extra(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(UnavailableError, match=r"pip install 'neuronat\[train\]'"):
        join_team(torch.device("cpu"))


if __name__ == "__main__":
    train_as_a_member(Path(sys.argv[1]))
