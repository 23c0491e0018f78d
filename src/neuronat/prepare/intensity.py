"""Bring grey values of any scanner to one scale: grey matter 0.65, white matter 1, nothing outside the mask."""

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import UnusableInputError
from neuronat.space.volume import Volume

__all__ = ["count_from_darkest", "normalize_intensity", "rough_peaks", "scale_brightness", "tissue_peaks"]

GREY_MATTER = 0.65
WHITE_MATTER = 1.0
FLOOR, CEILING = 0.05, 2.0
N_BINS = 256
LEAST_CONTRAST = 0.02
DARKEST_PERCENTILE = 2.0


def normalize_intensity(volume: Volume, mask: NDArray[np.bool_], peaks: tuple[float, float] | None = None) -> Volume:
    """Map grey values so that grey matter is 0.65 and white matter 1.

    Parameters
    ----------
    volume : Volume
        Bias-corrected grey values, T1-weighted.
    mask : (I, J, K) bool
        Brain mask.
    peaks : (2,) float, optional
        Grey values of grey and of white matter; by default `tissue_peaks` finds them.

    Returns
    -------
    Volume
        Normalized values in [0.05, 2] inside the mask, 0 outside.

    Raises
    ------
    UnusableInputError
        If the values in the mask have no contrast.

    Notes
    -----
    Source: [DEEPNAT] normalizes as FreeSurfer does, to one white-matter value. Ours: two anchors, since the
    contrast between grey and white matter differs between scanners as well.
    """
    grey, white = peaks or tissue_peaks(volume.values[mask])
    slope = (WHITE_MATTER - GREY_MATTER) / (white - grey)
    values = np.clip((volume.values - grey) * slope + GREY_MATTER, FLOOR, CEILING)
    return Volume(np.where(mask, values, 0.0).astype(np.float32), volume.affine)


def count_from_darkest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift the grey values (I, J, K) of a raw head so that what is darkest in it, the air, is 0 as scanners store it.

    Notes
    -----
    Source: ours. The second percentile: a few voxels that ring below the air do not count. Where the air is 0 nothing
    changes; values that were shifted afterwards, as z-scores are, come back but for their scale.
    """
    darkest = np.float32(np.percentile(values, DARKEST_PERCENTILE))
    return values - darkest if darkest else values


def scale_brightness(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale grey values so that the brighter half of a scan has the mean 1; nothing but a factor, no mask needed.

    Parameters
    ----------
    values : (I, J, K) float32
        Grey values of a raw head or of a stripped brain, any scale.

    Returns
    -------
    (I, J, K) float32
        In [0, 2.55]; white matter comes near 1.

    Raises
    ------
    UnusableInputError
        If there is nothing brighter than 0.

    Notes
    -----
    Source: ours. [NEURONET] takes mean and deviation over all voxels, which depend on how much air is in the picture.
    """
    seen = values[values > 0]
    if not seen.size:
        raise UnusableInputError("no voxel is brighter than 0; check the scan")
    for _ in range(2):
        seen = seen[seen > seen.mean()] if seen.max() > seen.min() else seen
    scaled: NDArray[np.float32] = np.clip(values / np.float32(seen.mean()), 0, 2.55).astype(np.float32)
    return scaled


def tissue_peaks(values: NDArray[np.float32]) -> tuple[float, float]:
    """Estimate the grey values of grey and of white matter in a T1-weighted brain.

    Parameters
    ----------
    values : (V,) float32
        Grey values of the brain's voxels.

    Returns
    -------
    grey, white : float
        Means of the middle and of the brightest of three Gaussian classes.

    Raises
    ------
    UnusableInputError
        If the values are constant, or grey and white matter cannot be told apart.

    Notes
    -----
    Source: ours; expectation maximization of three Gaussians on the histogram, started at fixed quantiles.
    """
    low, high = _range(values)
    counts, edges = np.histogram(values, N_BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    means = np.quantile(values, [0.06, 0.38, 0.82]).astype(np.float64)
    spreads = np.full(3, (high - low) / 10)
    shares = np.array([0.15, 0.45, 0.4])
    for _ in range(60):
        densities = shares * np.exp(-0.5 * ((centres[:, None] - means) / spreads) ** 2) / spreads
        duties = densities / np.maximum(densities.sum(1, keepdims=True), 1e-30) * counts[:, None]
        totals = np.maximum(duties.sum(0), 1e-9)
        means = (duties * centres[:, None]).sum(0) / totals
        spreads = np.sqrt((duties * (centres[:, None] - means) ** 2).sum(0) / totals) + (high - low) / 200
        shares = totals / totals.sum()
    _, grey, white = np.sort(means)
    if white - grey < LEAST_CONTRAST * (high - low):
        raise UnusableInputError(
            "grey and white matter cannot be told apart by their grey values, as in a T1-weighted scan they can"
        )
    return float(grey), float(white)


def rough_peaks(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return grey values that may stand for grey and white matter where `tissue_peaks` cannot tell them apart.

    Raises
    ------
    UnusableInputError
        If the values are constant.

    Notes
    -----
    Source: ours: the values below which two and four fifths of the voxels lie.
    """
    low, high = _range(values)
    grey, white = (float(q) for q in np.percentile(values, [40, 80]))
    return grey, max(white, grey + LEAST_CONTRAST * (high - low))


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the range of the values without a few outliers; UnusableInputError if they are constant."""
    low, high = (float(q) for q in np.percentile(values, [0.5, 99.8]))
    if not high > low:
        raise UnusableInputError("the grey values inside the brain mask are constant; a T1-weighted scan has contrast")
    return low, high
