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

__all__ = ["Ballot", "add_votes", "mean_votes", "open_ballot"]


@dataclass(frozen=True, eq=False)
class Ballot:
    """Votes so far: total (V, C) and counts (V,) float32; rows (I+2, J+2, K+2) int64, -1 where nobody may vote."""

    total: Tensor
    counts: Tensor
    rows: Tensor


def open_ballot(mask: NDArray[np.bool_], n_classes: int, device: torch.device) -> Ballot:
    """Return a ballot without votes for the V voxels of a mask (I, J, K), rows in the order of `np.argwhere`."""
    rows = torch.full(tuple(extent + 2 for extent in mask.shape), -1, dtype=torch.int64)
    inside = torch.from_numpy(np.ascontiguousarray(mask))
    n_voxels = int(inside.sum())
    rows[1:-1, 1:-1, 1:-1][inside] = torch.arange(n_voxels)
    return Ballot(
        torch.zeros(n_voxels, n_classes, device=device), torch.zeros(n_voxels, device=device), rows.to(device)
    )


def add_votes(ballot: Ballot, opinions: Tensor, centres: Tensor, offsets: Tensor) -> None:
    """Add the opinions of N patches to a ballot, in place.

    Parameters
    ----------
    ballot : Ballot
        Votes so far.
    opinions : (N, T, C) float32
        Probability of C classes at T task voxels of N patches.
    centres, offsets : (N, 3), (T, 3) int64
        Patch centres ijk, inside the volume; task voxels relative to the centre, within -1..1.

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
    for task, offset in enumerate(offsets):
        i, j, k = (centres + offset + 1).unbind(1)
        rows = ballot.rows[i, j, k]
        heard = rows >= 0
        ballot.total.index_add_(0, rows[heard], opinions[heard, task])
        ballot.counts.index_add_(0, rows[heard], torch.ones_like(ballot.counts[:1]).expand(int(heard.sum())))


def mean_votes(ballot: Ballot) -> NDArray[np.float32]:
    """Return the mean opinion (V, C) float32 of each voxel; zero where nobody voted.

    Notes
    -----
    Source: [DEEPNAT] weighted majority voting.

    Examples
    --------
    >>> ballot = open_ballot(np.array([[[True]], [[True]], [[False]]]), 1, torch.device("cpu"))
    >>> opinions = torch.tensor([[[1.0], [0.5]], [[0.0], [0.5]]])
    >>> centres, offsets = torch.tensor([[1, 0, 0], [0, 0, 0]]), torch.tensor([[0, 0, 0], [-1, 0, 0]])
    >>> add_votes(ballot, opinions, centres, offsets)
    >>> mean_votes(ballot).tolist()
    [[0.25], [1.0]]
    """
    mean: NDArray[np.float32] = (ballot.total / ballot.counts.clamp(min=1)[:, None]).cpu().numpy()
    return mean
