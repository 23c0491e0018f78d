"""Two stages, or one: first what is foreground, then which structure.

*Foreground* is the union of the structures. Both stages answer by the vote; a voxel is foreground if the first
stage's vote says so, and nothing is smoothed, filled or removed.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from neuronat.infer.dense import DenseConfig, predict_dense
from neuronat.infer.foreground import predict_foreground
from neuronat.nets.deepnat import DeepNat

__all__ = ["brain_probabilities", "join_stages"]

FIRST_SHARE = 0.15  # of the time, about, that the first stage takes

Progress = Callable[[str, float], None]


def brain_probabilities(
    networks: Mapping[str, DeepNat],
    intensities: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    mask: NDArray[np.bool_],
    config: DenseConfig,
    progress: Progress,
) -> NDArray[np.float32]:
    """Predict the structures of a brain.

    Parameters
    ----------
    networks : mapping of str to DeepNat
        `foreground` and `structures`, or `structures` alone for a single step.
    intensities : (I, J, K) float32
        Normalized intensities on the working grid, 0 outside the brain.
    coordinates : (6, I, J, K) float32
        Brain coordinates.
    mask : (I, J, K) bool
        Brain mask.
    config : DenseConfig
        Device, tiles, precision, and whether the first stage sees every voxel.
    progress : callable
        Takes the step's name and the share done.

    Returns
    -------
    (V, C) float32
        Probability of each class, background first, at the voxels of the mask in the order of `np.argwhere(mask)`;
        sums to 1 over C. See `join_stages`.

    Raises
    ------
    ShapeError
        If the arrays do not share one grid.

    Notes
    -----
    Source: [DEEPNAT] hierarchical segmentation.
    """
    structures = networks["structures"]
    if "foreground" not in networks:
        return predict_dense(
            structures, intensities, coordinates, mask, config, lambda done: progress("structures", done)
        )
    share = 0.5 if config.every_voxel else FIRST_SHARE
    predict_first = predict_dense if config.every_voxel else predict_foreground
    first = predict_first(
        networks["foreground"],
        intensities,
        coordinates,
        mask,
        config,
        lambda done: progress("foreground", share * done),
    )
    foreground = np.zeros_like(mask)
    foreground[mask] = first[:, 1] > first[:, 0]
    second = predict_dense(
        structures,
        intensities,
        coordinates,
        foreground,
        config,
        lambda done: progress("structures", share + (1 - share) * done),
    )
    progress("structures", 1.0)
    return join_stages(first, second, mask, foreground)


def join_stages(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    mask: NDArray[np.bool_],
    foreground: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Join the answers of both stages into one probability per class.

    In the foreground the second stage answers alone, its background included: it has seen the rim in training, and
    its answer rests on the same patch as the first stage's. Elsewhere the background has the first stage's
    probability; what is left goes to the structures as the nearest foreground voxel has them. So the most probable
    class outside the foreground is the background, and a refinement can still see what stands next to it.

    Parameters
    ----------
    first : (V, 2) float32
        Background and foreground at the voxels of the mask.
    second : (F, C) float32
        Classes at the voxels of the foreground, background first.
    mask, foreground : (I, J, K) bool
        V voxels, and F of them.

    Returns
    -------
    (V, C) float32
        Classes at the voxels of the mask, sums to 1 over C.

    Notes
    -----
    Source: ours (decision 0007); [DEEPNAT] labels everything outside the foreground as background.

    Examples
    --------
    >>> mask = np.ones((1, 1, 2), bool)
    >>> foreground = np.array([[[True, False]]])
    >>> first = np.array([[0.25, 0.75], [0.75, 0.25]], np.float32)
    >>> second = np.array([[0.5, 0.25, 0.25]], np.float32)
    >>> join_stages(first, second, mask, foreground).tolist()
    [[0.5, 0.25, 0.25], [0.75, 0.125, 0.125]]
    """
    n_structures = second.shape[1] - 1
    inside = foreground[mask]
    joined = np.empty((len(first), n_structures + 1), np.float32)
    joined[inside] = second
    outside = first[~inside]
    shares = np.full((1, n_structures), 1 / n_structures, np.float32)  # of a brain without foreground
    nearest = np.zeros(len(outside), np.int64)
    if len(second):
        total = second[:, 1:].sum(axis=1, keepdims=True)
        shares = np.where(total > 0, second[:, 1:] / np.where(total > 0, total, 1), shares)
        nearest = _nearest_rows(foreground)[mask][~inside]
    joined[~inside, 0] = outside[:, 0]
    joined[~inside, 1:] = outside[:, 1:] * shares[nearest]
    return joined


def _nearest_rows(foreground: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return, for every voxel, which of the foreground's voxels, counted in C order, is the nearest."""
    rows = np.cumsum(foreground).reshape(foreground.shape) - 1
    i, j, k = distance_transform_edt(~foreground, return_distances=False, return_indices=True)
    nearest: NDArray[np.int64] = rows[i, j, k]
    return nearest
