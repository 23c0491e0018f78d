import pytest
import torch
from torch import nn
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.nets.neuronet import NeuroNet, NeuroNetConfig

PUBLISHED = {"fslfast": 4, "fslfirst": 16, "spmtissue": 4, "malpem": 139, "malpemtissue": 6}


@pytest.mark.parametrize(
    ("protocols", "n_weights"),
    [(PUBLISHED, 2_493_171), ({"fslfast": 4}, 2_432_952), ({"malpem": 139}, 2_485_467)],
)
def test_the_published_numbers_of_weights_fix_the_architecture(protocols, n_weights):
    net = NeuroNet(NeuroNetConfig(protocols=protocols))
    assert sum(weight.numel() for weight in net.parameters()) == n_weights


@pytest.fixture
def settled() -> NeuroNet:
    """A network whose batch normalizations have something to do."""
    torch.manual_seed(3)
    net = NeuroNet(NeuroNetConfig(protocols={"tissue": 5}))
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm3d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
            layer.weight.data.normal_()
            layer.bias.data.normal_()
    return net.eval()


def test_classes_can_be_decoded_a_few_at_a_time(settled):
    features = settled.encode(torch.randn(1, 1, 16, 24, 32))
    decoder = settled.decoders["tissue"]
    x = decoder.deepest(features[3])  # the layers in their own order, as the paper has them
    for side, norm, feature in zip(decoder.sides, decoder.norms, features[2::-1], strict=True):
        x = functional.interpolate(x, scale_factor=2, mode="trilinear") + norm(side(feature))
    expected = decoder.last(x)
    # float32 sums of 240 products, twice in another order
    torch.testing.assert_close(settled.decode(features, "tissue"), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(settled.decode(features, "tissue", slice(2, 4)), expected[:, 2:4], atol=1e-5, rtol=1e-5)


def test_features_halve_from_scale_to_scale(settled):
    shapes = [tuple(scale.shape) for scale in settled.encode(torch.zeros(1, 1, 16, 24, 32))]
    assert shapes == [(1, 16, 16, 24, 32), (1, 32, 8, 12, 16), (1, 64, 4, 6, 8), (1, 128, 2, 3, 4)]


def test_training_and_evaluation_agree_where_normalization_is_frozen(settled):
    scans = torch.randn(1, 1, 16, 16, 24)
    quiet = settled(scans)["tissue"]
    settled.train()
    for layer in settled.modules():
        if isinstance(layer, nn.BatchNorm3d):
            layer.eval()
    torch.testing.assert_close(settled(scans)["tissue"], quiet, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("protocols", "reason"),
    [({}, "at least one protocol"), ({"a-b": 3}, "letters and digits"), ({"a": 1}, "2 to 1024 classes")],
)
def test_protocols_out_of_range_are_refused(protocols, reason):
    with pytest.raises(ConfigError, match=reason):
        NeuroNetConfig(protocols=protocols)
