"""From the last convolution's variants to what the first fully connected layer reads: 27 cells per centre.

All variants of a phase stand in one table, a row of channels per cell, so a centre is 27 row numbers.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["cell_rows", "cell_table", "gather_cells"]


def cell_table(variants: list[Tensor]) -> Tensor:
    """Return the 8 variants (1, F, ., ., .) of one block as one table (R, F), in their order."""
    return torch.cat([variant[0].movedim(0, -1).flatten(0, 2) for variant in variants])


def cell_rows(lattice: NDArray[np.int64], counts: tuple[int, int, int]) -> NDArray[np.int64]:
    """Find the 27 cells of centres in the table of their phase.

    Parameters
    ----------
    lattice : (N, 3) int64
        Centres, counted within the phase.
    counts : (n_i, n_j, n_k)
        How many centres the phase has along each axis.

    Returns
    -------
    (N, 27) int64
        Rows of `cell_table`, cells in C order.

    Notes
    -----
    Source: ours; the same cells as `nets.shared.lattice_cells`.
    """
    lasts = [tuple(subset >> axis & 1 for axis in range(3)) for subset in range(8)]
    shapes = np.array([[n if last else n + 2 for n, last in zip(counts, subset, strict=True)] for subset in lasts])
    tables = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))[:-1]])
    starts, strides = [], []
    for cell in np.ndindex(3, 3, 3):
        is_last = [step == 2 for step in cell]
        number = lasts.index((int(is_last[0]), int(is_last[1]), int(is_last[2])))
        _, n_j, n_k = shapes[number]
        stride = np.array([n_j * n_k, n_k, 1])
        first = np.where(is_last, 0, cell)  # a last variant begins at the first centre's last cell
        starts.append(tables[number] + first @ stride)
        strides.append(stride)
    rows: NDArray[np.int64] = np.array(starts) + lattice @ np.array(strides).T
    return rows


def gather_cells(table: Tensor, rows: Tensor) -> Tensor:
    """Return the cells (N, 27 * F) of N centres from their rows (N, 27)."""
    return table.index_select(0, rows.flatten()).view(len(rows), -1)
