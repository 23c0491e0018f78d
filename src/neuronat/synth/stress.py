"""Alterations that a segmentation should bear: old brains, turned heads, shading, thick slices, noise, contrast.

Each takes a specimen (`synth.specimen`) and returns another one whose labels are still true. Chance comes from a
generator on the processor, so a seed gives the same scan everywhere.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import ConfigError
from neuronat.space.affine import spacing_mm
from neuronat.space.volume import LabelMap, Volume
from neuronat.synth.ageing import STEP, ageing_fields, is_ageing_ventricle
from neuronat.synth.fields import interpolate, smooth_noise
from neuronat.synth.lesions import lesioned
from neuronat.synth.specimen import Specimen, moved
from neuronat.synth.tissue import FLUID, GREY, WHITE

__all__ = [
    "AGED_MILD",
    "AGED_STRONG",
    "ALTERATIONS",
    "AgedConfig",
    "aged",
    "other_contrast",
    "other_position",
    "shaded",
    "thick",
    "with_noise",
]

SHARE_OF_LESIONS = 0.06
N_STEPS = 8
BORDER_VOX = 0.6
GRID_MARGIN_VOX = 4
Alteration = Callable[[Specimen, torch.Generator], Specimen]


@dataclass(frozen=True, kw_only=True)
class AgedConfig:
    """How far a brain ages: reach of the two deformations in voxels; the share of grey/white contrast that is lost."""

    ventricles_vox: float
    sulci_vox: float
    contrast_loss: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value >= 0:
                raise ConfigError(f"AgedConfig.{name} must be at least 0; got {value!r}")


AGED_MILD = AgedConfig(ventricles_vox=2.0, sulci_vox=0.7, contrast_loss=0.12)
AGED_STRONG = AgedConfig(ventricles_vox=5.0, sulci_vox=1.0, contrast_loss=0.25)


def aged(specimen: Specimen, config: AgedConfig, generator: torch.Generator) -> Specimen:
    """Widen ventricles and sulci, thin the cortex, and lower the contrast between grey and white matter.

    Parameters
    ----------
    specimen : Specimen
        Of a young brain; its labels name the ventricles.
    config : AgedConfig
        How far.
    generator : torch.Generator
        Source of the noise in the fluid around the brain.

    Returns
    -------
    Specimen
        On the same grid and in the same mask: the brain shrinks within it, and fluid takes the room.

    Notes
    -----
    Source: ours. The fields of `synth.ageing` are followed in small steps, as a flow: one long step would fold
    the walls of a narrow ventricle over each other. Fluid is what is dark or carries no label, and all that is outside
    the mask. Raters give a narrow sulcus to the cortex; one that has become three voxels wide carries no label
    (decision 0034).
    """
    ids, scheme = specimen.labels.ids, specimen.labels.scheme
    ventricles = np.isin(ids, [index for index, name in scheme.name_of.items() if is_ageing_ventricle(name)])
    grey_values = specimen.volume.values
    inner = float(np.median(grey_values[ventricles])) if ventricles.any() else specimen.levels[0]
    is_dark = (
        specimen.mask & (specimen.tissue == FLUID) & (grey_values < (inner + specimen.levels[1]) / 2) & ~ventricles
    )
    around = (ids == 0) & ((specimen.tissue == FLUID) | ~specimen.mask)
    fields = torch.from_numpy(ageing_fields(ventricles, is_dark | around))
    strength = torch.tensor([config.ventricles_vox] * 3 + [config.sulci_vox] * 3).view(6, 1, 1, 1) / N_STEPS
    velocity = fields.float() * strength
    velocity = velocity[:3] + velocity[3:]
    places = _voxels(ids.shape)
    for _ in range(N_STEPS):
        places = places + interpolate(velocity, places / STEP)
    surrounded = replace(specimen, mask=np.ones_like(specimen.mask), volume=_in_fluid(specimen, inner, generator))
    older = moved(surrounded, places.numpy(), specimen.volume.affine)
    tissue = np.where(specimen.mask, np.where(older.tissue == 0, FLUID, older.tissue), 0).astype(np.uint8)
    open_now = ndimage.binary_opening(_nearest(is_dark, places) | (older.labels.ids == 0))
    open_before = _nearest(ndimage.binary_opening(is_dark | (ids == 0)), places)
    truth = np.where(open_now & ~open_before, 0, older.labels.ids)
    older = replace(older, mask=specimen.mask, tissue=tissue, labels=replace(older.labels, ids=truth))
    _, grey, white = specimen.levels
    return _recoloured(older, {WHITE: -config.contrast_loss * (white - grey)})


def other_position(
    specimen: Specimen,
    *,
    degrees: float = 0.0,
    axis: tuple[float, float, float] = (1.0, 1.0, 1.0),
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    step: float = 1.0,
) -> Specimen:
    """Scan a head again that lies differently, on voxels of another size.

    Parameters
    ----------
    specimen : Specimen
        The head.
    degrees, axis : float, 3 floats
        Turn about an axis of the world through the middle of the brain.
    shift_mm : 3 floats
        Move, along the world's axes.
    step : float
        Size of the new voxels, in old ones.

    Returns
    -------
    Specimen
        On a grid with the old axes that holds the whole brain.

    Notes
    -----
    Source: ours; the turn is Rodrigues' formula.
    """
    affine = specimen.volume.affine
    inside = np.argwhere(specimen.mask)
    low, high = inside.min(0), inside.max(0)
    middle = affine[:3, :3] @ ((low + high) / 2) + affine[:3, 3]
    motion = np.eye(4)
    motion[:3, :3] = _turn(degrees, axis)
    motion[:3, 3] = middle + shift_mm - motion[:3, :3] @ middle
    target = affine @ np.diag([step, step, step, 1.0])
    to_source = np.linalg.inv(affine) @ np.linalg.inv(motion) @ target
    to_target = np.linalg.inv(to_source)
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T @ to_target[:3, :3].T
    corners += to_target[:3, 3]
    start = np.floor(corners.min(0)) - GRID_MARGIN_VOX
    i, j, k = (int(n) for n in np.ceil(corners.max(0)) + GRID_MARGIN_VOX + 1 - start)
    target[:3, 3] += target[:3, :3] @ start
    to_source[:3, 3] += to_source[:3, :3] @ start
    matrix = torch.from_numpy(to_source).float()
    places = torch.einsum("ab,bijk->aijk", matrix[:3, :3], _voxels((i, j, k))) + matrix[:3, 3].view(3, 1, 1, 1)
    return moved(specimen, places.numpy(), target)


def shaded(specimen: Specimen, strength: float, generator: torch.Generator, *, knots: int = 2) -> Specimen:
    """Multiply by a smooth field that varies in the brain from exp(-strength) to exp(strength)."""
    i, j, k = specimen.mask.shape
    field = smooth_noise(1, max(i, j, k), generator, knots=knots)[0, :i, :j, :k].numpy()
    low, high = field[specimen.mask].min(), field[specimen.mask].max()
    exponent = np.float32(strength) * (2 * (field - low) / max(high - low, np.float32(1e-6)) - 1).clip(-1, 1)
    return _with_values(specimen, specimen.volume.values * np.exp(exponent))


def with_noise(specimen: Specimen, share: float, generator: torch.Generator) -> Specimen:
    """Add Rician noise, its deviation a share of white matter's grey value."""
    noise = torch.randn(2, *specimen.mask.shape, generator=generator).numpy()
    noise *= np.float32(share * specimen.levels[2])
    return _with_values(specimen, np.hypot(specimen.volume.values + noise[0], noise[1]))


