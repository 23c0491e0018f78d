import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError, ShapeError
from neuronat.infer.tiles import TileConfig, encode_scan, plan_tiles
from neuronat.nets.neuronet import NeuroNet, NeuroNetConfig
from neuronat.nets.unet import UNet, UNetConfig


class Identity(torch.nn.Module):
    """Stands for a network: passes the scan on, at full and at half resolution."""

    stride = 4
    n_channels = 1

    def encode(self, scans):
        return scans, torch.nn.functional.avg_pool3d(scans, 2)


def quiet(_done: float) -> None:
    """Take progress and do nothing."""


@pytest.mark.parametrize("most_voxels", [10**6, 20_000, 6_000])
def test_blended_tiles_of_an_identity_are_the_scan(rng, most_voxels):
    grey = rng.random((37, 42, 51), dtype=np.float32)
    config = TileConfig(most_voxels=most_voxels, overlap_vox=8)
    found = encode_scan(Identity(), grey[None], config, quiet)
    assert found.shape == (37, 42, 51)
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
    found = encode_scan(net, rng.random((1, 5, 9, 13), dtype=np.float32), TileConfig(), quiet)
    assert found.shape == (5, 9, 13)
    assert all(extent % net.stride == 0 for extent in found.scales[0].shape[1:])


def test_misfits_are_named():
    with pytest.raises(ShapeError, match=r"\(16, 20, 16\) must be multiples of 16"):
        plan_tiles((16, 20, 16), 16, TileConfig())
    with pytest.raises(ShapeError, match=r"takes 1 channels of three axes; got \(2, 4, 4, 4\)"):
        encode_scan(Identity(), np.zeros((2, 4, 4, 4), np.float32), TileConfig(), quiet)
    with pytest.raises(ConfigError, match="no negative overlap"):
        TileConfig(overlap_vox=-1)
