import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.nets.deepnat import PATCH_SIZE, DeepNat, DeepNatConfig, task_offsets

KINDS = ("spectral", "cartesian")


def count_weights(net):
    """Weights without the biases."""
    return sum(weight.numel() for weight in net.parameters() if weight.ndim > 1)


@pytest.fixture
def net():
    torch.manual_seed(2)
    return DeepNat(DeepNatConfig(n_classes=5, n_tasks=7))


@pytest.mark.parametrize(("n_classes", "published"), [(26, 2_767_584), (2, 2_681_568)])
def test_the_two_stages_have_the_published_number_of_weights(n_classes, published):
    assert count_weights(DeepNat(DeepNatConfig(n_classes=n_classes))) == published


@pytest.mark.parametrize("n_tasks", [1, 7, 27])
@pytest.mark.parametrize("coordinates", [(), ("spectral",), ("cartesian",), KINDS])
def test_tasks_and_coordinates_change_the_last_layers_only(n_tasks, coordinates):
    convolutions = 32 * 7**3 + 64 * 32 * 5**3 + 64 * 64 * 3**3
    full = 1024 * 64 * 27 + 512 * (1024 + 3 * len(coordinates)) + n_tasks * 26 * 512
    net = DeepNat(DeepNatConfig(n_classes=26, n_tasks=n_tasks, coordinates=coordinates))
    assert count_weights(net) == convolutions + full


def test_each_layer_has_the_weights_of_the_table(net):
    found = {name: weight.numel() for name, weight in net.named_parameters() if weight.ndim > 1}
    assert found == {
        "conv1.weight": 10_976,
        "conv2.weight": 256_000,
        "conv3.weight": 110_592,
        "full1.weight": 1_769_472,
        "full2.weight": 527_360,
        "heads.weight": 512 * 7 * 5,
    }


def test_only_layers_without_batch_normalization_have_a_bias_and_it_starts_at_zero(net):
    biases = {name: weight for name, weight in net.named_parameters() if weight.ndim == 1}
    assert set(biases) == {"conv1.bias", "full1.bias", "heads.bias"}
    for bias in biases.values():
        np.testing.assert_array_equal(bias.detach(), np.zeros(bias.shape))


def test_weights_start_as_xavier_draws_them(net):
    weight = net.full2.weight.detach().numpy()
    bound = np.sqrt(6 / (1030 + 512))
    np.testing.assert_allclose(np.abs(weight).max(), bound, rtol=1e-3)
    np.testing.assert_allclose(weight.std(), bound / np.sqrt(3), rtol=1e-2)


def test_scores_have_a_row_per_task_and_do_not_depend_on_the_rest_of_the_batch(net, rng):
    net.eval()
    patches = torch.from_numpy(rng.uniform(size=(3, 1, 23, 23, 23)).astype(np.float32))
    coordinates = torch.from_numpy(rng.normal(size=(3, 6)).astype(np.float32))
    with torch.inference_mode():
        together = net(patches, coordinates)
        alone = net(patches[1:2], coordinates[1:2])
    assert together.shape == (3, 7, 5)
    np.testing.assert_allclose(alone[0], together[1], rtol=0, atol=1e-5)  # float32, other order of the sums


@pytest.mark.parametrize("corner", [(0, 0, 0), (22, 22, 22), (22, 0, 11)])
def test_every_corner_of_the_patch_is_seen_so_pooling_is_in_ceil_mode(net, corner):
    net.eval()
    patch = torch.rand(1, 1, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE, requires_grad=True)
    net(patch, torch.zeros(1, 6)).square().sum().backward()
    assert patch.grad[(0, 0, *corner)] != 0


def test_dropout_halves_the_hidden_values_and_never_touches_the_coordinates(net, rng):
    seen = []
    net.full2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    features = torch.from_numpy(rng.uniform(size=(40, 1728)).astype(np.float32))
    coordinates = torch.from_numpy(rng.normal(size=(40, 6)).astype(np.float32))
    net.eval().classify(features, coordinates)
    net.train().classify(features, coordinates)
    whole, dropped = (values.numpy() for values in seen)
    np.testing.assert_array_equal(dropped[:, 1024:], coordinates)
    kept = dropped[:, :1024] != 0
    np.testing.assert_allclose(dropped[:, :1024][kept], 2 * whole[:, :1024][kept], rtol=1e-6)
    # about half of the hidden values are positive; of those, 20000, half are kept
    np.testing.assert_allclose(kept.sum() / (whole[:, :1024] != 0).sum(), 0.5, atol=0.02)


def test_offsets_start_at_the_centre_and_grow_outwards():
    faces = {(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)}
    offsets = {n: task_offsets(n) for n in (1, 7, 27)}
    np.testing.assert_array_equal(offsets[1], [[0, 0, 0]])
    assert {tuple(o) for o in offsets[7][1:].tolist()} == faces
    assert len({tuple(o) for o in offsets[27].tolist()}) == 27
    np.testing.assert_array_equal(offsets[27][:7], offsets[7])
    np.testing.assert_array_equal(np.diff(np.abs(offsets[27]).sum(1)) >= 0, np.ones(26, bool))
    assert all(o.dtype == np.int64 for o in offsets.values())


@pytest.mark.parametrize("n_tasks", [7, 27])
def test_offsets_are_symmetric_so_a_neighbour_answers_back(n_tasks):
    offsets = {tuple(o) for o in task_offsets(n_tasks).tolist()}
    assert {tuple(-x for x in o) for o in offsets} == offsets


@pytest.mark.parametrize(
    ("coordinates", "channels"), [((), ()), (("spectral",), (0, 1, 2)), (("cartesian",), (3, 4, 5)), (KINDS, range(6))]
)
def test_the_configuration_says_which_channels_are_read(coordinates, channels):
    assert DeepNatConfig(n_classes=2, coordinates=coordinates).coordinate_channels == tuple(channels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_classes": 1}, "at least 2"),
        ({"n_classes": 2, "n_tasks": 6}, "1, 7 or 27; got 6"),
        ({"n_classes": 2, "coordinates": ("cartesian", "spectral")}, "in this order"),
        ({"n_classes": 2, "coordinates": ("polar",)}, "subset of"),
    ],
)
def test_a_configuration_out_of_range_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        DeepNatConfig(**wrong)
