"""Are the slices of a DICOM series one whole volume? Places and numbers of the images say so.

Positions are in mm along the normal of the slices.
"""

import numpy as np
from numpy.typing import NDArray

from neuronat.space.series import Series

__all__ = ["slice_faults"]

LEAST_SLICES = 3
MOST_UNEVEN = 0.05
MOST_TURN = 1e-3
MOST_TILT_DEGREES = 0.5
LISTED = 5


def slice_faults(series: Series) -> tuple[str, ...]:
    """Name what keeps the images of a series from being one volume of evenly spaced slices.

    Parameters
    ----------
    series : Series
        From `list_series`.

    Returns
    -------
    tuple of str
        Missing or unequal slices, a gantry tilt, several directions, too few images; empty if nothing.

    Notes
    -----
    Source: ours. Steps may differ by 5 % of the usual one. Where several images lie at one place (echoes), the places
    are looked at once. A slice that is missing at the end shows in the numbers only if the first is missing.
    """
    if series.n_slices < LEAST_SLICES:
        return (f"{series.n_slices} images with a place are no volume",)
    directions = np.array([image.orientation for image in series.images if len(image.orientation) == 6])
    if len(directions) < len(series.images):
        return ("images do not say how they lie",)
    if np.abs(directions - directions[0]).max() > MOST_TURN:
        return ("images lie in several directions, as those of a localizer do",)
    places = np.array([place for image in series.images for place in image.positions])
    normal = np.cross(directions[0, :3], directions[0, 3:])
    return (*_uneven(places @ normal), *_tilted(places, normal), *_missing_numbers(series))


def _uneven(along_mm: NDArray[np.float64]) -> tuple[str, ...]:
    """Compare the steps between neighbouring places with the usual one."""
    steps_mm = np.diff(np.unique(np.round(along_mm, 3)))
    if len(steps_mm) < LEAST_SLICES - 1:
        return ("all images lie at one place",)
    usual_mm = float(np.median(steps_mm))
    gaps_mm = steps_mm[np.abs(steps_mm - usual_mm) > MOST_UNEVEN * usual_mm]
    if not len(gaps_mm):
        return ()
    if (gaps_mm > (2 - MOST_UNEVEN) * usual_mm).all():
        n_missing = int(np.round(gaps_mm / usual_mm - 1).sum())
        return (f"{n_missing} slices are missing (gaps of {gaps_mm.max():.3g} mm, usual are {usual_mm:.3g})",)
    return (f"slices are not evenly spaced ({steps_mm.min():.3g} to {steps_mm.max():.3g} mm)",)


def _tilted(places: NDArray[np.float64], normal: NDArray[np.float64]) -> tuple[str, ...]:
    """Compare the way from the first slice to the last with the normal of the slices."""
    order = np.argsort(places @ normal)
    way = places[order[-1]] - places[order[0]]
    length = float(np.linalg.norm(way))
    if length == 0:
        return ()
    cosine = abs(float(way @ normal)) / length / float(np.linalg.norm(normal))
    degrees = float(np.degrees(np.arccos(min(cosine, 1.0))))
    return (f"slices are shifted against each other (gantry tilt, {degrees:.1f} degrees)",) * (
        degrees > MOST_TILT_DEGREES
    )


def _missing_numbers(series: Series) -> tuple[str, ...]:
    """Look for holes in the numbers of the images, which begin at 1, or go on where another series ended."""
    numbers = {image.number for image in series.images if image.number is not None}
    if len(numbers) < len(series.images) or min(numbers) < 1:
        return ()
    steps = set(np.diff(sorted(numbers)).tolist())
    if len(steps) == 1 and steps != {1}:  # every second number, or third: another series has the rest
        return ()
    first = min(numbers) if min(numbers) > len(numbers) else 1
    missing = sorted(set(range(first, max(numbers) + 1)) - numbers)
    if not missing or len(missing) > len(numbers):
        return ()
    listed = ", ".join(str(number) for number in missing[:LISTED])
    return (f"image {listed}{' and more' if len(missing) > LISTED else ''} of {max(numbers)} is missing",)
