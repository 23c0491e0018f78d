"""Put the opinions of many patches together, voxel by voxel.

DeepNAT labels the centre of a patch and its neighbours, so a voxel hears several opinions. They are summed as they
come, one row per voxel of the mask, and divided by their number at the end.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.errors import ShapeError

__all__ = ["Ballot", "add_votes", "mean_votes", "open_ballot", "vote"]


@dataclass(frozen=True, eq=False)
class Ballot:
    """Votes so far, filled in place: total (V + 1, C) and counts (V + 1,); the last row takes the votes to drop.

    rows (I+2, J+2, K+2) int64: each voxel's row, the volume padded by one voxel of the last row.
    """

    total: Tensor
    counts: Tensor
    rows: Tensor


def open_ballot(mask: NDArray[np.bool_], n_classes: int, device: torch.device) -> Ballot:
    """Return a ballot without votes for the V voxels of a mask (I, J, K), rows in the order of `np.argwhere`."""
    n_voxels = int(np.count_nonzero(mask))
    rows = np.full(tuple(extent + 2 for extent in mask.shape), n_voxels)
    rows[1:-1, 1:-1, 1:-1][mask] = np.arange(n_voxels)
    total = torch.zeros(n_voxels + 1, n_classes, device=device)
    return Ballot(total, torch.zeros(n_voxels + 1, device=device), torch.from_numpy(rows).to(device))


def add_votes(ballot: Ballot, opinions: Tensor, centres: Tensor, offsets: Tensor) -> None:
    """Add the opinions of N patches to a ballot, in place.

    Parameters
    ----------
    ballot : Ballot
        Votes so far.
    opinions : (N, T, C) float
        Probability of C classes at T task voxels of N patches.
    centres, offsets : (N, 3), (T, 3) int64
        Patch centres ijk; task voxels relative to the centre.

    Raises
    ------
    ShapeError
        If the arrays disagree on N, T or C.

    Notes
    -----
    Source: [DEEPNAT] multi-task learning. Ours: votes outside the mask are dropped (decision 0007).
    """
    n, t, c = opinions.shape
    if centres.shape != (n, 3) or offsets.shape != (t, 3) or c != ballot.total.shape[1]:
        raise ShapeError(
            f"opinions {tuple(opinions.shape)} need centres ({n}, 3), offsets ({t}, 3) and a ballot of {c} classes; "
            f"got {tuple(centres.shape)}, {tuple(offsets.shape)} and {ballot.total.shape[1]}"
        )
    ones = torch.ones_like(ballot.counts[:1]).expand(n)
    border = torch.tensor(ballot.rows.shape, device=centres.device) - 1
    for task, offset in enumerate(offsets):  # one by one: the order of the sums is then fixed on every device
        i, j, k = (centres + offset + 1).clamp(min=torch.zeros_like(border), max=border).unbind(1)
        rows = ballot.rows[i, j, k]
        ballot.total.index_add_(0, rows, opinions[:, task].to(ballot.total.dtype))
        ballot.counts.index_add_(0, rows, ones)


def mean_votes(ballot: Ballot) -> NDArray[np.float32]:
    """Return the mean opinion (V, C) float32 of each voxel; zero where nobody voted.

    Notes
    -----
    Source: [DEEPNAT] weighted majority voting.
    """
    mean: NDArray[np.float32] = (ballot.total / ballot.counts.clamp(min=1)[:, None])[:-1].cpu().numpy()
    return mean


def vote(
    opinions: NDArray[np.float32],
    centres: NDArray[np.int64],
    offsets: NDArray[np.int64],
    shape: tuple[int, int, int],
) -> NDArray[np.float32]:
    """Average the opinions that each voxel of a volume received, all at once.

    Parameters
    ----------
    opinions : (N, T, C) float32
        Probability of C classes at T task voxels of N patches.
    centres, offsets : (N, 3), (T, 3) int64
        Patch centres as voxel indices ijk; task voxels relative to the centre.
    shape : (I, J, K)
        Size of the volume, in voxels.

    Returns
    -------
    (C, I, J, K) float32
        Mean probability; zero where nobody voted.

    Raises
    ------
    ShapeError
        If the arrays disagree on N or T.

    Notes
    -----
    Source: [DEEPNAT] multi-task learning. Ours: votes outside the volume are dropped (decision 0007).

    Examples
    --------
    >>> opinions = np.array([[[1.0], [0.5]], [[0.0], [0.0]]], np.float32)
    >>> centres, offsets = np.array([[1, 0, 0], [2, 0, 0]]), np.array([[0, 0, 0], [-1, 0, 0]])
    >>> vote(opinions, centres, offsets, (3, 1, 1)).ravel().tolist()
    [0.5, 0.5, 0.0]
    """
    ballot = open_ballot(np.ones(shape, np.bool_), opinions.shape[2], torch.device("cpu"))
    add_votes(ballot, torch.from_numpy(opinions), torch.from_numpy(centres), torch.from_numpy(offsets))
    return np.ascontiguousarray(mean_votes(ballot).T).reshape(-1, *shape)