def thick(specimen: Specimen, n_joined: int = 3) -> Specimen:
    """Join slices, from below to above, and store them as what they are: thick.

    Parameters
    ----------
    specimen : Specimen
        With thin slices.
    n_joined : int
        Slices that become one.

    Returns
    -------
    Specimen
        Grey values are means, the mask is where at least half is inside, labels have the largest share.

    Notes
    -----
    Source: ours.
    """
    affine = specimen.volume.affine
    axis = int(np.abs(affine[2, :3] / spacing_mm(affine)).argmax())
    values = _joined(specimen.volume.values, axis, n_joined=n_joined).mean(-1)
    inside = _joined(specimen.mask, axis, n_joined=n_joined).mean(-1) >= 0.5
    coarse = affine.copy()
    coarse[:3, 3] += affine[:3, axis] * (n_joined - 1) / 2
    coarse[:3, axis] *= n_joined
    ids = _most_frequent(_joined(specimen.labels.ids, axis, n_joined=n_joined))
    tissue = _most_frequent(_joined(specimen.tissue, axis, n_joined=n_joined))
    return replace(
        specimen,
        volume=Volume(values.astype(np.float32), coarse),
        mask=inside,
        labels=LabelMap(np.where(inside, ids, 0), coarse, specimen.labels.scheme),
        tissue=np.where(inside, tissue, 0),
    )


