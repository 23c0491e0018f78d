"""What scanners do to an image: shading, contrast, blur, thick slices, noise."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.synth.fields import smooth_noise, uniform

__all__ = ["DegradeConfig", "blurred", "degrade"]


@dataclass(frozen=True, kw_only=True)
class DegradeConfig:
    """How far images are spoilt: the most of each, drawn evenly; blur and slices only now and then."""

    gain: float = 0.25
    gamma: float = 0.3
    bias: float = 0.2
    noise: float = 0.06
    blur_vox: float = 1.0
    slice_vox: float = 4.0
    share_blurred: float = 0.25
    share_sliced: float = 0.15

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value >= 0:
                raise ConfigError(f"DegradeConfig.{name} must be at least 0; got {value!r}")


def degrade(image: Tensor, config: DegradeConfig, generator: torch.Generator) -> Tensor:
    """Spoil an image as scanners do.

    Parameters
    ----------
    image : (E, E, E) float32
        Grey values of a crop, white matter about 1, at least 0.
    config : DegradeConfig
        How far.
    generator : torch.Generator
        Source of chance, on the image's device.

    Returns
    -------
    (E, E, E) float32
        At least 0.

    Notes
    -----
    Source: ours.
    """
    extent = image.shape[0]
    if _happens(config.share_blurred, generator):
        image = blurred(image, float(uniform(0.3, config.blur_vox, generator)))
    if _happens(config.share_sliced, generator):
        image = _thick_slices(image, config.slice_vox, generator)
    image = image.clamp(min=1e-4) ** torch.exp(uniform(-config.gamma, config.gamma, generator))
    strength = float(uniform(0, config.bias, generator))
    image = image * torch.exp(strength * smooth_noise(1, extent, generator, knots=2)[0])
    image = image * torch.exp(uniform(-config.gain, config.gain, generator))
    level = float(uniform(0, 1, generator)) ** 2 * config.noise
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    return (image + level * noise).clamp(min=0)


def blurred(image: Tensor, sigma_vox: float) -> Tensor:
    """Blur an (E, E, E) image by a Gaussian of `sigma_vox`."""
    radius = max(1, round(2.5 * sigma_vox))
    steps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma_vox**2))
    kernel = kernel / kernel.sum()
    x = image[None, None]
    for axis in range(3):
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = len(kernel), radius
        sides = [side for side in reversed(padding) for _ in range(2)]
        x = functional.conv3d(functional.pad(x, sides, mode="replicate"), kernel.view(shape))
    return x[0, 0]


def _thick_slices(image: Tensor, most_vox: float, generator: torch.Generator) -> Tensor:
    """Average along one axis into thick slices, and interpolate back."""
    axis = int(torch.randint(3, (1,), generator=generator, device=generator.device))
    size = list(image.shape)
    size[axis] = max(2, round(size[axis] / float(uniform(1.5, most_vox, generator))))
    thick = functional.interpolate(image[None, None], size=size, mode="area")
    return functional.interpolate(thick, size=image.shape, mode="trilinear", align_corners=False)[0, 0]


def _happens(share: float, generator: torch.Generator) -> bool:
    """Tell whether something happens this time."""
    return float(uniform(0, 1, generator)) < share
