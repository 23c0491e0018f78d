"""A NeuroNet's features of a whole scan: at once where memory allows, else in overlapping tiles, blended.

Words: a *tile* is a box of voxels that the encoder sees at once; tiles overlap, and a *blend* weights each by how far
a voxel lies from its tile's faces. Features are blended, not answers: a head then answers once per voxel, whatever
the number of its classes. Where heads answer voxel by voxel, features are kept at the voxels of a mask alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.errors import ConfigError, ShapeError
from neuronat.infer.prior import Prior
from neuronat.nets.mirrored import MirroredUNet
from neuronat.nets.network import ScanNetwork
from neuronat.nets.neuronet import NeuroNet
from neuronat.nets.unet import UNet

__all__ = ["ScaleFeatures", "ScanFeatures", "TileConfig", "VoxelFeatures", "encode_scan", "plan_tiles"]

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
class VoxelFeatures:
    """Features (V, F) of the voxels of a mask (I, J, K), in the order of `np.argwhere(mask)`; on the CPU, float32.

    Protocols may have a prior, which is added to what the network answers.
    """

    rows: Tensor
    mask: NDArray[np.bool_]
    priors: Mapping[str, Prior] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ScaleFeatures:
    """Features (F, I/s, J/s, K/s) of a scan at each scale s, padded to the network's stride; on the CPU, float32.

    The mask (I, J, K) says where answers are wanted. Protocols may have a prior.
    """

    scales: tuple[Tensor, ...]
    mask: NDArray[np.bool_]
    priors: Mapping[str, Prior] = field(default_factory=dict)


ScanFeatures = VoxelFeatures | ScaleFeatures


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
    starts = [_starts(extent, edge, n=n, stride=stride) for extent, edge, n in zip(shape, edges, pieces, strict=True)]
    return tuple(
        (slice(i, i + edges[0]), slice(j, j + edges[1]), slice(k, k + edges[2])) for i, j, k in product(*starts)
    )


@torch.inference_mode()
def encode_scan(
    net: ScanNetwork,
    channels: NDArray[np.float32],
    mask: NDArray[np.bool_],
    config: TileConfig,
    progress: Callable[[float], None],
) -> ScanFeatures:
    """Compute the features of a scan, to answer at the voxels of a mask.

    Parameters
    ----------
    net : ScanNetwork
        In evaluation mode, on the configuration's device.
    channels : (F, I, J, K) float32
        Grey values as the network was trained on, and brain coordinates if it takes them; any extents.
    mask : (I, J, K) bool
        Where answers are wanted.
    config : TileConfig
        Device, tiles.
    progress : callable
        Takes the share done.

    Returns
    -------
    ScanFeatures
        `ScaleFeatures` for a network that decodes whole scales, `VoxelFeatures` for others.

    Raises
    ------
    ShapeError
        If the channels are not what the network takes, or the mask is not on their grid.

    Notes
    -----
    Source: [NEURONET] inference; ours: features are blended where the paper averages probabilities.
    """
    if channels.ndim != 4 or len(channels) != net.n_channels:
        raise ShapeError(f"the network takes {net.n_channels} channels of three axes; got {channels.shape}")
    if mask.shape != channels.shape[1:]:
        raise ShapeError(f"the mask has {mask.shape} voxels, the scan {channels.shape[1:]}")
    if not mask.size:
        raise ShapeError("a scan without voxels has no features")
    missing = [(0, -extent % net.stride) for extent in mask.shape]
    padded, wanted = np.pad(channels, [(0, 0), *missing]), np.pad(mask, missing)
    i, j, k = wanted.shape
    tiles = plan_tiles((i, j, k), net.stride, config)
    if isinstance(net, NeuroNet):
        return ScaleFeatures(_blended_scales(net, padded, tiles, config.device, progress), mask)
    return VoxelFeatures(_blended_rows(net, padded, wanted, tiles, config.device, progress), mask)


def _blended_rows(
    net: UNet | MirroredUNet,
    padded: NDArray[np.float32],
    mask: NDArray[np.bool_],
    tiles: tuple[Tile, ...],
    device: torch.device,
    progress: Callable[[float], None],
) -> Tensor:
    """Return the features (V, F) of the voxels of the mask."""
    row_of = (np.cumsum(mask) - 1).reshape(mask.shape)
    rows = torch.zeros(0)
    for number, tile in enumerate(tiles):
        inside = mask[tile]
        if inside.any() or not number:
            found = net.encode_voxels(_seen_in(padded, tile, device), torch.from_numpy(inside).to(device)).cpu()
            if len(tiles) == 1:
                rows = found
            else:
                rows = rows if number else torch.zeros(int(mask.sum()), found.shape[1])
                blend = _blend(tile, tiles, step=1)[torch.from_numpy(inside)]
                rows.index_add_(0, torch.from_numpy(row_of[tile][inside]), found.mul_(blend[:, None]))
        progress((number + 1) / len(tiles))
    return rows


def _blended_scales(
    net: NeuroNet,
    padded: NDArray[np.float32],
    tiles: tuple[Tile, ...],
    device: torch.device,
    progress: Callable[[float], None],
) -> tuple[Tensor, ...]:
    """Return the features of every scale."""
    sums: list[Tensor] = []
    for number, tile in enumerate(tiles):
        found = net.encode(_seen_in(padded, tile, device))
        if len(tiles) == 1:
            progress(1.0)
            return tuple(scale[0].cpu() for scale in found)
        for index, scale in enumerate(found):
            step = (tile[0].stop - tile[0].start) // scale.shape[2]
            if len(sums) == index:
                sums.append(torch.zeros(scale.shape[1], *(extent // step for extent in padded.shape[1:])))
            where = tuple(slice(edge.start // step, edge.stop // step) for edge in tile)
            sums[index][(slice(None), *where)] += scale[0].cpu() * _blend(tile, tiles, step=step)
        progress((number + 1) / len(tiles))
    return tuple(sums)


def _seen_in(padded: NDArray[np.float32], tile: Tile, device: torch.device) -> Tensor:
    """Return what the encoder sees of a scan (F, I, J, K) in a tile: (1, F, i, j, k)."""
    scan = torch.from_numpy(padded[(slice(None), *tile)])[None].to(device)
    return scan.contiguous(memory_format=torch.channels_last_3d)


def _blend(tile: Tile, tiles: tuple[Tile, ...], *, step: int) -> Tensor:
    """Return how much a tile counts at its voxels (i, j, k), at a scale; all tiles together count 1."""
    i, j, k = (_share(axis, tile, tiles, step=step) for axis in range(3))
    return i[:, None, None] * j[None, :, None] * k[None, None, :]


def _share(axis: int, tile: Tile, tiles: tuple[Tile, ...], *, step: int) -> Tensor:
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


def _starts(extent: int, edge: int, *, n: int, stride: int) -> Iterator[int]:
    """Yield the starts of n tiles of an edge, evenly spread, at multiples of the stride."""
    if n == 1:
        return iter([0])
    return iter(round(p * (extent - edge) / (n - 1) / stride) * stride for p in range(n))
