"""A NeuroNet's features of a whole scan: at once where memory allows, else in overlapping tiles, blended.

Words: a *tile* is a box of voxels that the encoder sees at once; tiles overlap, and a *blend* weights each by how far
a voxel lies from its tile's faces. Features are blended, not answers: a head then answers once per voxel, whatever
the number of its classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.errors import ConfigError, ShapeError
from neuronat.nets.network import ScanNetwork

__all__ = ["ScanFeatures", "TileConfig", "encode_scan", "plan_tiles"]

Tile = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True)
class TileConfig:
    """Where features are computed, the most voxels of a tile, and by how much tiles overlap."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    most_voxels: int = 2**23
    overlap_vox: int = 32

    def __post_init__(self) -> None:
        if self.most_voxels < 1 or self.overlap_vox < 0:
            raise ConfigError(f"TileConfig needs voxels and no negative overlap; got {self}")


@dataclass(frozen=True, eq=False)
class ScanFeatures:
    """Features (F, I/s, J/s, K/s) of a scan of `shape` (I, J, K) at each scale s, padded to the network's stride.

    A network that sees the mirror image, too, has two of full resolution.

    In memory the features of one voxel lie side by side, where a head reads them.
    """

    scales: tuple[Tensor, ...]
    shape: tuple[int, int, int]


def plan_tiles(shape: tuple[int, int, int], stride: int, config: TileConfig) -> tuple[Tile, ...]:
    """Cut a grid into overlapping tiles that start and end at multiples of the stride.

    Parameters
    ----------
    shape : (I, J, K)
        Extents, multiples of the stride.
    stride : int
        The network's.
    config : TileConfig
        The most voxels, and the overlap.

    Returns
    -------
    tuple of tiles
        Together they hold every voxel.

    Raises
    ------
    ShapeError
        If an extent is no multiple of the stride.

    Notes
    -----
    Source: ours: the longest edge is halved until a tile is small enough, so that there are few tiles.

    Examples
    --------
    >>> [t[0] for t in plan_tiles((64, 16, 16), 16, TileConfig(most_voxels=13000, overlap_vox=16))]
    [slice(0, 48, None), slice(16, 64, None)]
    """
    if any(extent % stride for extent in shape):
        raise ShapeError(f"extents {shape} must be multiples of {stride}")
    overlap = -(-config.overlap_vox // stride) * stride
    pieces = [1, 1, 1]
    edges = list(shape)
    while np.prod(edges) > config.most_voxels and max(edges) > overlap + stride:
        axis = int(np.argmax(edges))
        pieces[axis] += 1
        inner = -(-(shape[axis] - overlap) // pieces[axis])
        edges[axis] = overlap + -(-inner // stride) * stride
    starts = [_starts(extent, edge, n, stride) for extent, edge, n in zip(shape, edges, pieces, strict=True)]
    return tuple(
        (slice(i, i + edges[0]), slice(j, j + edges[1]), slice(k, k + edges[2])) for i, j, k in product(*starts)
    )


@torch.inference_mode()
def encode_scan(
    net: ScanNetwork, channels: NDArray[np.float32], config: TileConfig, progress: Callable[[float], None]
) -> ScanFeatures:
    """Compute the features of a scan.

    Parameters
    ----------
    net : ScanNetwork
        In evaluation mode, on the configuration's device.
    channels : (F, I, J, K) float32
        Grey values as the network was trained on, and brain coordinates if it takes them; any extents.
    config : TileConfig
        Device, tiles.
    progress : callable
        Takes the share done.

    Returns
    -------
    ScanFeatures
        On the CPU, float32.

    Raises
    ------
    ShapeError
        If the channels are not what the network takes.

    Notes
    -----
    Source: [NEURONET] inference; ours: features are blended where the paper averages probabilities.
    """
    if channels.ndim != 4 or len(channels) != net.n_channels:
        raise ShapeError(f"the network takes {net.n_channels} channels of three axes; got {channels.shape}")
    _, *extents = channels.shape
    i, j, k = (-(-extent // net.stride) * net.stride for extent in extents)
    padded = np.zeros((len(channels), i, j, k), np.float32)
    padded[:, : extents[0], : extents[1], : extents[2]] = channels
    tiles = plan_tiles((i, j, k), net.stride, config)
    sums: list[Tensor] = []
    for number, tile in enumerate(tiles):
        scan = torch.from_numpy(padded[(slice(None), *tile)])[None].to(config.device)
        found = net.encode(scan.contiguous(memory_format=torch.channels_last_3d))
        if len(tiles) == 1:
            sums = [scale[0].cpu() for scale in found]
        else:
            _add(sums, found, tile, (i, j, k), tiles)
        progress((number + 1) / len(tiles))
    return ScanFeatures(tuple(sums), (extents[0], extents[1], extents[2]))


def _add(
    sums: list[Tensor], found: tuple[Tensor, ...], tile: Tile, shape: tuple[int, int, int], tiles: tuple[Tile, ...]
) -> None:
    """Add a tile's features, weighted, at every scale."""
    if not sums:
        for scale in found:
            step = (tile[0].stop - tile[0].start) // scale.shape[2]
            sums.append(torch.zeros(*(extent // step for extent in shape), scale.shape[1]).movedim(-1, 0))
    for total, scale in zip(sums, found, strict=True):
        step = shape[0] // total.shape[1]
        weights = [_share(axis, tile, tiles, step) for axis in range(3)]
        blend = weights[0][:, None, None] * weights[1][None, :, None] * weights[2][None, None, :]
        where = tuple(slice(edge.start // step, edge.stop // step) for edge in tile)
        total[(slice(None), *where)] += scale[0].cpu() * blend


def _share(axis: int, tile: Tile, tiles: tuple[Tile, ...], step: int) -> Tensor:
    """Return a tile's share of the blend along one axis, at a scale; the shares of all tiles add up to 1."""
    edges = sorted({(t[axis].start, t[axis].stop) for t in tiles})
    end = max(stop for _, stop in edges) // step
    total = torch.zeros(end)
    mine = torch.zeros(end)
    for start, stop in edges:
        weight = torch.zeros(end)
        weight[start // step : stop // step] = _ramp((stop - start) // step)
        total += weight
        if start == tile[axis].start:
            mine = weight
    return (mine / total)[tile[axis].start // step : tile[axis].stop // step]


def _ramp(extent: int) -> Tensor:
    """Distance from the nearer end, from 1 up."""
    forth = torch.arange(1, extent + 1, dtype=torch.float32)
    return torch.minimum(forth, forth.flip(0))


def _starts(extent: int, edge: int, n: int, stride: int) -> Iterator[int]:
    """Yield the starts of n tiles of an edge, evenly spread, at multiples of the stride."""
    if n == 1:
        return iter([0])
    return iter(round(p * (extent - edge) / (n - 1) / stride) * stride for p in range(n))
