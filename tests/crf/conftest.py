"""One thread for small arrays: waiting for each other costs threads more than the work."""

from collections.abc import Iterator

import numba
import pytest


@pytest.fixture(autouse=True, scope="module")
def single_thread() -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)
