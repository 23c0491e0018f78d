"""Smooth random fields and the coordinates of a deformed crop.

Words: a *crop* is a cube of voxels that a network trains on; its *places* are where, in voxels of a scan, its voxels
come from.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neuronat.errors import ConfigError

__all__ = ["DeformConfig", "interpolate", "nearest", "random_places", "smooth_noise", "uniform"]


@dataclass(frozen=True, kw_only=True)
class DeformConfig:
    """How far crops are turned, scaled, sheared and bent; the most of each, drawn evenly."""

    rotation_degrees: float = 15.0
    scaling: float = 0.15
    shear: float = 0.08
    bending_vox: float = 4.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value >= 0:
                raise ConfigError(f"DeformConfig.{name} must be at least 0; got {value!r}")


def uniform(low: float, high: float, generator: torch.Generator, *, n: int = 1) -> Tensor:
    """Draw n numbers evenly from [low, high)."""
    return low + (high - low) * torch.rand(n, generator=generator, device=generator.device)


def smooth_noise(n_channels: int, extent: int, generator: torch.Generator, *, knots: int) -> Tensor:
    """Return (F, E, E, E) noise of deviation about 1 that varies over 1/knots of the extent.

    Notes
    -----
    Source: ours: white noise on a coarse lattice, smoothed, and interpolated.
    """
    coarse = torch.randn(1, n_channels, *(knots + 2,) * 3, generator=generator, device=generator.device)
    finer = functional.interpolate(coarse, scale_factor=3, mode="trilinear", align_corners=False)
    finer = functional.avg_pool3d(finer, 3, stride=1, padding=1)[..., 3:-3, 3:-3, 3:-3]
    finer = finer / finer.std().clamp(min=1e-6)
    return functional.interpolate(finer, size=(extent,) * 3, mode="trilinear", align_corners=True)[0]


def random_places(
    centre: Tensor,
    extent: int,
    config: DeformConfig,
    generator: torch.Generator,
    *,
    is_mirrored: bool,
    step_vox: float = 1.0,
) -> Tensor:
    """Return where the voxels of a deformed crop lie in a scan.

    Parameters
    ----------
    centre : (3,) float
        The crop's centre, in voxels of the scan.
    extent : int
        Voxels along each edge of the crop.
    config : DeformConfig
        How far it is deformed.
    generator : torch.Generator
        Source of chance; its device holds the result.
    is_mirrored : bool
        Exchange left and right, the first axis.
    step_vox : float
        Distance of the crop's voxels, in voxels of the scan.

    Returns
    -------
    (3, E, E, E) float32
        Voxel indices ijk, not whole numbers.

    Notes
    -----
    Source: ours.
    """
    axis = torch.arange(extent, device=centre.device, dtype=torch.float32) - (extent - 1) / 2
    axis *= step_vox
    offsets = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    matrix = _random_matrix(config, generator)
    if is_mirrored:
        matrix[:, 0] *= -1
    places = torch.einsum("ab,bijk->aijk", matrix, offsets) + centre.view(3, 1, 1, 1)
    if config.bending_vox:
        knots = int(torch.randint(2, 7, (1,), generator=generator, device=generator.device))
        strength = float(uniform(0, config.bending_vox, generator)) / knots * 2
        places += strength * smooth_noise(3, extent, generator, knots=knots)
    return places


def interpolate(channels: Tensor, places: Tensor) -> Tensor:
    """Interpolate (F, I, J, K) channels linearly at (3, A, B, C) places in voxels: (F, A, B, C); 0 outside."""
    low = [max(0, int(edge) - 1) for edge in places.flatten(1).amin(1)]
    high = [int(edge) + 3 for edge in places.flatten(1).amax(1)]
    i, j, k = (slice(min(a, n - 1), max(b, a + 1)) for a, b, n in zip(low, high, channels.shape[1:], strict=True))
    box = channels[:, i, j, k].float()  # a few channels of a whole scan would take long to convert
    start = torch.tensor([i.start, j.start, k.start], device=places.device).view(3, 1, 1, 1)
    size = torch.tensor(box.shape[1:], device=places.device, dtype=places.dtype).view(3, 1, 1, 1)
    grid = ((places - start + 0.5) * 2 / size - 1).flip(0).movedim(0, -1)
    found = functional.grid_sample(box[None], grid[None], mode="bilinear", align_corners=False)
    return found[0]


def _random_matrix(config: DeformConfig, generator: torch.Generator) -> Tensor:
    """Draw a (3, 3) matrix: turn, scale, shear."""
    matrix = torch.eye(3, device=generator.device)
    angles = uniform(-1, 1, generator, n=3) * math.radians(config.rotation_degrees)
    for axis, angle in enumerate(angles.tolist()):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3, device=generator.device)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    scale = 1 + (uniform(-1, 1, generator) + 0.4 * uniform(-1, 1, generator, n=3)) * config.scaling / 1.4
    shear = torch.eye(3, device=generator.device)
    shear[0, 1], shear[0, 2], shear[1, 2] = uniform(-config.shear, config.shear, generator, n=3).tolist()
    return matrix @ shear @ torch.diag(scale)


def nearest(ids: Tensor, places: Tensor) -> Tensor:
    """Take (I, J, K) values at the voxels nearest to (3, A, B, C) places; 0 outside.

    Notes
    -----
    Source: ours.
    """
    index = torch.round(places).long()
    size = torch.tensor(ids.shape, device=ids.device).view(3, 1, 1, 1)
    is_inside = ((index >= 0) & (index < size)).all(0)
    i, j, k = torch.minimum(index.clamp(min=0), size - 1)
    return torch.where(is_inside, ids[i, j, k], 0)
