"""Vary the contrast between a scan's tissues, and add lesions to its white matter: other scanners, older people."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from neuronat.errors import ConfigError
from neuronat.synth.degrade import blurred
from neuronat.synth.fields import smooth_noise, uniform

__all__ = ["FLUID", "GREY", "WHITE", "TissueConfig", "vary_tissue"]

FLUID, GREY, WHITE = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class TissueConfig:
    """The most that fluid, grey and white matter change, as a share of white matter's grey value."""

    fluid: float = 0.12
    grey: float = 0.12
    white: float = 0.08
    share_varied: float = 0.5
    lesion: float = 0.35
    share_lesioned: float = 0.25

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(f"TissueConfig.{name} must be in [0, 1]; got {value!r}")


def vary_tissue(image: Tensor, tissue: Tensor, config: TissueConfig, generator: torch.Generator) -> Tensor:
    """Change the grey values of a scan tissue by tissue.

    Parameters
    ----------
    image : (E, E, E) float32
        Grey values, white matter about 1.
    tissue : (E, E, E) int
        1 cerebrospinal fluid, 2 grey, 3 white matter; 0 nothing known.
    config : TissueConfig
        How far.
    generator : torch.Generator
        Source of chance.

    Returns
    -------
    (E, E, E) float32

    Notes
    -----
    Source: ours. Old brains have less contrast between grey and white, and dark lesions around the ventricles.
    """
    if float(uniform(0, 1, generator)) < config.share_varied:
        widest = torch.tensor([0.0, config.fluid, config.grey, config.white], device=image.device)
        change = widest * uniform(-1, 1, generator, 4)
        image = (image + blurred(change[tissue.long()], 0.6)).clamp(min=0.01) * (image > 0)
    if float(uniform(0, 1, generator)) < config.share_lesioned:
        spots = smooth_noise(1, image.shape[0], 14, generator)[0]
        is_lesion = (tissue == WHITE) & (spots > float(uniform(1.6, 2.6, generator)))
        image = image * (1 - float(uniform(0.1, config.lesion, generator)) * blurred(is_lesion.float(), 0.8))
    return image
