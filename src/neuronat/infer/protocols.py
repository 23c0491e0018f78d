"""The answers of a NeuroNet at the voxels of a mask, protocol by protocol, never all classes of all voxels at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.errors import ShapeError
from neuronat.infer.prior import prior_scores
from neuronat.infer.tiles import ScaleFeatures, ScanFeatures, VoxelFeatures
from neuronat.nets.network import ScanNetwork
from neuronat.nets.neuronet import NeuroNet

__all__ = ["Coarser", "class_probabilities", "merged_probabilities", "most_probable", "probability_channels"]

CHUNK = 2**13  # voxels whose scores stay in the caches of a processor
GROUP = 16
LOWEST = 80.0
"""So far below the largest score are scores told apart; exponentials that underflow take ten times as long."""
CONTRADICTION = 1e4


@dataclass(frozen=True, eq=False)
class Coarser:
    """Labels of a coarser protocol: `classes` (V,) at the voxels asked; `groups` (C,), which of them each class is in.

    Every coarse class must have at least one fine one.
    """

    classes: NDArray[np.uint8]
    groups: NDArray[np.uint8]


@torch.inference_mode()
def most_probable(
    net: ScanNetwork, features: ScanFeatures, protocol: str, within: Coarser | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float64]]:
    """Return the most probable class of a protocol at each voxel asked, how probable it is, and all classes' sums.

    Parameters
    ----------
    net : ScanNetwork
        The network that made the features.
    features : ScanFeatures
        Of one scan, with the mask that says where to answer.
    protocol : str
        One of the network's.
    within : Coarser, optional
        Labels of a coarser protocol that the classes have to agree with.

    Returns
    -------
    classes : (V,) uint8
        In the order of `np.argwhere(mask)`.
    probabilities : (V,) float32
        Of these classes, among all.
    masses : (C,) float64
        Sum of the probabilities of each class over the mask: the voxels it would have, were probabilities true.

    Notes
    -----
    Source: ours. Memory does not grow with the number of classes times the voxels of the scan. Masses take a second
    turn through the decoder where it gives more classes than come at once.
    """
    n_voxels, n_classes = int(features.mask.sum()), net.config.protocols[protocol]
    masses = torch.zeros(n_classes, dtype=torch.float64)
    best, sums = torch.full((n_voxels,), -torch.inf), torch.full((n_voxels,), -torch.inf)
    classes = torch.zeros(n_voxels, dtype=torch.uint8)
    for block in _blocks(net, features, protocol):
        here = _allowed(block, within).max(1)
        is_better = here.values > best[block.voxels]
        found = (here.indices + block.classes.start).to(torch.uint8)
        classes[block.voxels] = torch.where(is_better, found, classes[block.voxels])
        best[block.voxels] = torch.maximum(best[block.voxels], here.values)
        sums[block.voxels] = torch.logaddexp(sums[block.voxels], block.scores.logsumexp(1))
        if block.scores.shape[1] == n_classes:
            masses += _masses(block, sums)
    if within is not None:
        best = torch.where(best < sums - CONTRADICTION / 2, best + CONTRADICTION, best)
    if isinstance(net, NeuroNet) and n_classes > GROUP:
        for block in _blocks(net, features, protocol):
            masses[block.classes] = _masses(block, sums)
    return classes.numpy(), torch.exp(best - sums).numpy(), masses.numpy()


@torch.inference_mode()
def class_probabilities(net: ScanNetwork, features: ScanFeatures, protocol: str) -> NDArray[np.float32]:
    """Return the probabilities of all classes, (V, C) float32, at the voxels asked; for few classes."""
    scores = torch.zeros(int(features.mask.sum()), net.config.protocols[protocol])
    for block in _blocks(net, features, protocol):
        scores[block.voxels, block.classes] = block.scores
    found: NDArray[np.float32] = scores.softmax(1).numpy()
    return found


@torch.inference_mode()
def merged_probabilities(
    net: ScanNetwork, features: ScanFeatures, protocol: str, groups: NDArray[np.uint8], *, n_groups: int
) -> NDArray[np.float32]:
    """Return the probabilities of groups of classes, (V, G) float32; `groups` (C,) says which group each class is in.

    Notes
    -----
    Source: ours. Memory does not grow with the number of classes times the voxels of the scan.
    """
    sums = torch.full((int(features.mask.sum()),), -torch.inf)
    members = torch.nn.functional.one_hot(torch.from_numpy(groups.astype(np.int64)), n_groups).float()
    rows = torch.zeros(len(sums), n_groups)
    for block in _blocks(net, features, protocol):
        before = sums[block.voxels].clone()
        sums[block.voxels] = torch.logaddexp(before, block.scores.logsumexp(1))
        now = sums[block.voxels, None]
        rows[block.voxels] *= torch.exp(before[:, None] - now)
        rows[block.voxels] += torch.exp(block.scores - now) @ members[block.classes]
    return rows.numpy()


@torch.inference_mode()
def probability_channels(net: ScanNetwork, features: ScanFeatures, protocol: str) -> Iterator[NDArray[np.float32]]:
    """Yield the probability of one class after the other, (V,) float32, at the voxels asked.

    Notes
    -----
    Source: ours. A few classes at a time are computed, so memory does not grow with their number.
    """
    n_classes = net.config.protocols[protocol]
    sums = torch.full((int(features.mask.sum()),), -torch.inf)
    for block in _blocks(net, features, protocol):
        sums[block.voxels] = torch.logaddexp(sums[block.voxels], block.scores.logsumexp(1))
    for start in range(0, n_classes, GROUP):
        scores = torch.zeros(len(sums), min(GROUP, n_classes - start))
        for block in _blocks(net, features, protocol, slice(start, start + scores.shape[1])):
            scores[block.voxels] = block.scores
        yield from torch.exp(scores - sums[:, None]).T.contiguous().numpy()


@dataclass(frozen=True, eq=False)
class _Block:
    """Scores (N, C) of some classes at some voxels, both slices; a network computes what is cheap together."""

    voxels: slice
    classes: slice
    scores: Tensor


def _bounded(scores: Tensor) -> Tensor:
    """Raise scores (N, C) that lie far below the largest of their voxel."""
    return torch.maximum(scores, scores.amax(1, keepdim=True) - LOWEST)


def _masses(block: _Block, sums: Tensor) -> Tensor:
    """Sum the probabilities of a block's classes over its voxels, (C,) float64; `sums` (V,) as logarithms."""
    return (block.scores - sums[block.voxels, None]).exp_().sum(0).double()


