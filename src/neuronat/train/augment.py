"""Change training blocks so that a network cannot learn them by heart: mirror, shift, contrast, structures, noise."""

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from neuronat.coords.spectral import LEFT_RIGHT_CHANNELS
from neuronat.errors import ConfigError
from neuronat.synth.fields import uniform
from neuronat.synth.lesions import LesionSites, add_lesions
from neuronat.synth.tissue import vary_structures
from neuronat.train.examples import Block

__all__ = ["AugmentConfig", "augment_blocks", "mirror_blocks", "vary_blocks"]

SHARE_LESIONED = 0.4
"""Of the batches, where `lesion` is above 0."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How far blocks are changed; 0 switches a change off.

    `structure`: the most that structures' grey values spread (`synth.tissue.vary_structures`); `lesion`: the largest
    share of its grey value that a lesion of white matter loses.
    """

    flip: float = 0.5
    jitter_vox: float = 0.5
    gain: float = 0.1
    shift: float = 0.05
    gamma: float = 0.15
    noise: float = 0.02
    coordinate_noise: float = 0.03
    structure: float = 0.0
    lesion: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(f"AugmentConfig.{name} must be in [0, 1]; got {value!r}")


def vary_blocks(
    block: Block, config: AugmentConfig, mirrored_classes: Tensor, sites: LesionSites | None, generator: torch.Generator
) -> Block:
    """Change the grey values of structures, and add lesions to white matter.

    Parameters
    ----------
    block : Block
        The examples, with their surroundings.
    config : AugmentConfig
        How far.
    mirrored_classes : (C,) int64
        Class of each class's left/right partner.
    sites : LesionSites, optional
        Where lesions lie; without, there are none.
    generator : torch.Generator
        Source of chance, on the block's device.

    Returns
    -------
    Block
        The changed examples; the background stays exactly 0. Without surroundings, the block itself.

    Notes
    -----
    Source: ours.
    """
    classes, images = block.surroundings, block.intensities[:, 0]
    if classes is None:
        return block
    if config.structure:
        images = vary_structures(images, classes, mirrored_classes, generator, spread=config.structure)
    if config.lesion and sites is not None and float(uniform(0, 1, generator)) < SHARE_LESIONED:
        images = add_lesions(images, classes, sites, generator, most=config.lesion)
    return replace(block, intensities=images[:, None])


def augment_blocks(
    block: Block, config: AugmentConfig, mirrored_classes: Tensor, offsets: Tensor, generator: torch.Generator
) -> Block:
    """Mirror, shift, and change contrast, noise and coordinates of a batch of blocks.

    Parameters
    ----------
    block : Block
        The examples.
    config : AugmentConfig
        How far.
    mirrored_classes : (C,) int64
        Class of each class's left/right partner.
    offsets : (T, 3) int64
        Task offsets.
    generator : torch.Generator
        Source of chance, on the block's device.

    Returns
    -------
    Block
        The changed examples; the background stays exactly 0.

    Notes
    -----
    Source: [DEEPNAT] jitter (amplitude lost); the mirror and the rest are ours.
    """
    n_blocks, device = len(block.labels), block.labels.device

    def spread(width: float, *shape: int) -> Tensor:
        """Uniform in [-width, width]."""
        return (torch.rand(n_blocks, *shape, generator=generator, device=device) * 2 - 1) * width

    n_flipped = int((torch.rand(n_blocks, generator=generator, device=device) < config.flip).sum())
    block = _join(
        mirror_blocks(_part(block, 0, stop=n_flipped), mirrored_classes, offsets), _part(block, n_flipped, stop=None)
    )
    x = block.intensities
    inside = x > 0
    x = _nudge(x, spread(config.jitter_vox, 3))
    x = x.clamp(min=1e-3) ** torch.exp(spread(config.gamma, 1, 1, 1, 1))
    x = x * (1 + spread(config.gain, 1, 1, 1, 1)) + spread(config.shift, 1, 1, 1, 1)
    level = torch.rand(n_blocks, 1, 1, 1, 1, generator=generator, device=device) * config.noise
    x = x + torch.randn(x.shape, generator=generator, device=device) * level
    x = torch.where(inside, x.clamp(min=0.01), torch.zeros_like(x))
    coordinates = block.coordinates + spread(config.coordinate_noise, 1, 1, 1, 6)
    return replace(block, intensities=x, coordinates=coordinates)


def mirror_blocks(block: Block, mirrored_classes: Tensor, offsets: Tensor) -> Block:
    """Exchange left and right: intensities, labels of all tasks, and the coordinates along the first axis."""
    swapped = offsets * torch.tensor([-1, 1, 1], device=offsets.device)
    source = (swapped[:, None] == offsets[None]).all(-1).long().argmax(1)
    sign = torch.ones(block.coordinates.shape[-1], device=block.coordinates.device)
    sign[list(LEFT_RIGHT_CHANNELS)] = -1
    return Block(
        intensities=block.intensities.flip(2),
        labels=mirrored_classes[block.labels.flip(1)[..., source]],
        coordinates=block.coordinates.flip(1) * sign,
        eligible=block.eligible.flip(1),
    )


def _nudge(x: Tensor, shifts_vox: Tensor) -> Tensor:
    """Shift each (1, S, S, S) block by a fraction of a voxel along each axis, linearly interpolated, edges repeated."""
    for axis in range(2, 5):
        shift = shifts_vox[:, axis - 2].view(-1, 1, 1, 1, 1)
        places, last = torch.arange(x.shape[axis], device=x.device), x.shape[axis] - 1
        before, after = (x.index_select(axis, (places + step).clamp(0, last)) for step in (-1, 1))
        x = x + (torch.where(shift > 0, before, after) - x) * shift.abs()
    return x


def _part(block: Block, start: int, *, stop: int | None) -> Block:
    """Take the blocks start..stop of a batch."""
    return Block(*(x[start:stop] for x in (block.intensities, block.labels, block.coordinates, block.eligible)))


def _join(first: Block, second: Block) -> Block:
    """Join two batches."""
    return Block(
        torch.cat([first.intensities, second.intensities]),
        torch.cat([first.labels, second.labels]),
        torch.cat([first.coordinates, second.coordinates]),
        torch.cat([first.eligible, second.eligible]),
    )
