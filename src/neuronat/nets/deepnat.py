"""The DeepNAT network: one 3D patch in, the labels of its centre voxel and of the centre's neighbours out.

Words: a *patch* is 23^3 voxels of 1 mm; a *task* is a voxel (centre or neighbour) that the patch votes for; an
*offset* is a task's position relative to the centre.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neuronat.errors import ConfigError

__all__ = ["PATCH_SIZE", "DeepNat", "DeepNatConfig", "task_offsets"]

PATCH_SIZE = 23
COORDINATE_KINDS = ("spectral", "cartesian")


@dataclass(frozen=True, kw_only=True)
class DeepNatConfig:
    """Shape of one DeepNAT network; both stages of the cascade differ in `n_classes` only."""

    n_classes: int
    n_tasks: int = 7
    coordinates: tuple[str, ...] = COORDINATE_KINDS

    def __post_init__(self) -> None:
        if self.n_classes < 2:
            raise ConfigError(f"DeepNatConfig.n_classes must be at least 2 (background counts); got {self.n_classes}")
        if self.n_tasks not in (1, 7, 27):
            raise ConfigError(f"DeepNatConfig.n_tasks must be 1, 7 or 27; got {self.n_tasks}")
        known = tuple(kind for kind in COORDINATE_KINDS if kind in self.coordinates)
        if known != tuple(self.coordinates):
            raise ConfigError(
                f"DeepNatConfig.coordinates must be a subset of {COORDINATE_KINDS} in this order; "
                f"got {self.coordinates}"
            )

    @property
    def coordinate_channels(self) -> tuple[int, ...]:
        """Which of the six channels of `coords.brain_coordinates` the network reads."""
        return tuple(3 * COORDINATE_KINDS.index(kind) + axis for kind in self.coordinates for axis in range(3))


def task_offsets(n_tasks: int) -> NDArray[np.int64]:
    """Return the offsets of 1, 7 or 27 tasks from the centre voxel, the centre first.

    Returns
    -------
    (T, 3) int64
        Offsets ijk, in voxels: the centre, then its face neighbours, then edges and corners.

    Notes
    -----
    Source: [DEEPNAT] multi-task learning.

    Examples
    --------
    >>> task_offsets(7)[:3].tolist()
    [[0, 0, 0], [-1, 0, 0], [0, -1, 0]]
    """
    grid = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    by_distance = np.argsort(np.abs(grid).sum(1), kind="stable")
    return np.ascontiguousarray(grid[by_distance][:n_tasks]).astype(np.int64)


class DeepNat(nn.Module):
    """Three convolutions, two fully connected layers, one softmax head per task.

    Notes
    -----
    Source: [DEEPNAT] network architecture. Ours: layers that batch normalization follows have no bias, which the
    normalization would cancel.
    """

    def __init__(self, config: DeepNatConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv3d(1, 32, 7)
        self.conv2 = nn.Conv3d(32, 64, 5, bias=False)
        self.norm2 = nn.BatchNorm3d(64, affine=False, momentum=0.02)
        self.conv3 = nn.Conv3d(64, 64, 3, bias=False)
        self.norm3 = nn.BatchNorm3d(64, affine=False, momentum=0.02)
        self.full1 = nn.Linear(64 * 27, 1024)
        self.full2 = nn.Linear(1024 + len(config.coordinate_channels), 512, bias=False)
        self.norm_full2 = nn.BatchNorm1d(512, affine=False, momentum=0.02)
        self.heads = nn.Linear(512, config.n_tasks * config.n_classes)
        self.apply(_initialize)

    def forward(self, patches: Tensor, coordinates: Tensor) -> Tensor:
        """Score the classes at each task of each patch.

        Parameters
        ----------
        patches : (N, 1, 23, 23, 23) float32
            Normalized intensities around N centres.
        coordinates : (N, K) float32
            Coordinates of the centres, the config's channels only.

        Returns
        -------
        (N, T, C) float32
            Scores; a softmax over C makes them probabilities.
        """
        x = functional.relu(self.conv1(patches))
        x = functional.max_pool3d(x, 2, 2, ceil_mode=True)
        x = functional.relu(self.norm2(self.conv2(x)))
        x = functional.relu(self.norm3(self.conv3(x)))
        return self.classify(x.flatten(1), coordinates)

    def classify(self, features: Tensor, coordinates: Tensor) -> Tensor:
        """Score the classes from the (N, 1728) features of N centres and their (N, K) coordinates: (N, T, C)."""
        x = _drop_half(functional.relu(self.full1(features)), self.training)
        x = torch.cat([x, coordinates.to(x.dtype)], 1)
        x = _drop_half(functional.relu(self.norm_full2(self.full2(x))), self.training)
        scores: Tensor = self.heads(x)
        return scores.reshape(len(features), self.config.n_tasks, self.config.n_classes)


def _drop_half(x: Tensor, is_training: bool) -> Tensor:
    """Dropout of 0.5 on (N, F) with F divisible by 8; one random byte serves eight values, seven times faster here."""
    if not is_training:
        return x
    random = torch.randint(0, 256, (len(x), x.shape[1] // 8, 1), dtype=torch.uint8, device=x.device)
    bits = 2 ** torch.arange(8, dtype=torch.uint8, device=x.device)
    return x * ((random & bits) != 0).flatten(1).to(x.dtype).mul_(2)


def _initialize(layer: nn.Module) -> None:
    """Xavier weights, biases zero ([DEEPNAT])."""
    if isinstance(layer, nn.Conv3d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
