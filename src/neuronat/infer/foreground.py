"""The first stage at every second voxel, and at every voxel only where that leaves a doubt.

The *lattice* holds every second voxel of the mask along each axis: one of the eight phases of the dense form, an
eighth of its work. A voxel is *sure* if everything that is heard in its 3^3 neighbourhood says clearly the same.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.infer.dense import DenseConfig, dense_opinions
from neuronat.infer.vote import add_votes, mean_votes, open_ballot
from neuronat.nets.deepnat import DeepNat, task_offsets

__all__ = ["is_sure", "predict_foreground"]

SURE = 0.6  # probability from which on an answer counts as clear
LATTICE_SHARE = 0.5  # of the progress


def predict_foreground(
    net: DeepNat,
    intensities: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    mask: NDArray[np.bool_],
    config: DenseConfig,
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.float32]:
    """Predict foreground and background of every voxel of a mask, exactly wherever there is a doubt.

    Parameters
    ----------
    net, intensities, coordinates, mask, config, progress
        As in `predict_dense`; the network has two classes.

    Returns
    -------
    (V, 2) float32
        At doubtful voxels the vote of `predict_dense`; at sure ones the mean of what the lattice says of them and
        around them. In the order of `np.argwhere(mask)`.

    Raises
    ------
    ShapeError
        If the arrays do not share one grid.

    Notes
    -----
    Source: ours (decision 0025).
    """
    note = progress or _silent
    lattice = np.zeros_like(mask)
    lattice[::2, ::2, ::2] = mask[::2, ::2, ::2]
    brain = (intensities, coordinates, mask)
    rows, counts = _votes(net, brain, lattice, config, lambda done: note(LATTICE_SHARE * done))
    heard = np.zeros_like(mask)
    heard[mask] = counts > 0
    foreground = np.zeros(mask.shape, np.float32)
    foreground[mask] = rows[:, 1]
    doubtful = mask & ~is_sure(foreground, heard)
    found = _filled(foreground, heard)[mask]
    if doubtful.any():
        offsets = task_offsets(net.config.n_tasks) + 1
        reach = np.zeros((3, 3, 3), bool)
        reach[tuple(offsets.T)] = True
        centres = mask & ndimage.binary_dilation(doubtful, reach)  # all whose votes a doubtful voxel hears
        rows, _ = _votes(net, brain, centres, config, lambda done: note(LATTICE_SHARE * (1 + done)))
        found[doubtful[mask]] = rows[doubtful[mask], 1]
    note(1.0)
    return np.stack([1 - found, found], axis=1)


def is_sure(foreground: NDArray[np.float32], heard: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say where all that is heard within one voxel agrees.

    Parameters
    ----------
    foreground : (I, J, K) float32
        Probability of foreground where something was heard.
    heard : (I, J, K) bool
        Where something was heard.

    Returns
    -------
    (I, J, K) bool
        True where at least one voxel of the 3^3 around was heard, and all of them lie above `SURE`, or all below
        1 - `SURE`.

    Notes
    -----
    Source: ours (decision 0025).

    Examples
    --------
    >>> foreground = np.array([[[0.9, 0, 0.8, 0, 0.5, 0, 0, 0]]], np.float32)
    >>> is_sure(foreground, foreground > 0).ravel().tolist()
    [True, True, True, False, False, False, False, False]
    """
    size = (3, 3, 3)
    lowest = ndimage.minimum_filter(np.where(heard, foreground, 1), size, mode="constant", cval=1)
    highest = ndimage.maximum_filter(np.where(heard, foreground, 0), size, mode="constant", cval=0)
    is_clear = (lowest > SURE) | (highest < 1 - SURE)
    sure: NDArray[np.bool_] = is_clear & ndimage.maximum_filter(heard, size, mode="constant", cval=False)
    return sure


def _filled(foreground: NDArray[np.float32], heard: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give voxels that heard nothing the mean of their 3^3 neighbourhood; one half if nothing was heard there."""
    total = ndimage.uniform_filter(np.where(heard, foreground, 0), 3, mode="constant")
    share = ndimage.uniform_filter(heard.astype(np.float32), 3, mode="constant")
    around = np.where(share > 0.02, total / np.maximum(share, 0.02), np.float32(0.5))  # one of 27 is 0.04
    filled: NDArray[np.float32] = np.where(heard, foreground, around.clip(0, 1))
    return filled


def _votes(
    net: DeepNat,
    brain: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]],
    centres: NDArray[np.bool_],
    config: DenseConfig,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Let the patches at `centres` vote on the voxels of the mask: means (V, 2), and how many each heard (V,)."""
    intensities, coordinates, mask = brain
    ballot = open_ballot(mask, net.config.n_classes, config.device)
    offsets = torch.from_numpy(task_offsets(net.config.n_tasks)).to(config.device)
    n_done, n_centres = 0, int(np.count_nonzero(centres))
    for some, opinions in dense_opinions(net, intensities, coordinates, centres, config):
        add_votes(ballot, opinions, some, offsets)
        n_done += len(some)
        progress(n_done / n_centres)
    return mean_votes(ballot), ballot.counts[:-1].cpu().numpy()


def _silent(_done: float) -> None:
    """Show nothing."""
