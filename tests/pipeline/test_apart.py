import math
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import MemoryShortError
from neuronat.pipeline.apart import THREADS, processor_s, run_apart


def test_an_answer_comes_back_and_so_does_an_error():
    np.testing.assert_array_equal(run_apart(np.flip, np.arange(6).reshape(2, 3), 1), [[2, 1, 0], [5, 4, 3]])
    with pytest.raises(ValueError, match=r"domain error|nonnegative"):
        run_apart(math.sqrt, -1)


def test_it_is_another_process_with_its_own_threads_and_files_that_go():
    assert run_apart(os.getpid) != os.getpid()
    assert run_apart(os.getenv, THREADS, n_threads=3) == "3"
    assert not Path(run_apart(tempfile.mkdtemp)).exists()


def test_what_it_prints_goes_nowhere(capfd):
    assert run_apart(os.system, "echo out; echo err >&2") == 0
    assert capfd.readouterr() == ("", "")


def test_a_process_that_was_killed_is_said_to_want_memory():
    with pytest.raises(MemoryShortError, match="ended from outside, most likely for want of memory"):
        run_apart(os._exit, 9)


def test_a_signal_ends_it_at_once():
    class RangError(Exception):
        pass

    def ring(*_):
        raise RangError("now")

    before = signal.signal(signal.SIGALRM, ring)
    start_s = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(RangError, match="now"):
            run_apart(time.sleep, 300)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start_s < 120
    assert multiprocessing.active_children() == []


def test_processor_time_counts_those_that_ended():
    before_s = processor_s()
    run_apart(sum, range(3_000_000))
    assert processor_s() - before_s > 0.02
