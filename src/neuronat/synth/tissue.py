"""Vary the contrast of tissues and structures: other scanners, older people."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.synth.degrade import blurred
from neuronat.synth.fields import uniform

__all__ = ["FLUID", "GREY", "WHITE", "TissueConfig", "softened", "vary_structures", "vary_tissue"]

FLUID, GREY, WHITE = 1, 2, 3
MOST_DEVIATIONS = 2.5


@dataclass(frozen=True, kw_only=True)
class TissueConfig:
    """The most that fluid, grey and white matter change, as a share of white matter's grey value.

    `lesion` is the largest share that lesions of white matter lose (`synth.lesions`), in `share_lesioned` of the crops.
    """

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
    Source: ours. Old brains have less contrast between grey and white.
    """
    if float(uniform(0, 1, generator)) < config.share_varied:
        widest = torch.tensor([0.0, config.fluid, config.grey, config.white], device=image.device)
        change = widest * uniform(-1, 1, generator, n=4)
        image = (image + blurred(change[tissue.long()], 0.6)).clamp(min=0.01) * (image > 0)
    return image


def vary_structures(
    images: Tensor, classes: Tensor, partners: Tensor, generator: torch.Generator, *, spread: float
) -> Tensor:
    """Make each structure of a scan a little brighter or darker.

    Parameters
    ----------
    images : (B, E, E, E) float32
        Grey values.
    classes : (B, E, E, E) int
        Which structure a voxel belongs to; background, class 0, stays as it is.
    partners : (C,) int64
        Class of each class's left/right partner, which changes alike.
    generator : torch.Generator
        Source of chance.
    spread : float
        Standard deviation of the logarithm of the factors, at the most: each scan draws its own below it.

    Returns
    -------
    (B, E, E, E) float32

    Notes
    -----
    Source: ours. All scans of one scanner show the pallidum as bright; field strength, sequence, and the iron that
    deep nuclei gather with age shift it, and thalamus, brain stem and cerebellum, against white matter.
    """
    n_classes = len(partners)
    drawn = torch.randn(len(images), n_classes, generator=generator, device=images.device)
    drawn = drawn.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS) * uniform(0, spread, generator, n=len(images))[:, None]
    drawn = drawn[:, torch.minimum(partners, torch.arange(n_classes, device=partners.device))]
    drawn[:, 0] = 0
    logarithms = drawn.gather(1, classes.flatten(1).long()).view(images.shape)
    return images * torch.exp(softened(logarithms))


def softened(images: Tensor) -> Tensor:
    """Average (B, E, E, E) over three voxels along each axis, as partial volumes do."""
    return functional.avg_pool3d(images[:, None], 3, stride=1, padding=1, count_include_pad=False)[:, 0]
