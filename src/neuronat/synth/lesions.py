"""Lesions of white matter as old people have them: caps and halos around the ventricles, and spots further out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.space.affine import spacing_mm
from neuronat.space.volume import Volume
from neuronat.synth.ageing import is_ageing_ventricle
from neuronat.synth.fields import smooth_noise, uniform
from neuronat.synth.specimen import Specimen
from neuronat.synth.tissue import WHITE, softened

__all__ = ["LesionSites", "add_lesions", "lesion_sites", "lesioned"]

KNOTS = (5, 16)
"""How many lesions there would be along 64 voxels, least and most: confluent ones, and spots."""
LEVELS = (1.0, 2.5)
"""Above how many deviations of smooth noise a lesion lies, far from ventricles."""
MOST_PULL = 10.0
"""So many deviations nearer to a lesion is what lies in a ventricle, at most."""
CELL_VOX = 4
REACH_MM = 6.0
"""So far from a ventricle noise must be a deviation higher for a lesion to lie there."""
SPOT_MM = 6.0
BORDER_VOX = 1.0


@dataclass(frozen=True, eq=False)
class LesionSites:
    """Where lesions lie, by class: in `white` (W,) int64 matter, and most of them beside `ventricles` (U,) int64."""

    white: Tensor
    ventricles: Tensor

    def to(self, device: torch.device) -> "LesionSites":
        """Return the same on a device."""
        return LesionSites(self.white.to(device), self.ventricles.to(device))


def lesion_sites(names: Sequence[str]) -> LesionSites:
    """Find cerebral white matter and the ventricles that age among the names of a protocol's classes, in their order.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> sites = lesion_sites(["Background", "Left-Lateral-Ventricle", "Left Cerebral White Matter"])
    >>> sites.white.tolist(), sites.ventricles.tolist()
    ([2], [1])
    """
    white = [c for c, name in enumerate(names) if name.replace("-", " ").endswith("Cerebral White Matter")]
    ventricles = [c for c, name in enumerate(names) if is_ageing_ventricle(name)]
    return LesionSites(*(torch.tensor(found, dtype=torch.int64) for found in (white, ventricles)))


def add_lesions(
    images: Tensor, classes: Tensor, sites: LesionSites, generator: torch.Generator, *, most: float
) -> Tensor:
    """Darken spots of white matter, in some scans those beside the ventricles above all.

    Parameters
    ----------
    images : (B, E, E, E) float32
        Grey values.
    classes : (B, E, E, E) int
        Class of each voxel.
    sites : LesionSites
        Which classes are white matter and ventricles; without white matter nothing changes.
    generator : torch.Generator
        Source of chance.
    most : float
        The largest share of its grey value that a lesion loses.

    Returns
    -------
    (B, E, E, E) float32

    Notes
    -----
    Source: ours. Beside a caudate, which is as dark, a lesion is told by its place alone (decision 0045).
    """
    n, extent = len(images), images.shape[-1]
    knots = int(torch.randint(*KNOTS, (1,), generator=generator, device=generator.device)) * extent / 64
    spots = smooth_noise(n, extent, generator, knots=max(2, round(knots)))
    pull, level, loss = (
        uniform(low, high, generator, n=n).view(-1, 1, 1, 1)
        for low, high in ((0, MOST_PULL), LEVELS, (0.1, max(0.1, most)))
    )
    near = pull * _closeness(torch.isin(classes, sites.ventricles))
    lesions = torch.isin(classes, sites.white) & (spots + near > level)
    return images * (1 - loss * softened(lesions.float()))


def _closeness(mask: Tensor) -> Tensor:
    """Blur (B, E, E, E) masks over some ten voxels, coarsely: in [0, 1]."""
    coarse = functional.avg_pool3d(mask[:, None].float(), CELL_VOX, ceil_mode=True, count_include_pad=False)
    smooth = functional.avg_pool3d(coarse, 3, stride=1, padding=1)
    return functional.interpolate(smooth, size=mask.shape[1:], mode="trilinear", align_corners=False)[:, 0]


def lesioned(specimen: Specimen, share: float, generator: torch.Generator) -> Specimen:
    """Darken white matter to the grey value of grey matter, most of it beside the lateral ventricles.

    Parameters
    ----------
    specimen : Specimen
        Its labels name the ventricles, and stay as they are: a lesion of white matter is white matter.
    share : float
        Of the white matter that becomes lesions.
    generator : torch.Generator
        Source of chance.

    Returns
    -------
    Specimen

    Raises
    ------
    ConfigError
        If the share is not in [0, 1], or no ventricle is labelled.

    Notes
    -----
    Source: ours. [FAZEKAS] describes where lesions lie: caps, halos, and spots that become confluent.
    """
    sites, ids = lesion_sites(specimen.labels.scheme.names), np.array(specimen.labels.scheme.ids)
    ventricles, in_white = (np.isin(specimen.labels.ids, ids[classes]) for classes in (sites.ventricles, sites.white))
    is_white = specimen.mask & (specimen.tissue == WHITE) & in_white
    spacing = spacing_mm(specimen.volume.affine)
    if not 0 <= share <= 1 or not ventricles.any():
        raise ConfigError(f"lesions need ventricles and a share in [0, 1]; got {share!r}")
    distance = ndimage.distance_transform_edt(~ventricles, sampling=spacing)
    i, j, k = specimen.mask.shape
    extent = max(i, j, k)
    knots = max(2, round(extent * float(max(spacing)) / (2 * SPOT_MM)))
    noise = smooth_noise(1, extent, generator, knots=knots)[0, :i, :j, :k].numpy()
    likely = np.where(is_white, noise - distance / REACH_MM, -np.inf)
    lesions = np.zeros(specimen.mask.shape, np.float32)
    lesions.flat[np.argsort(likely, axis=None)[likely.size - round(share * int(is_white.sum())) :]] = 1
    _, grey, white = specimen.levels
    lost = ndimage.gaussian_filter(lesions, BORDER_VOX) * np.float32(max(0.0, 1 - grey / white))
    values = (specimen.volume.values * (1 - lost)).astype(np.float32)
    return replace(specimen, volume=Volume(values, specimen.volume.affine))
