import numpy as np
import pytest
import torch

from neuronat.errors import MemoryShortError
from neuronat.pipeline import memory
from neuronat.pipeline.memory import TILES, fitting_tile_vox, is_memory_ample, memory_estimate_gb, require_memory
from neuronat.prepare.conform import plan_grid
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import Volume

AFFINE = np.diag([-0.5, 0.5, 0.5, 1.0])
SHAPE = (176, 224, 192)
CPU = torch.device("cpu")


def let_be_free(monkeypatch: pytest.MonkeyPatch, free_gb: float, held_gb: float = 0.0) -> None:
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: int(1e9 * free_gb))
    monkeypatch.setattr(memory, "held_memory_bytes", lambda: int(1e9 * held_gb))


def test_the_estimate_counts_both_grids_the_brain_and_the_tiles():
    grid = plan_grid(AFFINE, (40, 44, 48))
    small = memory_estimate_gb(grid, 0.0)
    larger = memory_estimate_gb(plan_grid(AFFINE, (80, 44, 48)), 0.0)
    np.testing.assert_allclose(larger - small, (40 * 44 * 48 + 20 * 22 * 24) * 40 / 1e9, rtol=1e-6)
    grown = memory_estimate_gb(grid, 1500.0) - memory_estimate_gb(grid, 1000.0)
    np.testing.assert_allclose(grown, 0.5 * (0.6 + 2.6 * 0.1), rtol=1e-6)  # of the brain, and of the box around it
    assert memory_estimate_gb(grid, None) > memory_estimate_gb(grid, 1500.0)
    by_tile = [memory_estimate_gb(grid, 1500.0, tile_vox=tile_vox) for tile_vox in TILES]
    assert by_tile == sorted(by_tile, reverse=True)
    assert by_tile[-1] < by_tile[0]


def test_too_little_memory_is_told_with_both_numbers_unless_the_user_set_a_limit(monkeypatch: pytest.MonkeyPatch):
    volume = Volume(np.zeros((40, 44, 48), np.float32), AFFINE)
    mask = np.ones(volume.values.shape, bool)
    let_be_free(monkeypatch, 0.5, held_gb=0.1)
    with pytest.raises(MemoryShortError, match=r"needs about 1\.\d GB of memory, and 0\.6 GB are free; close"):
        require_memory(volume, mask, ReadOptions())
    require_memory(volume, mask, ReadOptions(max_voxels=10**6))
    let_be_free(monkeypatch, 0.5, held_gb=1.5)
    require_memory(volume, mask, ReadOptions())


def test_the_largest_tiles_that_fit_are_taken(monkeypatch: pytest.MonkeyPatch):
    volume = Volume(np.zeros(SHAPE, np.float32), np.eye(4))
    grid = plan_grid(volume.affine, SHAPE)
    for tile_vox in TILES:
        let_be_free(monkeypatch, memory_estimate_gb(grid, None, tile_vox=tile_vox) - 0.7 + 1e-3, held_gb=0.7)
        assert fitting_tile_vox(volume, None, CPU) == tile_vox
    let_be_free(monkeypatch, 0.1)
    assert fitting_tile_vox(volume, None, CPU) == TILES[-1]  # and `require_memory` refuses, where the user lets it


def test_memory_is_ample_from_twice_the_estimate_on(monkeypatch: pytest.MonkeyPatch):
    volume = Volume(np.zeros(SHAPE, np.float32), np.eye(4))
    needed_gb = memory_estimate_gb(plan_grid(volume.affine, SHAPE), None)
    let_be_free(monkeypatch, 2 * needed_gb - 0.9, held_gb=1.0)
    assert is_memory_ample(volume, None)
    let_be_free(monkeypatch, 2 * needed_gb - 1.1, held_gb=1.0)
    assert not is_memory_ample(volume, None)


@pytest.mark.parametrize(("free_gb", "tile_vox"), [(4.0, 64), (1.2, 48), (0.1, 32)])
def test_an_accelerator_has_to_hold_a_tile(monkeypatch: pytest.MonkeyPatch, free_gb: float, tile_vox: int):
    let_be_free(monkeypatch, 64.0)
    monkeypatch.setattr(memory, "free_device_bytes", lambda _device: int(1e9 * free_gb))
    assert fitting_tile_vox(Volume(np.zeros(SHAPE, np.float32), np.eye(4)), None, torch.device("cuda:0")) == tile_vox