def _allowed(block: _Block, within: Coarser | None) -> Tensor:
    """Return a block's scores, those of classes that contradict the coarser label far below all others."""
    if within is None:
        return block.scores
    groups = torch.from_numpy(within.groups[block.classes])
    agrees = torch.from_numpy(within.classes[block.voxels])[:, None] == groups
    return torch.where(agrees, block.scores, block.scores - CONTRADICTION)


def _blocks(net: ScanNetwork, features: ScanFeatures, protocol: str, classes: slice | None = None) -> Iterator[_Block]:
    """Yield the scores of all voxels asked and the classes asked for, with the prior if there is one."""
    prior = features.priors.get(protocol)
    for block in _network_blocks(net, features, protocol, classes):
        if prior is not None:
            block.scores.add_(prior_scores(prior, block.voxels, block.classes))
        yield block


def _network_blocks(net: ScanNetwork, features: ScanFeatures, protocol: str, classes: slice | None) -> Iterator[_Block]:
    """Yield the scores of the network alone, in blocks of bounded size."""
    wanted = classes or slice(0, net.config.protocols[protocol])
    device = next(net.parameters()).device
    if isinstance(features, VoxelFeatures) and not isinstance(net, NeuroNet):
        for start in range(0, len(features.rows), CHUNK):
            some = features.rows[start : start + CHUNK].to(device)
            scores = net.score(some, protocol)[:, wanted]
            yield _Block(slice(start, start + len(some)), wanted, _bounded(scores.float()).cpu())
    elif isinstance(features, ScaleFeatures) and isinstance(net, NeuroNet):
        scales = tuple(scale[None].to(device) for scale in features.scales)
        i, j, k = features.mask.shape
        voxels = torch.from_numpy(features.mask)
        for start in range(wanted.start, wanted.stop, GROUP):
            group = slice(start, min(start + GROUP, wanted.stop))
            scores = net.decode(scales, protocol, group)[0, :, :i, :j, :k].cpu()[:, voxels]
            yield _Block(slice(0, scores.shape[1]), group, _bounded(scores.T))
    else:
        raise ShapeError(f"a {type(net).__name__} cannot read {type(features).__name__}")
