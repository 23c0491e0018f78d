"""Sample values on another grid: by one matrix per axis where the axes agree, by an affine otherwise.

A map from one grid to another is (4, 4) and takes indices of the target's voxels to indices of the source's.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import make_interp_spline

__all__ = ["Order", "is_diagonal", "largest_share", "resample"]

Order = Literal[1, 3]
WIDTH_TO_SIGMA = float(1 / (2 * np.sqrt(2 * np.log(2))))
LEAST_GAIN = 1e-6
SPLINE_REACH_VOX = 12


def resample(
    values: NDArray[np.float32],
    target_to_source: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    order: Order = 1,
) -> NDArray[np.float32]:
    """Sample `values` at every voxel of another grid.

    Parameters
    ----------
    values : (I, J, K) float32
        Values on the source grid.
    target_to_source : (4, 4) float64
        Takes target voxel indices to source voxel indices.
    shape : (I, J, K)
        Extents of the target grid.
    order : 1 or 3
        Linear, or cubic B-splines.

    Returns
    -------
    array of `shape`, float32
        Beyond the source: its outermost values where the axes agree, 0 where the grids are rotated.

    Notes
    -----
    Source: ours. Where a target voxel is wider than a source voxel, a Gaussian first widens the source voxel
    to it (full widths at half maximum add as squares), so that nothing aliases.
    """
    step, offset = target_to_source[:3, :3], target_to_source[:3, 3]
    if is_diagonal(step):
        for axis in range(3):
            if step[axis, axis] == 1 and offset[axis] == 0 and shape[axis] == values.shape[axis]:
                continue
            places = offset[axis] + step[axis, axis] * np.arange(shape[axis])
            weights = _axis_weights(places, values.shape[axis], sigma=_sigma(step[axis, axis]), order=order)
            values = np.ascontiguousarray(np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis))
        return values
    smooth = ndimage.gaussian_filter(values, _sigmas(step), mode="nearest")
    moved = ndimage.affine_transform(
        smooth, step, offset, output_shape=shape, output=np.float32, order=order, mode="constant", cval=0.0
    )
    return np.asarray(moved, np.float32)


def largest_share(
    labels: NDArray[Any], target_to_source: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[Any]:
    """Return the label with the largest share of each voxel of another grid.

    Parameters
    ----------
    labels : (I, J, K) int
        Labels on the source grid; 0 is the background, negative ids are not allowed.
    target_to_source : (4, 4) float64
        Takes target voxel indices to source voxel indices.
    shape : (I, J, K)
        Extents of the target grid.

    Returns
    -------
    array of `shape`, dtype of `labels`
        The smallest label on a tie.

    Notes
    -----
    Source: ours. Each label is resampled linearly within its own box only, so memory does not grow with the
    number of labels, and time grows with their volume.
    """
    found, classes = np.unique(labels, return_inverse=True)
    classes = classes.reshape(labels.shape) + 1
    margin = 2 + int(np.ceil(4 * max(_sigmas(target_to_source[:3, :3]))))
    best = np.zeros(shape, labels.dtype)
    most = np.full(shape, LEAST_GAIN, np.float32)
    for label, box in zip(found, ndimage.find_objects(classes), strict=True):
        source = tuple(
            slice(max(side.start - margin, 0), min(side.stop + margin, n))
            for side, n in zip(box, labels.shape, strict=True)
        )
        target, local = _box_on_target(source, target_to_source, shape)
        extents = tuple(side.stop - side.start for side in target)
        if min(extents) < 1:
            continue
        i, j, k = extents
        share = resample((labels[source] == label).astype(np.float32), local, (i, j, k))
        is_better = share > most[target] + LEAST_GAIN
        best[target][is_better] = label
        most[target][is_better] = share[is_better]
    return best


def is_diagonal(step: NDArray[np.float64]) -> bool:
    """Tell whether two grids have the same axes."""
    return bool(np.array_equal(step, np.diag(np.diag(step))))


def _box_on_target(
    source: tuple[slice, ...], target_to_source: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Return the target voxels that a box of the source reaches, and the map from their box to that box."""
    source_to_target = np.linalg.inv(target_to_source)
    low = np.array([side.start for side in source]) - 1.0
    high = np.array([side.stop for side in source], np.float64)
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    reached = corners @ source_to_target[:3, :3].T + source_to_target[:3, 3]
    start = np.clip(np.floor(reached.min(axis=0)), 0, shape).astype(int)
    stop = np.clip(np.ceil(reached.max(axis=0)) + 1, 0, shape).astype(int)
    local = target_to_source.copy()
    local[:3, 3] += target_to_source[:3, :3] @ start - (low + 1)
    return tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)), local


def _axis_weights(places: NDArray[np.float64], n_source: int, *, sigma: float, order: Order) -> NDArray[np.float32]:
    """Return the matrix (N, n_source) that samples one axis at N places: the resampling of unit vectors."""
    units = np.pad(np.eye(n_source), ((SPLINE_REACH_VOX, SPLINE_REACH_VOX), (0, 0)), mode="edge")
    if sigma > 0:
        units = ndimage.gaussian_filter1d(units, sigma, axis=0, mode="nearest")
    spline = make_interp_spline(np.arange(len(units)) - SPLINE_REACH_VOX, units, k=order)
    return np.asarray(spline(np.clip(places, -SPLINE_REACH_VOX, n_source - 1 + SPLINE_REACH_VOX)), np.float32)


def _sigma(step: float) -> float:
    """Width, in source voxels, of the Gaussian that makes a source voxel as wide as the target's."""
    return float(np.sqrt(max(step**2 - 1, 0.0))) * WIDTH_TO_SIGMA


def _sigmas(step: NDArray[np.float64]) -> list[float]:
    """Width of the Gaussian along each source axis."""
    return [_sigma(float(width)) for width in np.sqrt((step**2).sum(axis=1))]
