import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError, OutputError
from neuronat.train.checkpoint import TrainingState, load_newest, save_checkpoint


def small_state(seed=0, settings=None):
    torch.manual_seed(seed)
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return TrainingState(net, optimizer, torch.Generator().manual_seed(seed), settings or {"rate": 0.1})


def test_the_newest_checkpoint_brings_everything_back(tmp_path):
    state = small_state()
    state.net(torch.ones(4, 3)).sum().backward()
    state.optimizer.step()
    save_checkpoint(tmp_path, state, iteration=7)
    expected = [torch.rand(2, generator=state.generator), torch.rand(2)]
    other = small_state(seed=5)
    assert load_newest(tmp_path, other) == 7
    np.testing.assert_array_equal(other.net.weight.detach(), state.net.weight.detach())
    np.testing.assert_array_equal(
        next(iter(other.optimizer.state.values()))["momentum_buffer"],
        next(iter(state.optimizer.state.values()))["momentum_buffer"],
    )
    np.testing.assert_array_equal(torch.rand(2, generator=other.generator), expected[0])
    np.testing.assert_array_equal(torch.rand(2), expected[1])


def test_the_last_two_stay(tmp_path):
    for iteration in (10, 20, 30):
        save_checkpoint(tmp_path, small_state(), iteration=iteration)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-0000020.pt", "checkpoint-0000030.pt"]


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(tmp_path):
    save_checkpoint(tmp_path, small_state(), iteration=10)
    newest = save_checkpoint(tmp_path, small_state(), iteration=20)
    newest.write_bytes(newest.read_bytes()[:300])
    assert load_newest(tmp_path, small_state()) == 10


def test_nothing_to_resume_from_is_iteration_zero(tmp_path):
    assert load_newest(tmp_path, small_state()) == 0


def test_other_settings_are_named(tmp_path):
    save_checkpoint(tmp_path, small_state(), iteration=10)
    with pytest.raises(ConfigError, match=r"made with other settings \(rate\)"):
        load_newest(tmp_path, small_state(settings={"rate": 0.2}))


def test_a_folder_that_cannot_be_written_is_exit_73(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        save_checkpoint(tmp_path / "file" / "run", small_state(), iteration=1)
    assert caught.value.exit_code == 73


KILLED = """
import sys, torch
from pathlib import Path
from neuronat.train.checkpoint import TrainingState, save_checkpoint
net = torch.nn.Linear(1500, 1500)
state = TrainingState(net, torch.optim.SGD(net.parameters(), lr=0.1), torch.Generator(), {})
for iteration in range(1, 100000):
    with torch.no_grad():
        net.weight.fill_(iteration)
    save_checkpoint(Path(sys.argv[1]), state, iteration=iteration)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_checkpoint_that_loads(tmp_path):
    for delay_s in (0.0, 0.013, 0.029):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
        while len(list(tmp_path.glob("checkpoint-*.pt"))) < 2:
            time.sleep(0.01)
        time.sleep(0.3 + delay_s)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        net = torch.nn.Linear(1500, 1500)
        state = TrainingState(net, torch.optim.SGD(net.parameters(), lr=0.1), torch.Generator(), {})
        iteration = load_newest(tmp_path, state)
        assert iteration > 0
        np.testing.assert_array_equal(net.weight.detach(), np.full((1500, 1500), iteration, np.float32))
