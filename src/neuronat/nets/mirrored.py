"""A second look in the mirror: a network sees a scan as it lies and with left and right exchanged."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from neuronat.coords.spectral import LEFT_RIGHT_CHANNELS
from neuronat.labels.scheme import LabelScheme
from neuronat.nets.neuronet import NeuroNet
from neuronat.nets.unet import UNet

__all__ = ["MirroredUNet", "seen_twice"]


class MirroredUNet(nn.Module):
    """A UNet whose scores are the means of those for a scan and for its mirror image.

    Parameters
    ----------
    net : UNet
        In evaluation mode.
    partners : mapping of str to sequence of int
        By protocol, the class of each class's left/right partner (`LabelScheme.mirrored_classes`).

    Notes
    -----
    Source: ours; the mean of scores is the geometric mean of probabilities. It has a UNet's interface, so tiles and
    answers do not know that there are two views.
    """

    signs: Tensor

    def __init__(self, net: UNet, partners: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.net, self.config = net, net.config
        self.mirrored = copy.deepcopy(net.heads)  # whose answers stand where those of the partners stood
        for protocol, classes in partners.items():
            last: nn.Linear = self.mirrored[protocol][-1]  # type: ignore[index]
            last.weight, last.bias = (nn.Parameter(values[list(classes)], False) for values in (last.weight, last.bias))
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

    def encode_voxels(self, scan: Tensor, voxels: Tensor) -> Tensor:
        """Return two times features (V, 2F) of some voxels, (I, J, K) bool, of a scan (1, C, I, J, K)."""
        seen = self.net.encode_voxels(scan, voxels)
        mirrored = (scan.flip(2) * self.signs).contiguous(memory_format=torch.channels_last_3d)
        other = self.net.encode_voxels(mirrored, voxels.flip(0))
        row_of = voxels.flatten().cumsum(0).sub_(1).reshape(voxels.shape)
        rows = seen.new_empty(len(seen), 2 * seen.shape[1])
        rows[:, : seen.shape[1]] = seen
        rows[row_of.flip(0)[voxels.flip(0)], seen.shape[1] :] = other
        return rows

    def score(self, voxels: Tensor, protocol: str) -> Tensor:
        """Score the classes of a protocol (V, C) from both features (V, 2F) of V voxels."""
        seen, other = voxels.chunk(2, 1)
        scores: Tensor = self.net.score(seen, protocol).add_(self.mirrored[protocol](other)).mul_(0.5)
        return scores


def seen_twice(net: NeuroNet | UNet, schemes: Mapping[str, LabelScheme]) -> NeuroNet | MirroredUNet:
    """Return a network that sees the mirror image, too; the one as published stays as it is.

    Parameters
    ----------
    net : NeuroNet or UNet
        In evaluation mode.
    schemes : mapping of str to LabelScheme
        Of its protocols; they know the partners of left and right.

    Notes
    -----
    Source: ours (decision 0039).
    """
    if isinstance(net, NeuroNet):
        return net
    return MirroredUNet(net, {name: scheme.mirrored_classes.tolist() for name, scheme in schemes.items()})
