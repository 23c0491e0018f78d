"""Grey values for label maps of whole heads, as a T1-weighted scan would show them, or as no scanner would."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from neuronat.space.voxels import largest_part
from neuronat.synth.degrade import blurred
from neuronat.synth.fields import smooth_noise, uniform

__all__ = ["CSF", "FIRST_OUTSIDE", "T1_GREY", "brain_of", "clutter", "paint", "paint_head", "palette"]

CSF = 24
FIRST_OUTSIDE = 500
"""Ids from here on lie outside the brain."""
CLOSING_VOX = 4
N_PATCHES = 4
T1_GREY = {
    0: 0.01, 2: 1.0, 3: 0.62, 4: 0.18, 5: 0.2, 7: 0.98, 8: 0.63, 10: 0.82, 11: 0.68, 12: 0.74, 13: 0.9, 14: 0.18,
    15: 0.2, 16: 0.9, 17: 0.65, 18: 0.64, 24: 0.16, 25: 0.75, 26: 0.68, 28: 0.86, 30: 0.4, 41: 1.0, 42: 0.62, 43: 0.18,
    44: 0.2, 46: 0.98, 47: 0.63, 49: 0.82, 50: 0.68, 51: 0.74, 52: 0.9, 53: 0.65, 54: 0.64, 57: 0.75, 58: 0.68,
    60: 0.86, 62: 0.4, 72: 0.2, 85: 0.85, 136: 0.35, 137: 0.3, 163: 0.35, 164: 0.3, 502: 0.35, 506: 0.25, 507: 0.5,
    508: 0.85, 509: 0.12, 511: 0.95, 512: 0.5, 514: 0.4, 515: 0.15, 516: 0.4, 530: 0.4,
}  # fmt: skip
"""Usual grey value of each id of the whole-head label maps in a T1-weighted scan, white matter 1."""
TWINS = {2: 41, 3: 42, 4: 43, 5: 44, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 25: 57, 26: 58,
         28: 60, 30: 62, 136: 163, 137: 164}  # fmt: skip


def brain_of(ids: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return the brain of a whole-head label map, (I, J, K) bool: its largest part, closed over sulci, and filled.

    Notes
    -----
    Source: ours; nothing outside the dura is taken in.
    """
    is_tissue = largest_part((ids > 0) & (ids < FIRST_OUTSIDE) & (ids != CSF))
    closed = ndimage.binary_closing(np.pad(is_tissue, CLOSING_VOX + 2), iterations=CLOSING_VOX)
    inner = slice(CLOSING_VOX + 2, -CLOSING_VOX - 2)
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(closed[inner, inner, inner]) & (ids < FIRST_OUTSIDE)
    return filled


def palette(ids: tuple[int, ...], share_wild: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a mean grey value and a texture for each id; left and right are alike.

    Returns
    -------
    means, textures : (L,) float32
        By position in `ids`.

    Notes
    -----
    Source: ours, after [SYNTHSEG]: mostly near T1, now and then anything.
    """
    is_wild = float(uniform(0, 1, generator)) < share_wild
    usual = torch.tensor([T1_GREY.get(i, 0.4) for i in ids], device=generator.device)
    spread = torch.randn(len(ids), generator=generator, device=generator.device)
    outside = torch.tensor([i >= FIRST_OUTSIDE for i in ids], device=generator.device)
    means = usual * torch.exp(spread * torch.where(outside, 0.4, 0.1)) + 0.02 * spread.roll(1).abs()
    if is_wild:
        means = uniform(0, 1.2, generator, n=len(ids))
    textures = uniform(0.005, 0.06, generator, n=len(ids)) * (1 + 2 * outside.float())
    position = {i: p for p, i in enumerate(ids)}
    for left, right in TWINS.items():
        if left in position and right in position:
            means[position[right]], textures[position[right]] = means[position[left]], textures[position[left]]
    if 0 in position and not is_wild:
        means[position[0]] = 0.02 * float(uniform(0, 1, generator))
    return means, textures


def paint(labels: Tensor, means: Tensor, textures: Tensor, generator: torch.Generator) -> Tensor:
    """Give each voxel of (E, E, E) labels, positions in a palette, a grey value: its mean and some texture.

    Notes
    -----
    Source: ours. Fine noise is blurred with the borders, which gives partial volumes; slow noise makes tissue uneven.
    """
    fine = torch.randn(labels.shape, generator=generator, device=labels.device)
    slow = smooth_noise(1, labels.shape[0], generator, knots=8)[0]
    index = labels.long()
    image = means[index] + textures[index] * (1.5 * fine + slow)
    return blurred(image, float(uniform(0.4, 0.8, generator))).clamp(min=0)


def paint_head(ids: NDArray[np.integer], generator: torch.Generator) -> NDArray[np.float32]:
    """Give the labels (I, J, K) of a whole head grey values like those of a T1-weighted scan, white matter about 1.

    Notes
    -----
    Source: ours.
    """
    found = np.unique(ids)
    positions = torch.from_numpy(np.searchsorted(found, ids).astype(np.uint8))
    i, j, k = ids.shape
    edge = max(ids.shape)
    cube = functional.pad(positions[None], (0, edge - k, 0, edge - j, 0, edge - i))[0]  # `paint` knows cubes alone
    image = paint(cube, *palette(tuple(found.tolist()), 0.0, generator), generator)
    painted: NDArray[np.float32] = image[:i, :j, :k].numpy()
    return painted


def clutter(image: Tensor, is_outside: Tensor, generator: torch.Generator) -> Tensor:
    """Break what lies outside the brain into patches of different grey values: muscle, fat and vessels of a neck.

    Parameters
    ----------
    image : (E, E, E) float32
        A painted head.
    is_outside : (E, E, E) bool
        Where its label is none of the brain's; the label maps have one label for all that is soft there.
    generator : torch.Generator
        Source of chance.

    Returns
    -------
    (E, E, E) float32

    Notes
    -----
    Source: ours.
    """
    knots = int(torch.randint(6, 18, (1,), generator=generator, device=generator.device))
    patch = smooth_noise(N_PATCHES, image.shape[0], generator, knots=knots).argmax(0)
    factors = torch.exp(uniform(-1.2, 0.6, generator, n=N_PATCHES))
    return torch.where(is_outside, image * blurred(factors[patch], 0.5), image)
