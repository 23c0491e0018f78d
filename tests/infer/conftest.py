"""A network that is quick to compute, and a small brain with every kind of border."""

import numpy as np
import pytest
import torch
from torch import nn

from neuronat.nets.deepnat import DeepNat, DeepNatConfig

SHAPE = (13, 18, 11)


def narrow_net(dtype=torch.float64, n_classes=4, **config):
    """DeepNAT with all its sizes along the axes, but few channels: the real ones take minutes in double precision."""
    torch.manual_seed(4)
    net = DeepNat(DeepNatConfig(n_classes=n_classes, **config))
    n_coordinates = len(net.config.coordinate_channels)
    net.conv1, net.conv2, net.conv3 = (
        nn.Conv3d(1, 3, 7),
        nn.Conv3d(3, 4, 5, bias=False),
        nn.Conv3d(4, 5, 3, bias=False),
    )
    net.full1, net.full2 = nn.Linear(5 * 27, 16), nn.Linear(16 + n_coordinates, 12, bias=False)
    net.norm2, net.norm3 = nn.BatchNorm3d(4, affine=False), nn.BatchNorm3d(5, affine=False)
    net.norm_full2 = nn.BatchNorm1d(12, affine=False)
    net.heads = nn.Linear(12, net.config.n_tasks * n_classes)
    for norm in (net.norm2, net.norm3, net.norm_full2):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.2, 1)
    return net.to(dtype).eval()


@pytest.fixture
def make_net():
    return narrow_net


@pytest.fixture
def brain(rng):
    """Intensities, coordinates and a mask of odd extents that touches borders and has a hole and a lonely voxel."""
    mask = np.zeros(SHAPE, bool)
    mask[0:7, 3:12, 2:9] = True
    mask[2:4, 5:7, 4:6] = False
    mask[12, 17, 10] = True
    intensities = rng.uniform(0.1, 1.2, SHAPE).astype(np.float32) * mask
    return intensities, rng.normal(size=(6, *SHAPE)).astype(np.float32), mask
