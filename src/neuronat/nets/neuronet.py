"""The NeuroNet network: one residual encoder, and one decoder per protocol that answers at every voxel.

Words: a *protocol* is a tool or rater whose labels are reproduced; *features* are what the encoder leaves at each
scale, from full resolution to one eighth; a *decoder* turns them into one score per class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuronat.errors import ConfigError

__all__ = ["NeuroNet", "NeuroNetConfig", "require_protocols"]

FILTERS = (16, 32, 64, 128)
EPSILON = 1e-5


@dataclass(frozen=True, kw_only=True)
class NeuroNetConfig:
    """Shape of the published network: the number of classes of each protocol, background included."""

    protocols: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_protocols(self.protocols)


def require_protocols(protocols: Mapping[str, int]) -> None:
    """Raise ConfigError unless there is a protocol, and each has a fair number of classes."""
    if not protocols:
        raise ConfigError("protocols must name at least one protocol with its number of classes")
    for name, n_classes in protocols.items():
        if not name.isalnum() or not 2 <= n_classes <= 1024:
            raise ConfigError(f"protocol {name!r} must be letters and digits, with 2 to 1024 classes; got {n_classes}")


class NeuroNet(nn.Module):
    """The published encoder and decoders.

    Notes
    -----
    Source: [NEURONET] network. Decoders are linear: where batch normalization uses its running statistics, a part of
    the classes is decoded as exactly as all of them, which `decode` uses to stream classes.
    """

    stride = 8
    n_channels = 1

    def __init__(self, config: NeuroNetConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Conv3d(1, FILTERS[0], 3, padding=1, bias=False)
        pairs = pairwise(FILTERS)
        self.scales = nn.ModuleList(nn.Sequential(_Unit(a, b, stride=2), _Unit(b, b, stride=1)) for a, b in pairs)
        self.decoders = nn.ModuleDict({name: _Decoder(n) for name, n in config.protocols.items()})

    def encode(self, scans: Tensor) -> tuple[Tensor, ...]:
        """Return the features (B, F, I/s, J/s, K/s) of (B, 1, I, J, K) scans at the scales s = 1, 2, 4, 8.

        Extents must be multiples of 8.
        """
        features = [self.first(scans)]
        for scale in self.scales:
            features.append(scale(features[-1]))
        return tuple(features)

    def decode(self, features: tuple[Tensor, ...], protocol: str, classes: slice = slice(None)) -> Tensor:
        """Score classes of a protocol at every voxel: (B, C, I, J, K), C the number of classes asked for."""
        scores: Tensor = self.decoders[protocol](features, classes)
        return scores

    def forward(self, scans: Tensor) -> dict[str, Tensor]:
        """Score all classes of all protocols at every voxel."""
        features = self.encode(scans)
        return {protocol: self.decode(features, protocol) for protocol in self.decoders}


class _Unit(nn.Module):
    """A residual unit whose activations come first; with stride 2 its shortcut is a maximum, padded with zeros."""

    def __init__(self, n_in: int, n_out: int, *, stride: int) -> None:
        super().__init__()
        self.stride, self.n_more = stride, n_out - n_in
        self.norm1 = nn.BatchNorm3d(n_in)
        size = 4 if stride == 2 else 3
        self.conv1 = nn.Conv3d(n_in, n_out, size, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm3d(n_out)
        self.conv2 = nn.Conv3d(n_out, n_out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the unit's features."""
        y = self.conv1(functional.relu6(self.norm1(x)))
        y = self.conv2(functional.relu6(self.norm2(y)))
        if self.stride == 2:
            x = functional.max_pool3d(x, 2)
        shortcut = functional.pad(x, (0, 0, 0, 0, 0, 0, 0, self.n_more)) if self.n_more else x
        features: Tensor = y + shortcut
        return features


class _Decoder(nn.Module):
    """Class scores from the coarsest features up; every layer is linear, with C channels all the way."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.deepest = nn.Conv3d(FILTERS[-1], n_classes, 1, bias=False)
        self.sides = nn.ModuleList(nn.Conv3d(n, n_classes, 1, bias=False) for n in FILTERS[-2::-1])
        self.norms = nn.ModuleList(nn.BatchNorm3d(n_classes, eps=EPSILON) for _ in FILTERS[:-1])
        self.last = nn.Conv3d(n_classes, n_classes, 1, bias=False)

    def forward(self, features: tuple[Tensor, ...], classes: slice) -> Tensor:
        """Return (B, C, I, J, K) scores of the classes asked for."""
        if not self.training:
            return self._mixed_first(features, self.last.weight[classes, :, 0, 0, 0])
        x = self.deepest(features[-1])
        for side, norm, feature in zip(self.sides, self.norms, features[-2::-1], strict=True):
            x = _doubled(x) + norm(side(feature))
        scores: Tensor = self.last(x)[:, classes]
        return scores

    def _mixed_first(self, features: tuple[Tensor, ...], mix: Tensor) -> Tensor:
        """Apply rows of the last layer to every other layer instead: the same scores, of these rows only."""
        x = functional.conv3d(features[-1], torch.tensordot(mix, self.deepest.weight, 1))
        for side, norm, feature in zip(self.sides, self.norms, features[-2::-1], strict=True):
            gain, shift = _affine(norm)
            x = _doubled(x) + functional.conv3d(feature, torch.tensordot(mix * gain, side.weight, 1), mix @ shift)
        return x


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return what batch normalization multiplies by and adds, (C,) each, where it uses its running statistics."""
    state = norm.state_dict(keep_vars=True)
    gain = state["weight"] / torch.sqrt(state["running_var"] + EPSILON)
    return gain, state["bias"] - gain * state["running_mean"]


def _doubled(x: Tensor) -> Tensor:
    """Upsample by 2 along each axis, trilinear."""
    return functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
