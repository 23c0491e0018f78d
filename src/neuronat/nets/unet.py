"""An improved NeuroNet: a deeper encoder, a decoder shared by all protocols, and small heads that answer where asked.

The published decoders are linear, and pass on full-resolution features of a single convolution. Here all protocols
share one convolutional decoder, and a protocol is a *head*: a perceptron on the features of one voxel, the same
everywhere. So 139 classes cost nothing where nobody asks, in training as in inference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuronat.errors import ConfigError, ShapeError
from neuronat.nets.neuronet import require_protocols

__all__ = ["UNet", "UNetConfig"]

SLOW_CELLS = 20480
"""A single image of at most so many channels x rows x columns goes to torch's slow convolution on the CPU, which takes
several times as long as the fast one takes for two (torch 2.13, `use_mkldnn` in its convolution)."""
SLAB, HALO = 32, 2
"""Planes that go through the layers of full resolution together in inference, and what these reach beyond them."""


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Shape of the network: classes per protocol, filters per scale, features per voxel, hidden units of a head.

    `n_coordinates`: brain coordinates (`coords.brain_coordinates`) as further channels of the scan, for networks that
    label stripped brains; 0 for raw heads, whose brain is not known yet.
    """

    protocols: Mapping[str, int] = field(default_factory=dict)
    filters: tuple[int, ...] = (16, 32, 64, 128, 192)
    n_features: int = 32
    n_hidden: int = 64
    n_coordinates: int = 0

    def __post_init__(self) -> None:
        require_protocols(self.protocols)
        if not 2 <= len(self.filters) <= 7 or min(self.filters) < 1:
            raise ConfigError(f"UNetConfig.filters must name 2 to 7 scales; got {self.filters}")
        if self.n_coordinates not in (0, 6):
            raise ConfigError(f"UNetConfig.n_coordinates must be 0 or 6; got {self.n_coordinates}")


class UNet(nn.Module):
    """Encoder, decoder and heads.

    Notes
    -----
    Source: [UNET3D], with the residual units of [NEURONET]; ours: heads per voxel. Batch normalization follows every
    convolution, so that it can be folded into it, and a frozen one makes tiles of any size agree.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, *deeper = config.filters
        self.first = nn.Sequential(_Step(1 + config.n_coordinates, first), _Step(first, first))
        self.down = nn.ModuleList(
            nn.Sequential(_Step(a, b, stride=2), _Residual(b)) for a, b in pairwise(config.filters)
        )
        upwards = list(zip(deeper[::-1], config.filters[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Conv3d(a, b, 1, bias=False) for a, b in upwards)
        self.merge = nn.ModuleList(nn.Sequential(_Step(2 * b, b), _Residual(b)) for _, b in upwards[:-1])
        self.last = _Step(2 * first, config.n_features)
        self.deep = nn.ModuleDict(
            {name: nn.ModuleList(nn.Linear(b, n) for b in deeper[::-1]) for name, n in config.protocols.items()}
        )
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(config.n_features + config.n_coordinates, config.n_hidden),
                    nn.ReLU(),
                    nn.Linear(config.n_hidden, n),
                )
                for name, n in config.protocols.items()
            }
        )

    @property
    def stride(self) -> int:
        """Extents of scans must be multiples of this."""
        return int(2 ** (len(self.config.filters) - 1))

    @property
    def n_channels(self) -> int:
        """Channels of a scan: grey values and coordinates."""
        return 1 + self.config.n_coordinates

    def encode(self, scans: Tensor) -> tuple[Tensor, ...]:
        """Return the features (B, F, I, J, K) of (B, 1 + n_coordinates, I, J, K) scans; coordinates are features, too.

        In training those of the coarser scales follow.
        """
        x = self.first(scans) if self.training else _in_slabs(self.first, scans)
        passed = []
        for down in self.down:
            passed.append(x)
            x = down(x)
        coarse = [x]
        for up, merge, side in zip(self.up[:-1], self.merge, passed[:0:-1], strict=True):
            x = merge(_joined(up(x), side))
            coarse.append(x)
        finish = self._finish if self.training else partial(_in_slabs, self._finish)
        features = finish(self.up[-1](x), passed[0], scans)
        return (features, *coarse[::-1]) if self.training else (features,)

    def _finish(self, x: Tensor, side: Tensor, scans: Tensor) -> Tensor:
        """Return the features of full resolution."""
        return torch.cat([self.last(_joined(x, side)), scans[:, 1:]], 1)

    def score(self, voxels: Tensor, protocol: str) -> Tensor:
        """Score the classes of a protocol from the features (V, F) of V voxels: (V, C)."""
        scores: Tensor = self.heads[protocol](voxels)
        return scores

    def score_deep(self, voxels: Tensor, protocol: str, depth: int) -> Tensor:
        """Score the classes from coarser features (V, F): depth 0 is the coarsest; only training asks."""
        scores: Tensor = self.deep[protocol][depth](voxels)  # type: ignore[index]
        return scores


def _joined(x: Tensor, side: Tensor) -> Tensor:
    """Bring features to twice the resolution, beside those that are there."""
    return torch.cat([functional.interpolate(x, scale_factor=2, mode="nearest"), side], 1)


def _in_slabs(layers: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Run layers that reach at most `HALO` voxels on slabs of (B, F, I, J, K) tensors, the last of full resolution.

    The result is the same, the memory for what lies between the layers is not.
    """
    extent = inputs[-1].shape[2]
    found: Tensor | None = None
    for start in range(0, extent, SLAB):
        stop, low, high = min(start + SLAB, extent), max(0, start - HALO), min(start + SLAB + HALO, extent)
        parts = [x[:, :, low * x.shape[2] // extent : high * x.shape[2] // extent] for x in inputs]
        slab = layers(*parts)[:, :, start - low : stop - low]
        if found is None:
            found = torch.empty(
                (*slab.shape[:2], *inputs[-1].shape[2:]),
                dtype=slab.dtype,
                device=slab.device,
                memory_format=torch.channels_last_3d,
            )
        found[:, :, start:stop] = slab
    if found is None:
        raise ShapeError("a scan without voxels has no features")
    return found


class _Conv(nn.Conv3d):
    """A convolution that is fast on few cells, too."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        b, f, i, j, _ = x.shape
        if x.is_cpu and b == 1 and f * i * j <= SLOW_CELLS:
            return super().forward(torch.cat([x, torch.zeros_like(x)]))[:1]
        return super().forward(x)


class _Step(nn.Module):
    """Convolution, batch normalization, rectification."""

    def __init__(self, n_in: int, n_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = _Conv(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(n_out, momentum=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class _Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.step = _Step(n, n)
        self.conv = _Conv(n, n, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(n, momentum=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        return functional.relu(x + self.norm(self.conv(self.step(x))), inplace=True)
