"""A network made ready to label many voxels: what follows the convolutions becomes a few matrix products.

In evaluation a batch normalization is one factor and one shift per output, which the layer before it absorbs.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from neuronat.infer.hidden import HiddenLayer, make_hidden_layer
from neuronat.nets.deepnat import DeepNat

__all__ = ["FoldedNet", "classify", "fold_network"]


@dataclass(frozen=True, eq=False)
class FoldedNet:
    """A network in evaluation mode, on its device and in its precision.

    net: its convolutions; hidden: the first fully connected layer. full2 (H, G), coordinates (K, G), shift2 (G,): the
    second one with its normalization. heads (G, T * C), bias (T * C,).
    """

    net: DeepNat
    hidden: HiddenLayer
    full2: Tensor
    coordinates: Tensor
    shift2: Tensor
    heads: Tensor
    bias: Tensor


@torch.no_grad()
def fold_network(net: DeepNat, device: torch.device, dtype: torch.dtype) -> FoldedNet:
    """Copy a network for inference; the network itself stays as it is.

    Parameters
    ----------
    net : DeepNat
        The network.
    device : torch.device
        Where to calculate.
    dtype : torch.dtype
        Precision of weights and features.

    Returns
    -------
    FoldedNet

    Notes
    -----
    Source: ours (decision 0008).
    """
    twin = copy.deepcopy(net).eval().requires_grad_(False).to(device)
    mean, variance = twin.norm_full2.running_mean, twin.norm_full2.running_var
    if mean is None or variance is None:  # pragma: no cover
        raise TypeError("DeepNat's batch normalization keeps running statistics")
    scale = torch.rsqrt(variance + twin.norm_full2.eps)
    full2 = (twin.full2.weight * scale[:, None]).T
    n_hidden = twin.full1.out_features
    others = (full2[:n_hidden], full2[n_hidden:], -mean * scale, twin.heads.weight.T, twin.heads.bias)
    full1 = torch.unflatten(twin.full1.weight, 1, (-1, 27)).permute(2, 1, 0)
    hidden = make_hidden_layer(full1.to(dtype), twin.full1.bias.to(dtype))
    for layer in (twin.conv1, twin.conv2, twin.conv3):  # the normalizations between them stay exact
        layer.to(dtype)
    if device.type == "cpu":
        twin.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # faster pooling and gathering
    return FoldedNet(twin, hidden, *(matrix.to(dtype).contiguous() for matrix in others))


def classify(folded: FoldedNet, hidden: Tensor, coordinates: Tensor) -> Tensor:
    """Return the probabilities (N, T, C) of N centres from their hidden values (N, H) and coordinates (N, K).

    The softmax is calculated in float32 at least.

    Notes
    -----
    Source: [DEEPNAT] network architecture; equal to `DeepNat.classify` up to rounding.
    """
    x = torch.addmm(folded.shift2, coordinates, folded.coordinates).addmm_(hidden, folded.full2).relu_()
    scores = torch.addmm(folded.bias, x, folded.heads)
    config = folded.net.config
    precise = torch.promote_types(scores.dtype, torch.float32)
    return scores.view(len(hidden), config.n_tasks, config.n_classes).softmax(2, dtype=precise)
