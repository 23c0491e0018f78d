"""Crops to train NeuroNet on: of stripped scans, of scans set into painted heads, and of painted heads.

A *crop* is a cube of a deformed head: grey values, and for each protocol that is known there the classes at drawn
voxels. Which voxels count is drawn, too: most of them in the brain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from neuronat.coords.spectral import LEFT_RIGHT_CHANNELS
from neuronat.errors import ConfigError
from neuronat.prepare.intensity import scale_brightness
from neuronat.synth.degrade import DegradeConfig, blurred, degrade
from neuronat.synth.fields import DeformConfig, interpolate, nearest, random_places, smooth_noise, uniform
from neuronat.synth.lesions import LesionSites, add_lesions
from neuronat.synth.paint import CSF, FIRST_OUTSIDE, clutter, paint, palette
from neuronat.synth.tissue import TissueConfig, vary_structures, vary_tissue
from neuronat.train.asked import draw_balanced, draw_voxels
from neuronat.train.volumes import GREY_STEP, HeadVolume

__all__ = ["Crop", "CropConfig", "CropSource", "draw_crop"]


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Which crops are drawn; shares of the kinds add up to at most 1, the rest are stripped scans.

    `share_wild` of the painted heads have any contrast, `share_raw` of them keep what is outside the brain, and in
    `share_cluttered` of them that is uneven. Of the stripped ones, `share_misjudged` have a mask that takes in some rim
    or cuts some brain off, as masks of raw heads do. With `brightness` above 0 grey values are scaled as those of raw
    heads are (`prepare.intensity.scale_brightness`), and then by up to exp(brightness) up or down. The grey values of
    the structures of the protocol `structures` spread by up to `structure_spread` (`synth.tissue.vary_structures`), and
    it tells where lesions may lie.
    Crops lie within `reach` of the brain's extents from its centre; their voxels are `step_vox` of the scan's apart.

    Of the voxels that count, `n_inside` are drawn in and near the brain, `n_balanced` so that classes are equally
    frequent.
    """

    extent: int = 96
    step_vox: float = 1.0
    share_composite: float = 0.4
    share_painted: float = 0.2
    share_wild: float = 0.2
    share_raw: float = 0.8
    share_cluttered: float = 0.0
    share_misjudged: float = 0.0
    reach: float = 0.33
    coordinate_noise: float = 0.03
    flip: float = 0.5
    brightness: float = 0.0
    ageing_vox: float = 5.0
    n_inside: int = 50000
    n_anywhere: int = 12000
    n_balanced: int = 0
    deform: DeformConfig = field(default_factory=DeformConfig)
    degrade: DegradeConfig = field(default_factory=DegradeConfig)
    tissue: TissueConfig = field(default_factory=TissueConfig)
    structures: str = ""
    structure_spread: float = 0.0

    def __post_init__(self) -> None:
        if self.extent < 16 or self.extent % 16:
            raise ConfigError(f"CropConfig.extent must be a multiple of 16; got {self.extent}")
        if not 0 <= self.share_composite + self.share_painted <= 1:
            raise ConfigError("CropConfig.share_composite and share_painted must add up to at most 1")

    def as_frequent(self) -> "CropConfig":
        """Return the same crops, all their voxels drawn as frequent as they are."""
        return replace(self, n_inside=self.n_inside + self.n_balanced, n_balanced=0)


@dataclass(frozen=True, eq=False)
class CropSource:
    """What crops are drawn from: scans with labels, label maps of whole heads, and how labels become classes.

    `tables` gives for each protocol, by source, the protocol's class of each class of the source, (C,) uint8;
    `mirrored` its (C,) int64 mirrored classes, `sites` where lesions may lie; `head_ids` are the ids of the heads' own
    map, `wholehead`, by class.
    The protocol `brain` comes from the masks.
    """

    scans: Sequence[HeadVolume]
    heads: Sequence[HeadVolume]
    tables: Mapping[str, Mapping[str, Tensor]]
    mirrored: Mapping[str, Tensor]
    head_ids: tuple[int, ...] = ()
    sites: Mapping[str, LesionSites] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Crop:
    """One example: grey (1, 1, E, E, E) float32, coordinates as further channels where the scan has them.

    voxels (V,) int64, flat; classes (V,) int64 per known protocol.
    """

    grey: Tensor
    voxels: Tensor
    classes: Mapping[str, Tensor]


