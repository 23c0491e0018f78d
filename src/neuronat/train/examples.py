"""Draw training examples: blocks of neighbouring centres, balanced over the structures.

A *block* holds n^3 centres two voxels apart; with n = 1 it is the paper's single patch. The block's first centre
lies 11 voxels inside its intensities.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neuronat.errors import ConfigError
from neuronat.nets.deepnat import PATCH_SIZE
from neuronat.train.scans import INTENSITY_STEP, TrainingSet

__all__ = [
    "Block",
    "Candidates",
    "block_extent",
    "draw_anchors",
    "find_candidates",
    "gather_blocks",
    "margin_vox",
]

REACH = PATCH_SIZE // 2


@dataclass(frozen=True, eq=False)
class Candidates:
    """Voxels that may be centres, sorted by class, and how often each class is drawn.

    voxels (V,) int64 flat indices into the training set; starts, counts (C,) int64; weights (C,) float, sum 1.
    """

    voxels: Tensor
    starts: Tensor
    counts: Tensor
    weights: Tensor

    def as_frequent(self) -> "Candidates":
        """Return the same voxels, each drawn as often as any other."""
        return replace(self, weights=self.counts / self.counts.sum())


@dataclass(frozen=True, eq=False)
class Block:
    """A batch of B blocks with n^3 centres each.

    intensities (B, 1, S, S, S) float32; labels (B, n, n, n, T) int64; coordinates (B, n, n, n, 6) float32, 0 where not
    eligible (B, n, n, n) bool; surroundings (B, S, S, S) uint8, the class of each voxel of the intensities, or none.
    """

    intensities: Tensor
    labels: Tensor
    coordinates: Tensor
    eligible: Tensor
    surroundings: Tensor | None = None


def block_extent(n_centres: int) -> int:
    """Voxels along each axis of a block with `n_centres` centres along it."""
    return PATCH_SIZE + 2 * (n_centres - 1)


def margin_vox(n_centres: int) -> int:
    """At least as many voxels as a block reaches beyond a centre in it."""
    return block_extent(n_centres) - REACH + 1


def find_candidates(examples: TrainingSet, n_classes: int, emphasis: Mapping[int, float]) -> Candidates:
    """Sort the eligible voxels by class and say how often each class is drawn.

    Parameters
    ----------
    examples : TrainingSet
        The scans.
    n_classes : int
        Number of classes C, background included.
    emphasis : mapping of int to float
        Relative frequency of a class; 1 where not named. Classes without a voxel are never drawn.

    Returns
    -------
    Candidates
        The voxels by class.

    Raises
    ------
    ConfigError
        If fewer than two classes have voxels: there is nothing to tell apart.

    Notes
    -----
    Source: [DEEPNAT] sampling: equal numbers per structure, twice as many for white and grey matter.
    """
    voxels = torch.nonzero(examples.eligible.flatten()).squeeze(1)
    classes = examples.classes.flatten()[voxels]
    order = torch.argsort(classes, stable=True)
    counts = torch.bincount(classes, minlength=n_classes)
    if int((counts > 0).sum()) < 2:
        raise ConfigError(
            "the training scans hold a single class where centres are drawn; training needs two "
            "(where labels fill the mask, train a single step: is_cascade = false)"
        )
    weights = torch.tensor([emphasis.get(c, 1.0) for c in range(n_classes)], device=counts.device)
    weights = torch.where(counts > 0, weights, torch.zeros_like(weights))
    starts = torch.cumsum(counts, 0) - counts
    return Candidates(voxels[order], starts, counts, weights / weights.sum())


def draw_anchors(candidates: Candidates, n_blocks: int, generator: torch.Generator) -> Tensor:
    """Draw `n_blocks` voxels, their classes as the weights say: (B,) int64 flat indices."""
    device = candidates.voxels.device
    classes = torch.multinomial(candidates.weights, n_blocks, replacement=True, generator=generator)
    fraction = torch.rand(n_blocks, generator=generator, device=device, dtype=torch.float64)
    within = (fraction * candidates.counts[classes]).long()
    return candidates.voxels[candidates.starts[classes] + within]


def gather_blocks(
    examples: TrainingSet,
    anchors: Tensor,
    offsets: Tensor,
    generator: torch.Generator,
    *,
    n_centres: int,
    has_surroundings: bool = False,
) -> Block:
    """Cut the blocks around anchors, each anchor at a random place among its block's centres.

    Parameters
    ----------
    examples : TrainingSet
        The scans, padded by at least `margin_vox(n_centres)`.
    anchors : (B,) int64
        Flat indices of eligible voxels.
    offsets : (T, 3) int64
        Task offsets, within -1..1.
    generator : torch.Generator
        Source of chance, on the examples' device.
    n_centres : int
        Centres along each axis of a block.
    has_surroundings : bool
        Whether the class of every voxel is wanted.

    Returns
    -------
    Block
        Intensities, labels per task, coordinates, eligibility of each centre, and surroundings if wanted.

    Notes
    -----
    Source: ours: blocks share convolutions between neighbouring patches (see `nets.shared`).
    """
    device = anchors.device
    strides = torch.tensor(examples.strides, device=device)
    place = torch.randint(n_centres, (len(anchors), 3), generator=generator, device=device)
    first = anchors - (2 * place * strides).sum(1)
    span = 2 * (n_centres - 1)
    reach = torch.arange(-REACH, span + REACH + 1, device=device)
    near = torch.arange(-1, span + 2, device=device)
    lattice = torch.arange(0, span + 1, 2, device=device)
    cube = _cube(first, reach, strides)
    raw = examples.intensities.flatten()[cube]
    classes = examples.classes.flatten()[_cube(first, near, strides)]
    centres = _cube(first, lattice, strides)
    labels = torch.stack([_shifted(classes, offset, n_centres=n_centres) for offset in offsets.tolist()], -1)
    rows = examples.rows.flatten()[centres]
    return Block(
        intensities=raw.float().mul_(INTENSITY_STEP)[:, None],
        labels=labels.long(),
        coordinates=examples.coordinates[rows].float(),
        eligible=rows > 0,
        surroundings=examples.classes.flatten()[cube] if has_surroundings else None,
    )


def _cube(first: Tensor, steps: Tensor, strides: Tensor) -> Tensor:
    """Flat indices (B, L, L, L) of the cubes at `first` plus `steps` along each axis."""
    i, j, k = (steps * stride for stride in strides)
    cube: Tensor = first[:, None, None, None] + (i[:, None, None] + j[:, None] + k)
    return cube


def _shifted(classes: Tensor, offset: list[int], *, n_centres: int) -> Tensor:
    """Classes (B, n, n, n) at one offset from the centres, out of the (B, 2n+1, 2n+1, 2n+1) around them."""
    i, j, k = (slice(1 + step, 1 + step + 2 * n_centres - 1, 2) for step in offset)
    return classes[:, i, j, k]
