"""The first fully connected layer, half of all the work, at the centres of a phase.

A centre reads, along each axis, its cells x0 and x1 and its last cell l0 with the weights a0, a1, a2; its neighbour
reads x1, x2 and l1 with the same weights. Calculated together they need five products instead of six:

    y0 = a0 (x0 - x1) + a2 l0  +  (a0 + a1) x1
    y1 = a1 (x2 - x1) + a2 l1  +  (a0 + a1) x1

Along three axes, a block of 2 x 2 x 2 centres needs 125 products of a cell with its weights instead of 216.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.infer.cells import OF_A_CENTRE, OF_A_PAIR, cell_rows

__all__ = ["HiddenLayer", "Part", "hidden_values", "make_hidden_layer", "plan_parts"]

GROUPS = (slice(0, 2), slice(2, 3), slice(3, 5))  # of the cells OF_A_PAIR: the first's own, both's, the second's
READERS = (slice(0, 1), slice(0, 2), slice(1, 2))  # which of the two reads the group
FROM_WEIGHTS = ((1.0, 0, 0), (0, 0, 1.0), (1.0, 1.0, 0), (0, 1.0, 0), (0, 0, 1.0))  # OF_A_PAIR's, from a0, a1, a2


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    """weights (27 * F, H), cells before channels; groups: 27 matrices (. * F, H) for blocks; bias (H,)."""

    weights: Tensor
    groups: tuple[Tensor, ...]
    bias: Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """Some centres of a phase (N, 3) int64, and the B blocks they lie in, or None to take the centres one by one.

    blocks (B, 3): first centres of the blocks; places (N,): where the centres stand among the blocks' (2, 2, 2, B).
    """

    centres: NDArray[np.int64]
    blocks: NDArray[np.int64] | None
    places: NDArray[np.int64]


def make_hidden_layer(weights: Tensor, bias: Tensor) -> HiddenLayer:
    """Return the layer from its weights (27, F, H), cells in C order, and its bias (H,)."""
    pair = torch.tensor(FROM_WEIGHTS, dtype=weights.dtype, device=weights.device)
    cube = torch.unflatten(weights, 0, (3, 3, 3))
    for axis in range(3):
        cube = torch.tensordot(pair, cube.movedim(axis, 0), 1).movedim(0, axis)
    groups = [cube[group].flatten(0, 3).contiguous() for group in itertools.product(GROUPS, repeat=3)]
    return HiddenLayer(weights.flatten(0, 1).contiguous(), tuple(groups), bias.contiguous())


def plan_parts(inside: NDArray[np.bool_], size: int, *, in_blocks: bool) -> Iterator[Part]:
    """Divide the wanted centres of a phase into parts of about equal size.

    Parameters
    ----------
    inside : (n_i, n_j, n_k) bool
        Which centres are wanted.
    size : int
        About how many centres a part holds.
    in_blocks : bool
        Whether centres may share products; they do where that is less work.

    Yields
    ------
    Part
        Each wanted centre stands in one part.

    Notes
    -----
    Source: ours (decision 0008).
    """
    even = np.pad(inside, [(0, n % 2) for n in inside.shape])
    n_i, n_j, n_k = (n // 2 for n in even.shape)
    members = even.reshape(n_i, 2, n_j, 2, n_k, 2).transpose(0, 2, 4, 1, 3, 5)
    blocks = np.argwhere(members.any(axis=(3, 4, 5)))
    if not in_blocks or 125 * len(blocks) >= 27 * np.count_nonzero(inside):
        centres = np.argwhere(inside)
        for start in range(0, len(centres), size):
            yield Part(centres[start : start + size], None, np.zeros(0, np.int64))
        return
    for start in range(0, len(blocks), max(size // 8, 1)):
        some = blocks[start : start + max(size // 8, 1)]
        i, j, k, block = np.nonzero(members[tuple(some.T)].transpose(1, 2, 3, 0))
        centres = 2 * some[block] + np.stack([i, j, k], 1)
        yield Part(centres, 2 * some, ((2 * i + j) * 2 + k) * len(some) + block)


def hidden_values(layer: HiddenLayer, table: Tensor, counts: tuple[int, int, int], part: Part) -> Tensor:
    """Return the layer's values (N, H), after the ReLU, at the centres of a part.

    Parameters
    ----------
    layer : HiddenLayer
        The layer.
    table : (R, F) float
        The phase's `cell_table`.
    counts : (n_i, n_j, n_k)
        How many centres the phase has along each axis.
    part : Part
        The centres.

    Returns
    -------
    (N, H) float

    Notes
    -----
    Source: ours (decision 0008).
    """
    if part.blocks is None:
        cells = _gather(table, cell_rows(part.centres, counts, OF_A_CENTRE))
        return torch.addmm(layer.bias, cells.flatten(1), layer.weights).relu_()
    cells = torch.unflatten(_gather(table, cell_rows(part.blocks, counts, OF_A_PAIR)), 1, (5, 5, 5))
    for axis in (1, 2, 3):
        before, _, between, after, _ = cells.unbind(axis)
        before -= between
        after -= between
    values = layer.bias.expand(2, 2, 2, len(cells), -1).clone()
    for group, readers, weights in zip(
        itertools.product(GROUPS, repeat=3), itertools.product(READERS, repeat=3), layer.groups, strict=True
    ):
        values[readers] += cells[:, *group].flatten(1) @ weights
    return values.flatten(0, 3).index_select(0, torch.from_numpy(part.places).to(table.device)).relu_()


def _gather(table: Tensor, rows: NDArray[np.int64]) -> Tensor:
    """Return the cells (N, m, F) from their rows (N, m) in a table."""
    cells = table.index_select(0, torch.from_numpy(rows.reshape(-1)).to(table.device))
    return torch.unflatten(cells, 0, rows.shape)