def draw_crop(source: CropSource, config: CropConfig, generator: torch.Generator) -> Crop:
    """Draw one crop.

    Parameters
    ----------
    source : CropSource
        Scans and heads.
    config : CropConfig
        Which crops, and how far they are changed.
    generator : torch.Generator
        Source of chance, on the scans' device.

    Returns
    -------
    Crop

    Notes
    -----
    Source: ours; [NEURONET] draws crops evenly, and changes nothing.
    """
    kind = float(uniform(0, 1, generator))
    is_painted = kind < config.share_painted and bool(source.heads)
    is_composite = not is_painted and kind < config.share_painted + config.share_composite and bool(source.heads)
    volume = _pick(source.heads if is_painted else source.scans, generator)
    is_mirrored = float(uniform(0, 1, generator)) < config.flip
    is_raw = is_composite or (is_painted and float(uniform(0, 1, generator)) < config.share_raw)
    places = _places(volume, config, generator, is_mirrored=is_mirrored, is_raw=is_raw)
    mask = nearest(volume.mask, places) > 0
    maps = {name: nearest(ids, places) for name, ids in volume.maps.items()}
    is_misjudged = not is_raw and float(uniform(0, 1, generator)) < config.share_misjudged
    kept = _misjudged(mask, generator) if is_misjudged else mask
    if is_painted:
        grey = _painted(maps["wholehead"], source, config, generator)
    else:
        grey = _real(volume, places, maps, config, generator)
        grey = _with_other_structures(grey, maps, source, config, generator)
        if (is_composite or is_misjudged) and source.heads:
            head = _pick(source.heads, generator)
            grey = _set_into_head(grey, volume, head, places, source, generator)
    grey = grey if is_raw else grey * kept
    spoilt = degrade(grey, config.degrade, generator)
    if not is_raw:
        spoilt = torch.where(grey > 0, spoilt, 0.0)
    if config.brightness:
        spoilt = _scaled(spoilt, config.brightness, generator)
    near = nearest(volume.near, places) > 0
    voxels = draw_voxels(near, generator, n_near=config.n_inside, n_anywhere=config.n_anywhere)
    if config.n_balanced:
        voxels = torch.cat([voxels, draw_balanced(maps, source.tables, generator, n_voxels=config.n_balanced)])
    classes = {"brain": mask.flatten()[voxels].long()}
    for protocol, tables in source.tables.items():
        if known := [name for name in tables if name in maps]:
            found = tables[known[0]][maps[known[0]].flatten()[voxels].long()].long()
            found = source.mirrored[protocol][found] if is_mirrored else found
            classes[protocol] = torch.where(kept.flatten()[voxels], found, 0) if is_misjudged else found
    channels = [spoilt[None], _coordinates(volume, places, kept, config, generator, is_mirrored=is_mirrored)]
    return Crop(torch.cat(channels)[None], voxels, classes)


def _places(
    volume: HeadVolume, config: CropConfig, generator: torch.Generator, *, is_mirrored: bool, is_raw: bool
) -> Tensor:
    """Draw where a crop lies and how it is bent and aged: (3, E, E, E)."""
    reach = config.reach + 0.07 * is_raw
    centre = volume.centre + uniform(-reach, reach, generator, n=3) * volume.extents
    places = random_places(
        centre, config.extent, config.deform, generator, is_mirrored=is_mirrored, step_vox=config.step_vox
    )
    if volume.ageing is not None and config.ageing_vox and float(uniform(0, 1, generator)) < 0.6:
        coarse = places[:, ::2, ::2, ::2]
        fields = interpolate(volume.ageing, coarse / 2)
        ventricles, sulci = uniform(-0.15, 1, generator, n=2).tolist()
        moves = config.ageing_vox * (ventricles * fields[:3] + 0.3 * sulci * fields[3:])
        places = places + functional.interpolate(moves[None], size=places.shape[1:], mode="trilinear")[0]
    return places


def _coordinates(
    volume: HeadVolume,
    places: Tensor,
    mask: Tensor,
    config: CropConfig,
    generator: torch.Generator,
    *,
    is_mirrored: bool,
) -> Tensor:
    """Brain coordinates at places, (6, E, E, E), as a whole a little off; none where the volume has none."""
    if volume.coordinates is None:
        return places[:0]
    found = interpolate(volume.coordinates, places)
    if is_mirrored:
        found[list(LEFT_RIGHT_CHANNELS)] *= -1
    shift = config.coordinate_noise * uniform(-1, 1, generator, n=len(found))
    return (found + shift.view(-1, 1, 1, 1)) * mask


