"""How a NeuroNet learns from a crop: the mean over the protocols that are known there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.nets.neuronet import NeuroNet
from neuronat.nets.unet import UNet
from neuronat.train.crops import Crop

__all__ = ["LossConfig", "answers_at", "score_crops"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights: of the soft Dice loss beside cross-entropy, of each coarser scale, of protocols (1 where none is named).

    With `deep`, the coarser scales of a UNet answer, too, so that what needs a wide view is learnt from the start.
    """

    dice: float = 0.0
    deep: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dice < 0 or any(weight < 0 for weight in self.weights.values()):
            raise ConfigError("LossConfig.dice and weights must be at least 0")


def score_crops(
    net: NeuroNet | UNet, crops: Sequence[Crop], protocols: Sequence[str], config: LossConfig
) -> tuple[Tensor, Tensor, int]:
    """Return the loss of a batch of crops, the correct answers per protocol (T,), and the answers of a protocol.

    Parameters
    ----------
    net : NeuroNet or UNet
        The network.
    crops : sequence of Crop
        The batch.
    protocols : sequence of str
        Which protocols learn, in the order of the answer.
    config : LossConfig
        Weights.

    Returns
    -------
    loss : () float
        Mean over the crops of the weighted mean over the protocols known there.
    correct : (T,) float
        Voxels answered correctly, as many as if every protocol were known in every crop.
    n_answers : int
        Voxels drawn.

    Notes
    -----
    Source: [NEURONET] training (mean over protocols of the cross-entropy); soft Dice and weights are ours.
    """
    device, n_answers = crops[0].grey.device, 0
    total, correct, known = (torch.zeros(n, device=device) for n in ((), len(protocols), len(protocols)))
    for crop in crops:
        grey = crop.grey[:, : net.n_channels]  # a network for raw heads takes no coordinates
        features = net.encode(grey.contiguous(memory_format=torch.channels_last_3d))
        cells = _cells(features, crop.voxels) if config.deep and isinstance(net, UNet) else ()
        answer, losses, weights = answers_at(net, features, crop.voxels), [], []
        for index, protocol in enumerate(protocols):
            if protocol not in crop.classes or not config.weights.get(protocol, 1.0):
                continue
            scores = answer(protocol).float()  # sums over many voxels
            classes = crop.classes[protocol]
            loss = functional.cross_entropy(scores, classes)
            if config.dice:
                loss = loss + config.dice * _dice_loss(scores, classes)
            if cells and isinstance(net, UNet):
                loss = loss + config.deep * _deep_loss(net, cells, protocol, classes)
            losses.append(config.weights.get(protocol, 1.0) * loss)
            weights.append(config.weights.get(protocol, 1.0))
            correct[index] += (scores.argmax(1) == classes).float().mean()
            known[index] += 1
        total = total + torch.stack(losses).sum() / sum(weights) / len(crops)
        n_answers += len(crop.voxels)
    return total, correct / known.clamp(min=1) * n_answers, n_answers


def answers_at(net: NeuroNet | UNet, features: tuple[Tensor, ...], voxels: Tensor) -> Callable[[str], Tensor]:
    """Return what scores a protocol's classes, given its name, at flat voxels of one crop: (V, C).

    Parameters
    ----------
    net : NeuroNet or UNet
        The network.
    features : tuple of Tensor
        What it encoded, the finest first.
    voxels : (V,) int64
        Flat indices.

    Notes
    -----
    Source: ours; where a network has heads per voxel, only the voxels asked for cost anything, and all protocols share
    one gathering of their features (seven took a tenth of a step on one thread).
    """
    if isinstance(net, UNet):
        rows = _rows(features[0], voxels)
        return lambda protocol: net.score(rows, protocol)
    return lambda protocol: net.decode(features, protocol)[0].flatten(1)[:, voxels].T


def _rows(features: Tensor, voxels: Tensor) -> Tensor:
    """Return the features (V, F) of flat voxels of one crop (1, F, I, J, K)."""
    return functional.embedding(voxels, features.movedim(1, -1).reshape(-1, features.shape[1]))


def _cells(features: tuple[Tensor, ...], voxels: Tensor) -> tuple[Tensor, ...]:
    """Return the features (V, F) of the cells that hold the voxels, for each coarser scale, the coarsest first."""
    _, j_extent, k_extent = features[0].shape[2:]
    i, j, k = voxels // (j_extent * k_extent), voxels // k_extent % j_extent, voxels % k_extent
    cells = []
    for coarse in features[:0:-1]:
        step = j_extent // coarse.shape[3]
        flat = ((i // step) * coarse.shape[3] + j // step) * coarse.shape[4] + k // step
        cells.append(_rows(coarse, flat))
    return tuple(cells)


def _deep_loss(net: UNet, cells: tuple[Tensor, ...], protocol: str, classes: Tensor) -> Tensor:
    """Mean cross-entropy of the coarser scales."""
    scores = [net.score_deep(rows, protocol, depth=depth).float() for depth, rows in enumerate(cells)]
    return torch.stack([functional.cross_entropy(s, classes) for s in scores]).mean()


def _dice_loss(scores: Tensor, classes: Tensor) -> Tensor:
    """One minus the soft Dice, mean over the classes present, background left out."""
    probabilities = scores.softmax(1)
    n_classes = scores.shape[1]
    present = torch.bincount(classes, minlength=n_classes).to(probabilities)
    at_truth = probabilities.gather(1, classes[:, None])[:, 0]
    overlap = torch.zeros_like(present).index_add_(0, classes, at_truth)
    dice = (2 * overlap + 1) / (present + probabilities.sum(0) + 1)
    is_scored = present > 0
    is_scored[0] = False
    return (1 - dice[is_scored]).mean() if is_scored.any() else scores.sum() * 0
