"""An improved NeuroNet: a deeper encoder, a decoder shared by all protocols, and small heads that answer where asked.

The published decoders are linear, and pass on full-resolution features of a single convolution. Here all protocols
share one convolutional decoder, and a protocol is a *head*: a perceptron on the features of one voxel, the same
everywhere. So 139 classes cost nothing where nobody asks, in training as in inference.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.nets.neuronet import require_protocols

__all__ = ["UNet", "UNetConfig"]

SLOW_CELLS = 20480
"""A single image of at most so many channels x rows x columns goes to torch's slow convolution on the CPU, which takes
several times as long as the fast one takes for two (torch 2.13, `use_mkldnn` in its convolution)."""
SLAB, HALO = 16, 2
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
        first = self.first(scans)
        coarse = self._coarser(first)
        features = self._finish(coarse[-1], first, scans)
        return (features, *coarse[::-1]) if self.training else (features,)

    def encode_voxels(self, scan: Tensor, voxels: Tensor) -> Tensor:
        """Return the features (V, F) of some voxels, (I, J, K) bool, of a scan (1, 1 + n_coordinates, I, J, K).

        In C order. In evaluation mode they are those of `encode`, but full resolution is calculated in slabs, and of
        the other voxels nothing is kept.
        """
        extents = (1, self.config.filters[0], *scan.shape[2:])
        first = torch.empty(extents, dtype=scan.dtype, device=scan.device, memory_format=torch.channels_last_3d)
        for planes, slab in _in_slabs(self.first, scan):
            first[:, :, planes] = slab
        coarse = self._coarser(first)
        rows = scan.new_empty(int(voxels.sum()), self.config.n_features + self.config.n_coordinates)
        ends = voxels.sum((1, 2)).cumsum(0)
        for planes, slab in _in_slabs(self._finish, coarse[-1], first, scan):
            start = int(ends[planes.start - 1]) if planes.start else 0
            rows[start : int(ends[planes.stop - 1])] = slab[0].movedim(0, -1)[voxels[planes]]
        return rows

    def _coarser(self, first: Tensor) -> list[Tensor]:
        """Return the features of all coarser scales, the coarsest first, from the first ones of full resolution."""
        x, passed = first, []
        for down in self.down:
            passed.append(x)
            x = down(x)
        found = [x]
        for up, merge, side in zip(self.up[:-1], self.merge, passed[:0:-1], strict=True):
            found.append(merge(_joined(up(found[-1]), side)))
        return found

    def _finish(self, x: Tensor, first: Tensor, scans: Tensor) -> Tensor:
        """Return the features of full resolution from those of half of it, the first ones and the scans."""
        return torch.cat([self.last(_joined(self.up[-1](x), first)), scans[:, 1:]], 1)

    def score(self, voxels: Tensor, protocol: str) -> Tensor:
        """Score the classes of a protocol from the features (V, F) of V voxels: (V, C)."""
        scores: Tensor = self.heads[protocol](voxels)
        return scores

    def score_deep(self, voxels: Tensor, protocol: str, *, depth: int) -> Tensor:
        """Score the classes from coarser features (V, F): depth 0 is the coarsest; only training asks."""
        scores: Tensor = self.deep[protocol][depth](voxels)  # type: ignore[index]
        return scores


def _joined(x: Tensor, side: Tensor) -> Tensor:
    """Bring features to twice the resolution, beside those that are there."""
    return torch.cat([functional.interpolate(x, scale_factor=2, mode="nearest"), side], 1)


def _in_slabs(layers: Callable[..., Tensor], *inputs: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Run layers that reach at most `HALO` voxels on slabs of (B, F, I, J, K) tensors, the last of full resolution.

    Yield the planes of each slab and what the layers make of them: the same as of all at once, in less memory.
    """
    extent = inputs[-1].shape[2]
    for start in range(0, extent, SLAB):
        stop, low, high = min(start + SLAB, extent), max(0, start - HALO), min(start + SLAB + HALO, extent)
        parts = [x[:, :, low * x.shape[2] // extent : high * x.shape[2] // extent] for x in inputs]
        yield slice(start, stop), layers(*parts)[:, :, start - low : stop - low]


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
