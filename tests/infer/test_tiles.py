import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError, ShapeError
from neuronat.infer.protocols import class_probabilities
from neuronat.infer.tiles import TileConfig, encode_scan, plan_tiles
from neuronat.nets.neuronet import NeuroNet, NeuroNetConfig
from neuronat.nets.unet import UNet, UNetConfig


class Identity(torch.nn.Module):
    """Stands for a network whose heads answer voxel by voxel: passes the scan on."""

    stride = 4
    n_channels = 1

    def encode_voxels(self, scan, voxels):
        return scan[0, :, voxels].T


class Scales(NeuroNet):
    """Stands for a network as published: passes the scan on, at full and at half resolution."""

    stride = 4
    n_channels = 1

    def __init__(self):
        torch.nn.Module.__init__(self)

    def encode(self, scans):
        return scans, torch.nn.functional.avg_pool3d(scans, 2)


def quiet(_done: float) -> None:
    """Take progress and do nothing."""


@pytest.mark.parametrize("most_voxels", [10**6, 20_000, 6_000])
def test_blended_tiles_of_an_identity_are_the_scan(rng, most_voxels):
    grey, mask = rng.random((37, 42, 51), dtype=np.float32), rng.random((37, 42, 51)) > 0.7
    mask[:12, :12, :12] = False  # more than a tile
    config = TileConfig(most_voxels=most_voxels, overlap_vox=8)
    seen = []
    found = encode_scan(Identity(), grey[None], mask, config, seen.append)
    assert found.mask is mask
    np.testing.assert_allclose(found.rows[:, 0].numpy(), grey[mask], atol=1e-6)  # float32 weights
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize("most_voxels", [10**6, 20_000, 6_000])
def test_blended_tiles_of_scales_are_the_scan_at_each(rng, most_voxels):
    grey, mask = rng.random((37, 42, 51), dtype=np.float32), np.ones((37, 42, 51), bool)
    found = encode_scan(Scales(), grey[None], mask, TileConfig(most_voxels=most_voxels, overlap_vox=8), quiet)
    assert [tuple(scale.shape) for scale in found.scales] == [(1, 40, 44, 52), (1, 20, 22, 26)]
    np.testing.assert_allclose(found.scales[0][0, :37, :42, :51].numpy(), grey, atol=1e-6)  # float32 weights
    half = grey[:36, :42, :50].reshape(18, 2, 21, 2, 25, 2).mean((1, 3, 5))
    np.testing.assert_allclose(found.scales[1][0, :18, :21, :25].numpy(), half, atol=1e-6)


def test_tiles_cover_everything_and_are_small_enough():
    tiles = plan_tiles((64, 96, 80), 16, TileConfig(most_voxels=100_000, overlap_vox=16))
    covered = np.zeros((64, 96, 80), int)
    for tile in tiles:
        covered[tile] += 1
        assert covered[tile].size <= 100_000
        assert all(edge.start % 16 == 0 and edge.stop % 16 == 0 for edge in tile)
    assert covered.min() == 1
    assert covered.max() > 1


def test_a_scan_that_fits_is_one_tile():
    assert plan_tiles((16, 32, 48), 16, TileConfig()) == ((slice(0, 16), slice(0, 32), slice(0, 48)),)


@pytest.mark.parametrize("kind", ["neuronet", "unet"])
def test_a_scan_smaller_than_any_tile_and_of_odd_extents_works(kind, rng):
    torch.manual_seed(0)
    protocols = {"brain": 2}
    net = (
        NeuroNet(NeuroNetConfig(protocols=protocols))
        if kind == "neuronet"
        else UNet(UNetConfig(protocols=protocols, filters=(4, 6, 8)))
    ).eval()
    mask = np.ones((5, 9, 13), bool)
    found = encode_scan(net, rng.random((1, 5, 9, 13), dtype=np.float32), mask, TileConfig(), quiet)
    assert class_probabilities(net, found, "brain").shape == (5 * 9 * 13, 2)


def test_misfits_are_named():
    with pytest.raises(ShapeError, match=r"\(16, 20, 16\) must be multiples of 16"):
        plan_tiles((16, 20, 16), 16, TileConfig())
    with pytest.raises(ShapeError, match=r"takes 1 channels of three axes; got \(2, 4, 4, 4\)"):
        encode_scan(Identity(), np.zeros((2, 4, 4, 4), np.float32), np.ones((4, 4, 4), bool), TileConfig(), quiet)
    with pytest.raises(ShapeError, match=r"the mask has \(4, 4, 5\) voxels, the scan \(4, 4, 4\)"):
        encode_scan(Identity(), np.zeros((1, 4, 4, 4), np.float32), np.ones((4, 4, 5), bool), TileConfig(), quiet)
    with pytest.raises(ShapeError, match="without voxels"):
        encode_scan(Identity(), np.zeros((1, 0, 4, 4), np.float32), np.ones((0, 4, 4), bool), TileConfig(), quiet)
    with pytest.raises(ConfigError, match="no negative overlap"):
        TileConfig(overlap_vox=-1)
