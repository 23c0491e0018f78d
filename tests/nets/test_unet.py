import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.nets.unet import UNet, UNetConfig

SMALL = {"filters": (4, 6, 8), "n_features": 5, "n_hidden": 7}


def test_every_scale_adds_its_filters_and_heads_are_small():
    config = UNetConfig(protocols={"brain": 2}, **SMALL)
    net = UNet(config)
    head = (5 * 7 + 7) + (7 * 2 + 2)
    deep = (8 * 2 + 2) + (6 * 2 + 2)
    assert sum(p.numel() for p in net.heads.parameters()) == head
    assert sum(p.numel() for p in net.deep.parameters()) == deep
    assert net.stride == 4


def test_features_have_the_extents_of_the_scan_and_coarser_ones_come_in_training():
    net = UNet(UNetConfig(protocols={"brain": 2}, **SMALL))
    scans = torch.randn(1, 1, 8, 12, 16)
    shapes = [tuple(scale.shape) for scale in net.encode(scans)]
    assert shapes == [(1, 5, 8, 12, 16), (1, 6, 4, 6, 8), (1, 8, 2, 3, 4)]
    assert [tuple(scale.shape) for scale in net.eval().encode(scans)] == shapes[:1]


@pytest.mark.parametrize("planes", [4, 6, 100])
@pytest.mark.parametrize("n_coordinates", [0, 6])
def test_features_of_some_voxels_are_those_of_all_in_slabs_of_any_size(monkeypatch, n_coordinates, planes):
    torch.manual_seed(0)
    net = UNet(UNetConfig(protocols={"tissue": 4}, filters=(4, 6, 8), n_features=5, n_coordinates=n_coordinates)).eval()
    scan = torch.randn(1, 1 + n_coordinates, 20, 12, 8)
    voxels = torch.rand(20, 12, 8) > 0.5
    voxels[8:12] = False  # a slab without any
    monkeypatch.setattr("neuronat.nets.unet.SLAB", planes)
    with torch.inference_mode():
        expected = net.encode(scan)[0][0].movedim(0, -1)[voxels]
        found = net.encode_voxels(scan, voxels)
    assert found.shape == (int(voxels.sum()), 5 + n_coordinates)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # float32 sums in another order


def test_a_head_answers_voxel_by_voxel():
    net = UNet(UNetConfig(protocols={"brain": 2, "tissue": 4}, **SMALL)).eval()
    voxels = torch.randn(9, 5)
    scores = net.score(voxels, "tissue")
    assert scores.shape == (9, 4)
    torch.testing.assert_close(net.score(voxels[3:5], "tissue"), scores[3:5])


def test_what_lies_far_away_matters_through_the_coarsest_scale():
    torch.manual_seed(0)
    net = UNet(UNetConfig(protocols={"brain": 2}, **SMALL)).eval()
    scan = torch.rand(1, 1, 32, 32, 32)
    changed = scan.clone()
    changed[..., 24:, :, :] += 1
    (before,), (after,) = net.encode(scan), net.encode(changed)
    assert float((before - after).detach()[..., 10:14, :, :].abs().max()) > 0  # ten voxels from the change


@pytest.mark.parametrize("filters", [(4,), (4, 0, 8)])
def test_scales_out_of_range_are_refused(filters):
    with pytest.raises(ConfigError, match="2 to 7 scales"):
        UNetConfig(protocols={"brain": 2}, filters=filters)
