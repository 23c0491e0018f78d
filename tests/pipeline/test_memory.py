import numpy as np
import pytest

from neuronat.errors import MemoryShortError
from neuronat.pipeline.memory import memory_estimate_gb, require_memory
from neuronat.prepare.conform import plan_grid
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import Volume

AFFINE = np.diag([-0.5, 0.5, 0.5, 1.0])


def test_the_estimate_counts_both_grids_and_the_brain():
    small = memory_estimate_gb(plan_grid(AFFINE, (40, 44, 48)), 0.0)
    np.testing.assert_allclose(small, 1.5 + (40 * 44 * 48 + 20 * 22 * 24) * 40 / 1e9, rtol=1e-9)
    grown = memory_estimate_gb(plan_grid(AFFINE, (40, 44, 48)), 1000.0)
    np.testing.assert_allclose(grown - small, 1.2, rtol=1e-6)
    assert memory_estimate_gb(plan_grid(AFFINE, (40, 44, 48)), None) > grown


def test_too_little_memory_is_told_with_both_numbers_unless_the_user_set_a_limit(monkeypatch: pytest.MonkeyPatch):
    mask = np.ones((40, 44, 48), bool)
    volume = Volume(np.zeros(mask.shape, np.float32), AFFINE)
    monkeypatch.setattr("neuronat.pipeline.memory.free_memory_bytes", lambda: 1_000_000_000)
    with pytest.raises(MemoryShortError, match=r"needs about 1\.5 GB of memory, and 1\.0 GB are free; close"):
        require_memory(volume, mask, ReadOptions())
    require_memory(volume, mask, ReadOptions(max_voxels=10**6))
    monkeypatch.setattr("neuronat.pipeline.memory.free_memory_bytes", lambda: 1_600_000_000)
    require_memory(volume, mask, ReadOptions())
