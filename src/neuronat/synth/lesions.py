"""Lesions of white matter as old people have them: caps and halos around the ventricles, and spots further out."""

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage

from neuronat.errors import ConfigError
from neuronat.space.affine import spacing_mm
from neuronat.space.volume import Volume
from neuronat.synth.ageing import is_ageing_ventricle
from neuronat.synth.fields import smooth_noise
from neuronat.synth.specimen import Specimen
from neuronat.synth.tissue import WHITE

__all__ = ["lesioned"]

REACH_MM = 6.0
"""As far from the ventricles a lesion is as rare as one that the noise makes rarer by a deviation."""
SPOT_MM = 6.0
DARKNESS = 1.0
"""Grey value of a lesion in its middle, as a share of grey matter's."""
BORDER_VOX = 1.0


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
    names = dict(zip(specimen.labels.scheme.ids, specimen.labels.scheme.names, strict=True))
    ventricles = np.isin(specimen.labels.ids, [index for index, name in names.items() if is_ageing_ventricle(name)])
    is_white = specimen.mask & (specimen.tissue == WHITE)
    spacing = spacing_mm(specimen.volume.affine)
    if not 0 <= share <= 1 or not ventricles.any():
        raise ConfigError(f"lesions need ventricles and a share in [0, 1]; got {share!r}")
    distance = ndimage.distance_transform_edt(~ventricles, sampling=spacing)
    i, j, k = specimen.mask.shape
    extent = max(i, j, k)
    knots = max(2, round(extent * float(max(spacing)) / (2 * SPOT_MM)))
    noise = smooth_noise(1, extent, knots, generator)[0, :i, :j, :k].numpy()
    likely = np.where(is_white, noise - distance / REACH_MM, -np.inf)
    lesions = np.zeros(specimen.mask.shape, np.float32)
    lesions.flat[np.argsort(likely, axis=None)[likely.size - round(share * int(is_white.sum())) :]] = 1
    _, grey, white = specimen.levels
    lost = ndimage.gaussian_filter(lesions, BORDER_VOX) * np.float32(max(0.0, 1 - DARKNESS * grey / white))
    values = (specimen.volume.values * (1 - lost)).astype(np.float32)
    return replace(specimen, volume=Volume(values, specimen.volume.affine))
