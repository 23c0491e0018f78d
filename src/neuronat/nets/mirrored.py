"""A second look in the mirror: a network sees a scan as it lies and with left and right exchanged."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from neuronat.coords.spectral import LEFT_RIGHT_CHANNELS
from neuronat.nets.unet import UNet

__all__ = ["MirroredUNet"]


class MirroredUNet(nn.Module):
    """A UNet whose probabilities are the means of those for a scan and for its mirror image.

    Parameters
    ----------
    net : UNet
        In evaluation mode.
    partners : mapping of str to sequence of int
        By protocol, the class of each class's left/right partner (`LabelScheme.mirrored_classes`).

    Notes
    -----
    Source: ours. It has a UNet's interface, so tiles and answers do not know that there are two views.
    """

    signs: Tensor

    def __init__(self, net: UNet, partners: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.net, self.config = net, net.config
        self.partners = {protocol: torch.tensor(list(classes)) for protocol, classes in partners.items()}
        signs = torch.ones(net.n_channels, 1, 1, 1)
        if net.config.n_coordinates:
            signs[[1 + channel for channel in LEFT_RIGHT_CHANNELS]] = -1
        self.register_buffer("signs", signs)

    @property
    def stride(self) -> int:
        """Extents of scans must be multiples of this."""
        return self.net.stride

    @property
    def n_channels(self) -> int:
        """Channels of a scan: grey values and coordinates."""
        return self.net.n_channels

    def encode(self, scans: Tensor) -> tuple[Tensor, ...]:
        """Return the features (B, 2F, I, J, K) of (B, 1 + n_coordinates, I, J, K) scans, first axis left to right."""
        (seen,) = self.net.encode(scans)
        mirrored = (scans.flip(2) * self.signs).contiguous(memory_format=torch.channels_last_3d)
        (other,) = self.net.encode(mirrored)
        return (torch.cat([seen, other.flip(2)], 1),)

    def score(self, voxels: Tensor, protocol: str) -> Tensor:
        """Return the logarithms of a protocol's probabilities (V, C) from the features (V, 2F) of V voxels."""
        seen, other = (self.net.score(part, protocol).log_softmax(1) for part in voxels.chunk(2, 1))
        partners = self.partners[protocol].to(voxels.device)
        return torch.logaddexp(seen, other[:, partners]) - math.log(2)
