"""From the last convolution's variants to what the first fully connected layer reads: cells of neighbouring centres.

All variants of a phase stand in one table, a row of channels per cell. A *reading* says which cells are read along
an axis, seen from a centre: how many cells on, and whether in the variant "last" (see `nets.shared`), where a
patch's last cell stands at the patch's own centre.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["OF_A_CENTRE", "OF_A_PAIR", "Reading", "cell_rows", "cell_table"]

Reading = tuple[tuple[int, bool], ...]
OF_A_CENTRE: Reading = ((0, False), (1, False), (0, True))
OF_A_PAIR: Reading = ((0, False), (0, True), (1, False), (2, False), (1, True))
"""What two neighbouring centres read together; the cell in the middle is read by both."""


def cell_table(variants: list[Tensor]) -> Tensor:
    """Return the 8 variants (1, F, ., ., .) of one block as one table (R, F), in their order."""
    return torch.cat([variant[0].movedim(0, -1).flatten(0, 2) for variant in variants])


def cell_rows(centres: NDArray[np.int64], counts: tuple[int, int, int], reading: Reading) -> NDArray[np.int64]:
    """Find the cells of centres in the table of their phase.

    Parameters
    ----------
    centres : (N, 3) int64
        Centres, counted within the phase.
    counts : (n_i, n_j, n_k)
        How many centres the phase has along each axis.
    reading : Reading
        The m cells to read along each axis. A cell beyond the last centre is replaced by the last one.

    Returns
    -------
    (N, m^3) int64
        Rows of `cell_table`, cells in C order.

    Notes
    -----
    Source: ours; `OF_A_CENTRE` reads the cells of `nets.shared.lattice_cells`.
    """
    steps = np.array([step for step, _ in reading])
    lasts = np.array([is_last for _, is_last in reading])
    extents = [np.where(lasts, n, n + 2) for n in counts]
    i, j, k = (np.minimum(centres[:, axis, None] + steps, extents[axis] - 1) for axis in range(3))
    n_j, n_k = extents[1][:, None], extents[2]
    rows: NDArray[np.int64] = (i[:, :, None, None] * n_j + j[:, None, :, None]) * n_k + k[:, None, None, :]
    rows += _table_starts(counts)[np.ix_(lasts.astype(int), lasts.astype(int), lasts.astype(int))]
    return rows.reshape(len(centres), -1)


def _table_starts(counts: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the first row of each variant, indexed (2, 2, 2) by whether it is "last" along each axis."""
    starts, total = np.zeros((2, 2, 2), np.int64), 0
    for k, j, i in np.ndindex(2, 2, 2):  # the variants' own order: bit 0 stands for axis 0
        starts[i, j, k] = total
        total += int(np.prod([n if last else n + 2 for n, last in zip(counts, (i, j, k), strict=True)]))
    return starts
