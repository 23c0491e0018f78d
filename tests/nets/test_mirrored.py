import numpy as np
import pytest
import torch

from neuronat.infer.protocols import class_probabilities
from neuronat.infer.tiles import TileConfig, encode_scan
from neuronat.nets.mirrored import MirroredUNet
from neuronat.nets.unet import UNet, UNetConfig

PARTNERS = (0, 2, 1)


@pytest.fixture(params=[0, 6])
def net(request) -> UNet:
    torch.manual_seed(0)
    config = UNetConfig(protocols={"sides": 3}, filters=(4, 6), n_features=5, n_hidden=7, n_coordinates=request.param)
    return UNet(config).eval()


def probabilities(net, channels, mask):
    features = encode_scan(net, channels, mask, TileConfig(), lambda _done: None)
    return class_probabilities(net, features, "sides")


def mirrored_scan(channels):
    """Exchange left and right: the first spectral and the first Cartesian coordinate change their sign."""
    signs = np.array([1, -1, 1, 1, -1, 1, 1], np.float32)[: len(channels), None, None, None]
    return np.ascontiguousarray(channels[:, ::-1] * signs)


def test_probabilities_are_geometric_means_of_both_views(net, rng):
    channels = rng.normal(size=(net.n_channels, 10, 8, 6)).astype(np.float32)
    mask = np.ones((10, 8, 6), bool)
    seen = probabilities(net, channels, mask)
    other = probabilities(net, mirrored_scan(channels), mask).reshape(10, 8, 6, 3)[::-1].reshape(-1, 3)
    both = probabilities(MirroredUNet(net, {"sides": PARTNERS}), channels, mask)
    expected = np.sqrt(seen * other[:, [0, 2, 1]])
    np.testing.assert_allclose(both, expected / expected.sum(1, keepdims=True), atol=1e-6)  # float32 exponentials
    assert np.abs(both - seen).max() > 1e-3


def test_voxels_of_both_views_are_those_of_the_mask(net, rng):
    channels = rng.normal(size=(net.n_channels, 10, 8, 6)).astype(np.float32)
    twice = MirroredUNet(net, {"sides": PARTNERS})
    everywhere = probabilities(twice, channels, np.ones((10, 8, 6), bool)).reshape(10, 8, 6, 3)
    mask = rng.random((10, 8, 6)) > 0.6
    np.testing.assert_allclose(probabilities(twice, channels, mask), everywhere[mask], atol=1e-6)  # float32 sums


def test_a_mirrored_scan_gets_the_mirrored_answer(net, rng):
    channels = rng.normal(size=(net.n_channels, 10, 8, 6)).astype(np.float32)
    mask = np.ones((10, 8, 6), bool)
    twice = MirroredUNet(net, {"sides": PARTNERS})
    found = probabilities(twice, channels, mask).reshape(10, 8, 6, 3)
    turned = probabilities(twice, mirrored_scan(channels), mask).reshape(10, 8, 6, 3)
    np.testing.assert_allclose(turned[::-1][..., [0, 2, 1]], found, atol=1e-6)  # float32 sums in another order
