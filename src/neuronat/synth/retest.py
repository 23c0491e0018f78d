"""The same head scanned again: another position, another shading, new noise, other voxels."""

from collections.abc import Mapping

import torch

from neuronat.errors import ConfigError
from neuronat.space.affine import spacing_mm
from neuronat.synth.fields import uniform
from neuronat.synth.specimen import Specimen
from neuronat.synth.stress import other_position, shaded, with_noise

__all__ = ["CHANGES", "retest"]

CHANGES: Mapping[str, str] = {
    "turn": "turned by 1 degree about a drawn axis",
    "shift": "moved by half a voxel along each axis",
    "bias": "another bias field of 5 %",
    "noise": "new noise, 2 % of white matter",
    "resample": "voxels of 0.9 of the size",
    "all": "all of these together",
}
"""What a repeat changes."""
DEGREES, SHIFT_VOX, BIAS, NOISE, STEP = 1.0, 0.5, 0.05, 0.02, 0.9


def retest(specimen: Specimen, change: str, generator: torch.Generator) -> Specimen:
    """Scan a head again.

    Parameters
    ----------
    specimen : Specimen
        The head as it was scanned first.
    change : str
        One of `CHANGES`.
    generator : torch.Generator
        Source of chance.

    Returns
    -------
    Specimen
        In the same anatomy, so that every volume should come out as before.

    Raises
    ------
    ConfigError
        If the change is not known.

    Notes
    -----
    Source: ours.
    """
    if change not in CHANGES:
        raise ConfigError(f"change {change!r} is not known; known are {', '.join(CHANGES)}")
    x, y, z = torch.randn(3, generator=generator).tolist()
    spacing = spacing_mm(specimen.volume.affine)
    signs = torch.where(uniform(-1, 1, generator, n=3) < 0, -1.0, 1.0).tolist()
    a, b, c = (SHIFT_VOX * sign * float(mm) for sign, mm in zip(signs, spacing, strict=True))
    again = specimen
    if change in ("turn", "shift", "resample", "all"):
        again = other_position(
            specimen,
            degrees=DEGREES if change in ("turn", "all") else 0.0,
            axis=(x, y, z),
            shift_mm=(a, b, c) if change in ("shift", "all") else (0.0, 0.0, 0.0),
            step=STEP if change in ("resample", "all") else 1.0,
        )
    if change in ("bias", "all"):
        again = shaded(again, BIAS, generator)
    if change in ("noise", "all"):
        again = with_noise(again, NOISE, generator)
    return again