def other_contrast(specimen: Specimen) -> Specimen:
    """Show the brain as another T1-weighted sequence would: brighter fluid and grey matter, other curve."""
    fluid, grey, white = specimen.levels
    changed = _recoloured(specimen, {FLUID: 0.15 * (white - fluid), GREY: 0.15 * (white - grey)})
    share = (changed.volume.values / white).clip(min=1e-3)
    return _with_values(changed, white * share**0.8)


ALTERATIONS: Mapping[str, Alteration] = {
    "plain": lambda specimen, _: specimen,
    "agedmild": lambda specimen, generator: aged(specimen, AGED_MILD, generator),
    "agedstrong": lambda specimen, generator: aged(specimen, AGED_STRONG, generator),
    "lesioned": lambda specimen, generator: lesioned(specimen, SHARE_OF_LESIONS, generator),
    "rotated": lambda specimen, _: other_position(specimen, degrees=15.0),
    "biased": lambda specimen, generator: shaded(specimen, 0.5, generator),
    "thick": lambda specimen, _: thick(specimen),
    "noisy": lambda specimen, generator: with_noise(specimen, 0.08, generator),
    "contrast": lambda specimen, _: other_contrast(specimen),
}
"""The stress set by kind; `plain` is the scan as it is."""


def _voxels(shape: tuple[int, ...]) -> torch.Tensor:
    """Return the (3, I, J, K) indices of all voxels."""
    axes = [torch.arange(n, dtype=torch.float32) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _nearest(mask: NDArray[np.bool_], places: torch.Tensor) -> NDArray[np.bool_]:
    """Take a mask at the voxels nearest to places."""
    found: NDArray[np.bool_] = ndimage.map_coordinates(mask, places.numpy(), order=0)
    return found


def _in_fluid(specimen: Specimen, fluid: float, generator: torch.Generator) -> Volume:
    """Put fluid of a grey value around the brain; the border is not sharp."""
    noise = torch.randn(*specimen.mask.shape, generator=generator).numpy()
    around = fluid * (1 + 0.1 * ndimage.gaussian_filter(noise, 0.7))
    inside = ndimage.gaussian_filter(specimen.mask.astype(np.float32), BORDER_VOX)
    values = inside * specimen.volume.values + (1 - inside) * around
    return Volume(np.where(specimen.mask, specimen.volume.values, values).astype(np.float32), specimen.volume.affine)


def _recoloured(specimen: Specimen, changes: Mapping[int, float]) -> Specimen:
    """Add a number to the grey values of each tissue, softly at the borders."""
    change = np.zeros(4, np.float32)
    for kind, added in changes.items():
        change[kind] = added
    soft = ndimage.gaussian_filter(change[specimen.tissue], BORDER_VOX)
    return _with_values(specimen, specimen.volume.values + soft)


def _with_values(specimen: Specimen, values: NDArray[np.floating]) -> Specimen:
    """Exchange the grey values."""
    return replace(specimen, volume=Volume(values.astype(np.float32), specimen.volume.affine))


def _turn(degrees: float, axis: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the (3, 3) turn about an axis."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = math.radians(degrees)
    turn: NDArray[np.float64] = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
    return turn


def _joined(values: NDArray[np.generic], axis: int, *, n_joined: int) -> NDArray[np.generic]:
    """Put the slices that become one side by side in a last axis; the last slices are repeated if some lack."""
    n = values.shape[axis]
    widths = [(0, 0)] * 3
    widths[axis] = (0, -n % n_joined)
    padded = np.moveaxis(np.pad(values, widths, mode="edge"), axis, -1)
    return np.moveaxis(padded.reshape(*padded.shape[:2], -1, n_joined), 2, axis)


def _most_frequent(blocks: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the most frequent value along the last axis; where all are different, that of the middle."""
    n = blocks.shape[-1]
    counts = 2 * np.stack([(blocks == blocks[..., [m]]).sum(-1) for m in range(n)], -1)
    counts[..., n // 2] += 1
    return np.take_along_axis(blocks, counts.argmax(-1)[..., None], -1)[..., 0]
