"""Several processes that train one network, started as users start them."""

import json
import os
import subprocess
import sys
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

    return Exercise(lambda chance: torch.randn(8, 3, generator=chance) + 2, score, 1, {})


def train_as_a_member(folder: Path) -> None:
    """What each process of the test below does."""
    team, device = join_team(torch.device("cpu"))
    net = make_net().to(device)
    config = TrainConfig(iterations=ITERATIONS, momentum=0.0, rate=0.05, weight_decay=0.0)
    for minutes, resume in ((0.0, False), (9.0, True)):  # stopped after the first step, then resumed
        course = Course(folder=folder / "run", log_every=2, max_minutes=minutes, resume=resume, team=team)
        follow_course(net, make_exercise(net, "ab"[team.rank]), config, course)
    weights = {name: value.tolist() for name, value in net.state_dict().items()}
    (folder / f"{team.rank}.json").write_text(json.dumps({"size": team.size, "weights": weights}))


@pytest.mark.slow
def test_two_processes_take_the_same_steps_from_different_examples(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, timeout=240, env=environment, check=False
    )
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