def _misjudged(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Move the border of an (E, E, E) bool mask by up to about two voxels, here out and there in."""
    middle = 0.5 - 0.3 * float(uniform(-0.4, 1, generator))
    level = middle - 0.12 * smooth_noise(1, mask.shape[0], generator, knots=6)[0]
    return blurred(mask.float(), 2.0) > level.clamp(0.05, 0.95)


def _scaled(grey: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Scale (E, E, E) grey values as those of a raw head are, and then a little up or down."""
    if not bool((grey > 0).any()):
        return grey
    scaled = torch.from_numpy(scale_brightness(grey.cpu().numpy())).to(grey.device)
    return scaled * torch.exp(uniform(-most, most, generator))


def _real(
    volume: HeadVolume,
    places: Tensor,
    maps: Mapping[str, Tensor],
    config: CropConfig,
    generator: torch.Generator,
) -> Tensor:
    """Grey values of a stripped scan at places, its tissues' contrast varied, 0 outside."""
    if volume.grey is None:
        raise ConfigError(f"{volume.name}: has no grey values; list it among the heads")
    grey = interpolate(volume.grey, places)[0] * GREY_STEP
    if "tissue" in maps:
        grey = vary_tissue(grey, maps["tissue"], config.tissue, generator)
    return grey


def _with_other_structures(
    grey: Tensor, maps: Mapping[str, Tensor], source: CropSource, config: CropConfig, generator: torch.Generator
) -> Tensor:
    """Change the grey values of structures and of white matter's lesions, where a label map of the scan tells them."""
    tables = source.tables.get(config.structures, {})
    known = [name for name in tables if name in maps]
    if not known:
        return grey
    images, classes = grey[None], tables[known[0]][maps[known[0]].long()][None]
    if config.structure_spread:
        partners = source.mirrored[config.structures]
        images = vary_structures(images, classes, partners, generator, spread=config.structure_spread)
    sites = source.sites.get(config.structures)
    if sites is not None and float(uniform(0, 1, generator)) < config.tissue.share_lesioned:
        images = add_lesions(images, classes, sites, generator, most=config.tissue.lesion)
    return images[0]


def _set_into_head(
    grey: Tensor,
    volume: HeadVolume,
    head: HeadVolume,
    places: Tensor,
    source: CropSource,
    generator: torch.Generator,
) -> Tensor:
    """Paint skull, scalp and fluid of a head around a stripped brain, the head scaled to the brain's box."""
    scale = head.extents / volume.extents * (1 + 0.03 * uniform(-1, 1, generator, n=3))
    there = head.centre.view(3, 1, 1, 1) + (places - volume.centre.view(3, 1, 1, 1)) * scale.view(3, 1, 1, 1)
    labels = nearest(head.maps["wholehead"], there).long()
    ids = torch.tensor(source.head_ids, device=labels.device)
    is_outside = (ids >= FIRST_OUTSIDE) | (ids == 0)
    fluid = torch.tensor(source.head_ids.index(CSF), device=labels.device)
    labels = torch.where(is_outside[labels], labels, fluid)
    painted = paint(labels, *palette(source.head_ids, 0.0, generator), generator)
    inside = interpolate(volume.mask[None], places)[0]
    return grey + (1 - inside) * painted


def _painted(labels: Tensor, source: CropSource, config: CropConfig, generator: torch.Generator) -> Tensor:
    """Grey values for the labels of a whole head."""
    image = paint(labels, *palette(source.head_ids, config.share_wild, generator), generator)
    if config.share_cluttered and float(uniform(0, 1, generator)) < config.share_cluttered:
        outside = torch.tensor([i >= FIRST_OUTSIDE for i in source.head_ids], device=labels.device)
        image = clutter(image, outside[labels.long()], generator)
    return image


def _pick(volumes: Sequence[HeadVolume], generator: torch.Generator) -> HeadVolume:
    """Draw one volume."""
    return volumes[int(torch.randint(len(volumes), (1,), generator=generator, device=generator.device))]
