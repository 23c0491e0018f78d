"""Which voxels of a crop count in the loss."""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["draw_balanced", "draw_voxels"]


def draw_voxels(is_near: Tensor, generator: torch.Generator, *, n_near: int, n_anywhere: int) -> Tensor:
    """Draw flat voxel indices (V,) int64: most in and near the brain, some anywhere.

    Parameters
    ----------
    is_near : (E, E, E) bool
        In and near the brain; where there is no such voxel, only those anywhere are drawn.
    generator : torch.Generator
        Source of chance, on the same device.
    n_near, n_anywhere : int
        How many.

    Notes
    -----
    Source: ours.
    """
    near = torch.nonzero(is_near.flatten())[:, 0]
    device = is_near.device
    anywhere = torch.randint(is_near.numel(), (n_anywhere,), generator=generator, device=device)
    if not len(near):
        return anywhere
    inside = near[torch.randint(len(near), (n_near,), generator=generator, device=device)]
    return torch.cat([inside, anywhere])


def draw_balanced(
    maps: Mapping[str, Tensor],
    tables: Mapping[str, Mapping[str, Tensor]],
    generator: torch.Generator,
    *,
    n_voxels: int,
) -> Tensor:
    """Draw flat voxel indices (V,) int64 so that the classes of the first known protocol are equally frequent.

    Parameters
    ----------
    maps : mapping of str to (E, E, E) integers
        Classes of the crop's label maps, by the source's scheme.
    tables : mapping of str to mapping of str to (C,) uint8
        By protocol, and by source, the protocol's class of each class of the source.
    generator : torch.Generator
        Source of chance, on the same device.
    n_voxels : int
        How many; none where no protocol is known.

    Notes
    -----
    Source: ours. A class's voxels then say more than they should where two classes meet (decision 0050).
    """
    for sources in tables.values():
        for name, table in ((n, t) for n, t in sources.items() if n in maps):
            classes = table[maps[name].flatten().long()].long()
            weights = 1 / torch.bincount(classes).clamp(min=1).float()
            return torch.multinomial(weights[classes], n_voxels, replacement=True, generator=generator)
    return torch.zeros(0, dtype=torch.long, device=generator.device)
