import numpy as np
import pytest

from neuronat.errors import MemoryShortError
from neuronat.pipeline.memory import memory_estimate_gb, require_memory
from neuronat.prepare.conform import plan_grid

AFFINE = np.diag([-0.5, 0.5, 0.5, 1.0])


def test_the_estimate_counts_both_grids_and_the_brain():
    small = memory_estimate_gb(plan_grid(AFFINE, (40, 44, 48)), 0.0)
    np.testing.assert_allclose(small, 1.5 + (40 * 44 * 48 + 20 * 22 * 24) * 40 / 1e9, rtol=1e-9)
    grown = memory_estimate_gb(plan_grid(AFFINE, (40, 44, 48)), 1000.0)
    np.testing.assert_allclose(grown - small, 1.2, rtol=1e-6)
    assert memory_estimate_gb(plan_grid(AFFINE, (40, 44, 48)), None) > grown


def test_too_little_memory_is_told_with_both_numbers(monkeypatch: pytest.MonkeyPatch):
    mask = np.ones((40, 44, 48), bool)  # 84480 / 8 mm3
    for free_gb, is_refused in ((1.0, True), (1.6, False)):
        monkeypatch.setattr("neuronat.pipeline.memory.free_memory_bytes", lambda free_gb=free_gb: int(free_gb * 1e9))
        if not is_refused:
            require_memory(mask, AFFINE)
            continue
        with pytest.raises(MemoryShortError, match=r"needs about 1\.5 GB of memory, and 1\.0 GB are free; close"):
            require_memory(mask, AFFINE)
