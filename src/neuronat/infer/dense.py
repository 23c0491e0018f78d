"""The same predictions at all voxels of a mask, exactly and far faster: neighbouring patches share their convolutions.

The mask's box is cut into tiles, so memory stays bounded. In a tile the first convolution runs once; its features are
then read in eight phases, the centres of a phase lying two voxels apart (`nets.shared`). The fully connected layers
see the voxels of the mask only.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.infer.patches import padded_intensities
from neuronat.infer.vote import add_votes, mean_votes, open_ballot
from neuronat.nets.deepnat import PATCH_SIZE, DeepNat, task_offsets
from neuronat.nets.shared import first_features, lattice_cells, lattice_variants

__all__ = ["DenseConfig", "Tile", "plan_tiles", "predict_dense", "tile_opinions"]

Extents = tuple[int, int, int]
HALO = PATCH_SIZE - 1


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """How a volume is computed; a tile has `tile_vox`^3 centres at most. bfloat16 is faster and not exact."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    tile_vox: int = 64
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.tile_vox < 2 or self.tile_vox % 2:
            raise ConfigError(f"DenseConfig.tile_vox must be an even number of at least 2; got {self.tile_vox}")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"DenseConfig.precision must be float32 or bfloat16; got {self.precision!r}")


@dataclass(frozen=True)
class Tile:
    """A part of a volume: its first centre ijk, and how many centres two voxels apart it holds along each axis."""

    start: Extents
    counts: Extents


def predict_dense(
    net: DeepNat,
    intensities: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    mask: NDArray[np.bool_],
    config: DenseConfig,
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.float32]:
    """Predict the classes of every voxel of a mask, by the vote of all patches centred in the mask.

    Parameters
    ----------
    net : DeepNat
        The network, in evaluation mode, on the config's device.
    intensities : (I, J, K) float32
        Normalized intensities, 0 outside the brain.
    coordinates : (6, I, J, K) float32
        Brain coordinates.
    mask : (I, J, K) bool
        Voxels to label.
    config : DenseConfig
        Device, tiles, precision.
    progress : callable, optional
        Takes the share done.

    Returns
    -------
    (V, C) float32
        Mean probability at the V voxels of the mask, in the order of `np.argwhere(mask)`.

    Notes
    -----
    Source: [DEEPNAT]; the dense form is ours (decision 0008): `predict_patches` and the vote, up to rounding.
    """
    ballot = open_ballot(mask, net.config.n_classes, config.device)
    offsets = torch.from_numpy(task_offsets(net.config.n_tasks)).to(config.device)
    tiles = plan_tiles(mask, config.tile_vox)
    padded = padded_intensities(intensities, config.device)
    for number, tile in enumerate(tiles):
        for centres, opinions in tile_opinions(net, padded, coordinates, mask, tile, config):
            add_votes(ballot, opinions, centres, offsets)
        if progress:
            progress((number + 1) / len(tiles))
    return mean_votes(ballot)


def plan_tiles(mask: NDArray[np.bool_], tile_vox: int) -> list[Tile]:
    """Cut the box of a mask into tiles of nearly equal size; leave out those without a voxel of the mask."""
    if not mask.any():
        return []
    edges = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        first, extent = int(found[0]), int(found[-1] - found[0]) + 1
        n_tiles = -(-extent // tile_vox)
        size = 2 * -(-extent // (2 * n_tiles))
        edges.append([(first + size * n, min(size, 2 * -(-(extent - size * n) // 2)) // 2) for n in range(n_tiles)])
    tiles = [Tile(*zip(*parts, strict=True)) for parts in itertools.product(*edges) if all(n > 0 for _, n in parts)]
    return [tile for tile in tiles if _part_of(mask, tile).any()]


def tile_opinions(
    net: DeepNat,
    padded: Tensor,
    coordinates: NDArray[np.float32],
    mask: NDArray[np.bool_],
    tile: Tile,
    config: DenseConfig,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the centres (N, 3) and opinions (N, T, C) of a tile's voxels in the mask, phase by phase.

    `padded` is the volume with 11 voxels of zeros around it (1, 1, I+22, J+22, K+22); see `predict_dense`.

    Notes
    -----
    Source: ours.
    """
    inside = _part_of(mask, tile)
    with _calculating(config):
        features = first_features(net, _block(padded, tile))
    for phase in itertools.product((0, 1), repeat=3):
        lattice = np.argwhere(inside[phase[0] :: 2, phase[1] :: 2, phase[2] :: 2])
        if len(lattice) == 0:
            continue
        centres = 2 * lattice + phase + tile.start
        here = coordinates[:, centres[:, 0], centres[:, 1], centres[:, 2]][list(net.config.coordinate_channels)].T
        with _calculating(config):  # not around the yield: what the caller does there is not ours
            rows = _rows(net, features, tile.counts, phase, lattice)
            scores = net.classify(rows, torch.from_numpy(here.copy()).to(padded))
            opinions = scores.to(padded.dtype).softmax(2)
        yield torch.from_numpy(centres).to(padded.device), opinions


@contextmanager
def _calculating(config: DenseConfig) -> Iterator[None]:
    """No gradients; half precision where the configuration says so."""
    is_half = config.precision == "bfloat16"
    with torch.inference_mode(), torch.autocast(config.device.type, torch.bfloat16, enabled=is_half):
        yield


def _rows(
    net: DeepNat, features: Tensor, counts: Extents, phase: tuple[int, ...], lattice: NDArray[np.int64]
) -> Tensor:
    """Return the (N, 1728) features of the centres `lattice` (N, 3) of one phase of a tile."""
    i, j, k = (slice(p, p + 15 + 2 * n) for p, n in zip(phase, counts, strict=True))
    cells = lattice_cells(lattice_variants(net, features[:, :, i, j, k]), counts)
    flat = torch.from_numpy(np.ravel_multi_index(tuple(lattice.T), counts)).to(features.device)
    return torch.stack([cell[0].flatten(1)[:, flat] for cell in cells], 1).flatten(0, 1).T


def _part_of(mask: NDArray[np.bool_], tile: Tile) -> NDArray[np.bool_]:
    """Return the mask in a tile, False where the tile reaches beyond the volume."""
    i, j, k = (slice(first, first + 2 * n) for first, n in zip(tile.start, tile.counts, strict=True))
    part = mask[i, j, k]
    missing = [(0, 2 * n - extent) for n, extent in zip(tile.counts, part.shape, strict=True)]
    return np.pad(part, missing)


def _block(padded: Tensor, tile: Tile) -> Tensor:
    """Return what a tile's patches see, with zeros where it reaches beyond the padded volume."""
    i, j, k = (slice(first, first + 2 * n + HALO) for first, n in zip(tile.start, tile.counts, strict=True))
    block = padded[:, :, i, j, k]
    missing = [2 * n + HALO - extent for n, extent in zip(tile.counts, block.shape[2:], strict=True)]
    return functional.pad(block, (0, missing[2], 0, missing[1], 0, missing[0]))
