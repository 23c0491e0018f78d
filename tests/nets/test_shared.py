import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from neuronat.nets.deepnat import DeepNat, DeepNatConfig
from neuronat.nets.shared import first_features, lattice_cells, lattice_variants

COUNTS = (1, 2, 3)  # centres per axis, all unequal
EXTENT = tuple(23 + 2 * (n - 1) for n in COUNTS)
CHANNELS = (3, 4, 5)  # of the three convolutions; the real 32, 64, 64 take minutes in double precision
ROUNDING = 1e-12  # double precision, sums of at most 4000 products of numbers near 1


@pytest.fixture
def net():
    torch.manual_seed(7)
    return narrow_net()


def narrow_net():
    first, second, third = CHANNELS
    net = DeepNat(DeepNatConfig(n_classes=3, n_tasks=1))
    net.conv1 = nn.Conv3d(1, first, 7)
    net.conv2 = nn.Conv3d(first, second, 5, bias=False)
    net.conv3 = nn.Conv3d(second, third, 3, bias=False)
    net.norm2, net.norm3 = (nn.BatchNorm3d(n, affine=False, momentum=0.02) for n in (second, third))
    for norm in (net.norm2, net.norm3):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    return net.double().eval()


@pytest.fixture
def blocks(rng):
    return torch.from_numpy(rng.normal(size=(2, 1, *EXTENT)))


def patches_of(blocks, counts):
    """The patches (N * n_i * n_j * n_k, 1, 23, 23, 23) of blocks, one by one."""
    return torch.stack(
        [
            block[:, 2 * i : 2 * i + 23, 2 * j : 2 * j + 23, 2 * k : 2 * k + 23]
            for block in blocks
            for i, j, k in np.ndindex(*counts)
        ]
    )


def patchwise_features(net, patches):
    """The (N, C, 3, 3, 3) features of patches by torch's own layers; batch statistics in training mode."""
    x = functional.max_pool3d(functional.relu(net.conv1(patches)), 2, 2, ceil_mode=True)
    for convolution, norm in ((net.conv2, net.norm2), (net.conv3, net.norm3)):
        x = functional.relu(norm(convolution(x)))
    return x


def shared_features(net, blocks, counts):
    """The same from the shared convolutions: cells put in the order of the patches."""
    cells = lattice_cells(lattice_variants(net, first_features(net, blocks)), counts)
    return torch.stack(cells, 2).movedim((1, 2), (-2, -1)).reshape(-1, CHANNELS[2], 3, 3, 3)


@pytest.mark.parametrize(
    ("with_gradients", "memory_format"),
    [(False, torch.contiguous_format), (False, torch.channels_last_3d), (True, torch.contiguous_format)],
)
def test_shared_features_are_those_of_the_patches(net, blocks, with_gradients, memory_format):
    net.to(memory_format=memory_format)
    with torch.set_grad_enabled(with_gradients):
        found = shared_features(net, blocks, COUNTS)
    expected = patchwise_features(net, patches_of(blocks, COUNTS))
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=0, atol=ROUNDING)


def test_the_real_widths_agree_in_single_precision(rng):
    torch.manual_seed(8)
    net = DeepNat(DeepNatConfig(n_classes=3)).eval()
    block = torch.from_numpy(rng.normal(size=(1, 1, 23, 25, 27)).astype(np.float32))
    with torch.inference_mode():
        cells = lattice_cells(lattice_variants(net, first_features(net, block)), (1, 2, 3))
        expected = patchwise_features(net, patches_of(block, (1, 2, 3)))
    found = torch.stack(cells, 2).movedim((1, 2), (-2, -1)).reshape(6, 64, 3, 3, 3)
    # float32 sums of 4000 products, values up to 10
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_the_callers_features_are_left_as_they_were(net, blocks):
    with torch.inference_mode():
        features = first_features(net, blocks)
        before = features.clone()
        lattice_variants(net, features)
    np.testing.assert_array_equal(features, before)


def test_a_variant_has_two_cells_more_along_the_axes_where_it_is_not_the_last(net, blocks):
    with torch.inference_mode():
        variants = lattice_variants(net, first_features(net, blocks))
    shapes = [tuple(variant.shape[2:]) for variant in variants]
    assert shapes == [(3, 4, 5), (1, 4, 5), (3, 2, 5), (1, 2, 5), (3, 4, 3), (1, 4, 3), (3, 2, 3), (1, 2, 3)]


def test_features_beyond_the_last_window_do_not_leak_in(net, blocks):
    """The last pooling window of a patch sees one voxel, its neighbour's sees two: the reason for variants."""
    changed = blocks.clone()
    changed[..., 23:] += 5  # outside the patches whose centre is the first along k
    with torch.inference_mode():
        before, after = (shared_features(net, b, COUNTS).reshape(4, 3, -1).numpy() for b in (blocks, changed))
    np.testing.assert_allclose(after[:, 0], before[:, 0], rtol=0, atol=ROUNDING)
    np.testing.assert_array_equal(np.abs(after[:, 1] - before[:, 1]).max(axis=1) > 0.1, True)


@pytest.mark.parametrize("with_gradients", [False, True])
def test_blocks_of_one_centre_train_with_the_statistics_of_the_patches(net, rng, with_gradients):
    patches = torch.from_numpy(rng.normal(size=(4, 1, 23, 23, 23)))
    twin = narrow_net()
    twin.load_state_dict(net.state_dict())
    with torch.set_grad_enabled(with_gradients):
        found = shared_features(net.train(), patches, (1, 1, 1))
    expected = patchwise_features(twin.train(), patches)
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=0, atol=ROUNDING)
    for ours, theirs in ((net.norm2, twin.norm2), (net.norm3, twin.norm3)):
        np.testing.assert_allclose(ours.running_mean, theirs.running_mean, rtol=0, atol=ROUNDING)
        np.testing.assert_allclose(ours.num_batches_tracked, theirs.num_batches_tracked)
        # n / (n - 1) is taken over other numbers of values, 500 here; 0.02 of it enters
        np.testing.assert_allclose(ours.running_var, theirs.running_var, rtol=1e-4)


@pytest.mark.parametrize("is_training", [False, True])
def test_gradients_are_those_of_the_patches(net, rng, is_training):
    counts = (1, 1, 1) if is_training else COUNTS  # statistics agree for single centres only
    blocks = torch.from_numpy(rng.normal(size=(3 if is_training else 1, 1, *(21 + 2 * n for n in counts))))
    net.train(is_training)
    weights = [net.conv1.weight, net.conv1.bias, net.conv2.weight, net.conv3.weight]
    patches = patches_of(blocks, counts)
    towards = torch.from_numpy(rng.normal(size=(len(patches), CHANNELS[2], 3, 3, 3)))
    found = torch.autograd.grad((shared_features(net, blocks, counts) * towards).sum(), weights)
    expected = torch.autograd.grad((patchwise_features(net, patches) * towards).sum(), weights)
    for ours, theirs in zip(found, expected, strict=True):
        # gradients are sums over all patches and cells, up to 1e3 in size
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
