"""Two stages, or one: first what is foreground, then which structure."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from neuronat.infer.dense import DenseConfig, predict_dense
from neuronat.nets.deepnat import DeepNat

__all__ = ["brain_probabilities"]

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
        `foreground` and `structures`, or `structures` alone for a single step; on the config's device.
    intensities : (I, J, K) float32
        Normalized intensities on the working grid.
    coordinates : (6, I, J, K) float32
        Brain coordinates.
    mask : (I, J, K) bool
        Brain mask.
    config : DenseConfig
        Device, tiles, precision.
    progress : callable
        Takes the step's name and the share done.

    Returns
    -------
    (V, C) float32
        Probability of each class, background first, at the voxels of the mask in the order of `np.argwhere(mask)`;
        sums to 1 over C.

    Notes
    -----
    Source: [DEEPNAT] hierarchical segmentation. Ours: outside the foreground the background is certain; inside it
    the second network may still answer background.
    """
    for net in networks.values():
        net.eval()
    structures = networks["structures"]
    if "foreground" not in networks:
        return predict_dense(
            structures, intensities, coordinates, mask, config, lambda done: progress("structures", done)
        )
    first = predict_dense(
        networks["foreground"], intensities, coordinates, mask, config, lambda done: progress("foreground", done / 2)
    )
    is_foreground = first[:, 1] > first[:, 0]
    foreground = np.zeros_like(mask)
    foreground[mask] = is_foreground
    found = np.zeros((len(first), structures.config.n_classes), np.float32)
    found[:, 0] = 1.0
    found[is_foreground] = predict_dense(
        structures, intensities, coordinates, foreground, config, lambda done: progress("structures", 0.5 + done / 2)
    )
    return found
