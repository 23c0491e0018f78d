import subprocess
import sys

import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError, UnavailableError
from neuronat.pipeline import device
from neuronat.pipeline.device import choose_device, device_error, device_names, free_device_bytes, limit_threads


def test_the_cpu_calculates_correctly():
    assert 0 < device_error("cpu") < 1e-5
    assert choose_device("cpu") == torch.device("cpu")


def test_a_device_that_calculates_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch):
    true_convolution = torch.nn.functional.conv3d
    monkeypatch.setattr(torch.nn.functional, "conv3d", lambda *arguments: true_convolution(*arguments).flip(1))
    assert device_error("cpu") > 1
    with pytest.raises(UnavailableError, match="device cpu calculates wrongly"):
        choose_device("cpu")


def test_unknown_and_absent_devices_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "device_names", lambda: ("cpu",))
    with pytest.raises(ConfigError, match="device 'abacus' is not known"):
        choose_device("abacus")
    with pytest.raises(UnavailableError, match="device cuda:3 is not there; at hand are cpu"):
        choose_device("cuda:3")
    assert choose_device("auto") == torch.device("cpu")


def test_a_device_that_fails_has_an_infinite_error():
    np.testing.assert_equal(device_error("meta"), np.inf)


def test_memory_of_a_device_of_its_own_counts_what_torch_keeps_as_free(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (500, 2000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 100)
    assert free_device_bytes(torch.device("cuda:0")) == 700
    assert free_device_bytes(torch.device("cpu")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_the_accelerator_calculates_correctly():
    assert device_error("cuda:0") < 1e-4
    assert device_names()[1] == "cuda:0"
    assert choose_device("auto") == torch.device("cuda:0")


@pytest.mark.parametrize("n_threads", [0, -3])
def test_fewer_than_one_thread_is_refused(n_threads: int):
    with pytest.raises(ConfigError, match=f"number of threads must be at least 1; got {n_threads}"):
        limit_threads(n_threads)


def test_a_limit_of_threads_holds_for_torch_after_numba_has_started_its_own():
    code = (
        "import torch; torch.get_num_threads()\n"  # from now on torch asks OpenMP, which numba shares
        "from neuronat.pipeline.device import limit_threads\n"
        "limit_threads(1); print(torch.get_num_threads())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout.split() == ["1"]
