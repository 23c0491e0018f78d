from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronat.errors import ShapeError
from neuronat.infer.prior import Prior
from neuronat.infer.protocols import (
    Coarser,
    class_probabilities,
    merged_probabilities,
    most_probable,
    probability_channels,
)
from neuronat.infer.tiles import TileConfig, VoxelFeatures, encode_scan
from neuronat.nets.neuronet import NeuroNet, NeuroNetConfig
from neuronat.nets.unet import UNet, UNetConfig

PROTOCOLS = {"fine": 37, "brain": 2}


@pytest.fixture(params=["neuronet", "unet"])
@torch.inference_mode()
def answered(request, rng):
    """A network, the features of a scan, a mask, and the probabilities at its voxels, made the plain way."""
    torch.manual_seed(1)
    grey = rng.random((11, 17, 14), dtype=np.float32)
    mask = rng.random((11, 17, 14)) > 0.6
    if request.param == "neuronet":
        net = NeuroNet(NeuroNetConfig(protocols=PROTOCOLS)).eval()
    else:
        net = UNet(UNetConfig(protocols=PROTOCOLS, filters=(4, 6, 8))).eval()
    features = encode_scan(net, grey[None], mask, TileConfig(), lambda _done: None)
    if isinstance(net, UNet):
        padded = np.pad(grey, [(0, 1), (0, 3), (0, 2)])
        whole = net.encode(torch.from_numpy(padded)[None, None])[0][0]
        scores = net.heads["fine"](whole[:, :11, :17, :14][:, torch.from_numpy(mask)].T)
    else:
        whole = net.decoders["fine"](tuple(scale[None] for scale in features.scales), slice(None))
        scores = whole[0][:, :11, :17, :14][:, torch.from_numpy(mask)].T
    return net, features, scores.softmax(1).numpy()


def test_the_most_probable_class_is_that_of_all_probabilities(answered):
    net, features, expected = answered
    classes, probabilities, masses = most_probable(net, features, "fine")
    np.testing.assert_allclose(probabilities, expected.max(1), atol=1e-6)  # float32 exponentials
    np.testing.assert_array_equal(expected[np.arange(len(classes)), classes], expected.max(1))
    np.testing.assert_allclose(masses, expected.sum(0, np.float64), rtol=1e-5)  # float32 exponentials


def test_masses_of_few_classes_come_in_one_turn(answered):
    net, features, _ = answered
    _, _, masses = most_probable(net, features, "brain")
    expected = class_probabilities(net, features, "brain").sum(0, np.float64)
    np.testing.assert_allclose(masses, expected, rtol=1e-5)  # float32 exponentials


def test_probabilities_are_the_same_at_once_and_class_by_class(answered):
    net, features, expected = answered
    np.testing.assert_allclose(class_probabilities(net, features, "fine"), expected, atol=1e-6)
    channels = list(probability_channels(net, features, "fine"))
    assert len(channels) == 37
    np.testing.assert_allclose(np.stack(channels, 1), expected, atol=1e-6)


def test_merged_probabilities_are_sums_over_groups(answered, rng):
    net, features, expected = answered
    groups = rng.integers(0, 5, 37).astype(np.uint8)
    merged = np.stack([expected[:, groups == group].sum(1) for group in range(5)], 1)
    np.testing.assert_allclose(merged_probabilities(net, features, "fine", groups, n_groups=5), merged, atol=1e-6)


def test_a_prior_multiplies_the_probabilities_of_its_protocol_alone(answered, rng):
    net, features, expected = answered
    classes = rng.permuted(np.tile(np.arange(37, dtype=np.uint8), (len(expected), 1)), axis=1)[:, :3]
    shares = rng.integers(0, 256, classes.shape).astype(np.uint8)
    informed = replace(features, priors={"fine": Prior(classes, shares, 1.5, 1.5, 37)})
    table = np.full_like(expected, 3e-3)
    np.put_along_axis(table, classes.astype(int), shares / np.float32(255) + np.float32(3e-3), 1)
    product = expected * table**1.5
    product /= product.sum(1, keepdims=True)
    found = class_probabilities(net, informed, "fine")
    np.testing.assert_allclose(found, product, atol=1e-5)  # float32 logarithms and exponentials
    np.testing.assert_allclose(np.stack(list(probability_channels(net, informed, "fine")), 1), found, atol=1e-6)
    labels, certainty, masses = most_probable(net, informed, "fine")
    np.testing.assert_array_equal(labels, found.argmax(1))
    np.testing.assert_allclose(certainty, found.max(1), atol=1e-6)
    np.testing.assert_allclose(masses, found.sum(0, np.float64), rtol=1e-4)  # float32 exponentials
    other = class_probabilities(net, informed, "brain")
    np.testing.assert_array_equal(other, class_probabilities(net, features, "brain"))


def test_an_empty_mask_gets_empty_answers(answered, rng):
    net, _, _ = answered
    nowhere = np.zeros((11, 17, 14), bool)
    features = encode_scan(
        net, rng.random((1, 11, 17, 14), dtype=np.float32), nowhere, TileConfig(), lambda _done: None
    )
    classes, probabilities, masses = most_probable(net, features, "fine")
    assert (classes.shape, probabilities.shape) == ((0,), (0,))
    np.testing.assert_array_equal(masses, np.zeros(37))
    assert class_probabilities(net, features, "fine").shape == (0, 37)


def test_features_of_another_kind_of_network_are_refused():
    net = NeuroNet(NeuroNetConfig(protocols=PROTOCOLS)).eval()
    features = VoxelFeatures(torch.zeros(3, 32), np.ones((1, 1, 3), bool))
    with pytest.raises(ShapeError, match="NeuroNet cannot read VoxelFeatures"):
        most_probable(net, features, "fine")


def test_fine_classes_agree_with_a_coarser_label(answered):
    net, features, expected = answered
    groups = (np.arange(37) % 3).astype(np.uint8)
    coarse = (np.arange(len(expected)) % 3).astype(np.uint8)
    classes, probabilities, masses = most_probable(net, features, "fine", Coarser(coarse, groups))
    np.testing.assert_allclose(masses, expected.sum(0, np.float64), rtol=1e-5)  # what was excluded counts as well
    allowed = np.where(groups[None] == coarse[:, None], expected, 0)
    np.testing.assert_array_equal(groups[classes], coarse)
    np.testing.assert_array_equal(allowed[np.arange(len(classes)), classes], allowed.max(1))
    np.testing.assert_allclose(probabilities, allowed.max(1), atol=2e-3)  # scores lowered and raised again by 1e4
