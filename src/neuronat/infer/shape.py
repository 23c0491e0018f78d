"""Where a brain can be: the mean shape of brains, fitted to what a network takes for brain in a raw head.

A network that looks at small neighbourhoods takes some scalp or neck for brain. A brain has one place in a head, and a
shape that differs little between people: centre, turn and three extents are fitted, and what the network says is
weighed against the shape.
"""

import math
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["fit_shape", "weigh_by_shape"]

FIT_STEP_MM = 4.0
N_STEPS = 40
STARTS_MM = (-12.0, 8.0, 28.0)
"""Heights above the middle of what looks like brain: a neck pulls that middle down."""
UNITS = (6.0, 6.0, 6.0, 0.3, 0.15, 0.15, 0.05, 0.05, 0.05)
"""One unit of each parameter: centre (mm), turns (rad), logarithms of the extents."""
STIFFNESS = 0.012
LEAST_SHARE = 0.003


def fit_shape(share: NDArray[np.float32], step_mm: float) -> NDArray[np.float32]:
    """Fit the mean shape of brains to a map of what looks like brain.

    Parameters
    ----------
    share : (I, J, K) float32
        Probability of brain, from a network, in RAS.
    step_mm : float
        Spacing of the grid.

    Returns
    -------
    (I, J, K) float32
        Share of brains that have brain at each voxel, once they are put into the fitted box.

    Notes
    -----
    Source: ours; soft Dice between map and shape is maximized over centre, turn and extents.
    """
    factor = max(1, round(FIT_STEP_MM / step_mm))
    coarse = functional.avg_pool3d(torch.from_numpy(share)[None, None], factor, ceil_mode=True)[0, 0]
    coarse_mm = factor * step_mm
    middle, places = _middle(coarse, coarse_mm), _places_mm(coarse.shape, coarse_mm)
    found = [_fitted(coarse, places, middle + torch.tensor([0.0, 0.0, height])) for height in STARTS_MM]
    _, centre, moves = min(found, key=lambda one: one[0])
    with torch.no_grad():
        fitted: NDArray[np.float32] = _shape_at(_places_mm(share.shape, step_mm), centre, moves).numpy()
    return fitted


def weigh_by_shape(share: NDArray[np.float32], shape: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply the odds of a network's probabilities by those of a fitted shape; both (I, J, K).

    Notes
    -----
    Source: ours: Bayes' rule, as if the two were independent.
    """
    odds = np.ones_like(share)
    for part in (share, shape):
        sure = np.clip(part, LEAST_SHARE, 1 - LEAST_SHARE)
        odds = odds * sure / (1 - sure)
    weighed: NDArray[np.float32] = odds / (1 + odds)
    return weighed


@cache
def _mean_brain() -> tuple[Tensor, Tensor, int]:
    """Load the mean brain (A, B, C) in its box, the box's extents (3,) in mm, and its margin in voxels."""
    with files("neuronat.infer").joinpath("brain-shape.npz").open("rb") as stream, np.load(stream) as arrays:
        share = torch.from_numpy(arrays["share"].astype(np.float32) / 255)
        return share, torch.from_numpy(arrays["extents_mm"]), int(arrays["margin"])


def _middle(share: Tensor, step_mm: float) -> Tensor:
    """Return the middle (3,) in mm of the upper part of what looks like brain: as much as a brain is high."""
    _, extents_mm, _ = _mean_brain()
    places = torch.nonzero(share > 0.5).float()
    if not len(places):
        return torch.tensor(share.shape) * step_mm / 2
    top = torch.quantile(places[:: 1 + len(places) // 100_000, 2], 0.995)
    upper = places[places[:, 2] > top - float(extents_mm[2]) / step_mm]
    return (upper.mean(0) + 0.5) * step_mm


def _fitted(share: Tensor, places: Tensor, centre: Tensor) -> tuple[float, Tensor, Tensor]:
    """Move the shape from a start until it fits; return the loss, the start, and the moves (9,)."""
    moves = torch.zeros(9, requires_grad=True)
    optimizer = torch.optim.Adam([moves], lr=0.25)
    for step in range(N_STEPS):
        optimizer.param_groups[0]["lr"] = 0.25 * 0.5 * (1 + math.cos(math.pi * step / N_STEPS)) + 0.005
        loss = _misfit(share, _shape_at(places, centre, moves), moves)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach()), centre, moves.detach()


def _misfit(share: Tensor, shape: Tensor, moves: Tensor) -> Tensor:
    """One minus soft Dice, and a price for unusual turns and extents."""
    dice = 2 * (share * shape).sum() / (share.sum() + shape.sum()).clamp(min=1.0)
    return 1 - dice + STIFFNESS * (moves[3:] ** 2).sum()


def _places_mm(extent: tuple[int, ...], step_mm: float) -> Tensor:
    """Return where the voxels of a grid of `extent` lie, (I, J, K, 3) in mm."""
    axes = [(torch.arange(n) + 0.5) * step_mm for n in extent]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def _shape_at(places: Tensor, centre: Tensor, moves: Tensor) -> Tensor:
    """Take the mean brain at places (I, J, K, 3) in mm, moved from `centre` (3,) mm by `moves` (9,)."""
    mean, extents_mm, margin = _mean_brain()
    moves = moves * torch.tensor(UNITS)
    size = torch.tensor(mean.shape, dtype=torch.float32)
    turned = (places - (centre + moves[:3])) @ _turn(moves[3:6])
    inner = turned / (extents_mm * torch.exp(moves[6:])) * (size - 2 * margin)
    at = (2 * inner / size).flip(-1)  # grid_sample takes the last axis first, from -1 to 1
    return functional.grid_sample(mean[None, None], at[None], align_corners=False)[0, 0]


def _turn(angles: Tensor) -> Tensor:
    """Return the (3, 3) rotation by angles (3,) about the three axes."""
    zero = torch.zeros(())
    a, b, c = angles
    skew = torch.stack([torch.stack([zero, -c, b]), torch.stack([c, zero, -a]), torch.stack([-b, a, zero])])
    turn: Tensor = torch.linalg.matrix_exp(skew)
    return turn
