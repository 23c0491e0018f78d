"""The compiled loops of the filter and of the mean field; what they mean is told in `lattice` and `meanfield`.

A *block* is LANES channels of all voxels, a *row* the LANES values of one voxel or cell. All of them stand in this one
module because numba's cache of a function looks at the function's own file alone. Inner loops run over contiguous
memory, with unsigned indices and a length known only at run time: these the compiler turns into vector instructions.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy import uintp
from numpy.typing import NDArray

from neuronat.crf.compiled import compiled, inlined

__all__ = ["LANES", "Cells", "blur", "normalize", "slice_cells", "splat"]

LANES = 16  # one cache line of float32
STRIP = 512  # numbers that are blurred side by side
JOBS = 64  # pieces of work that the threads share out

Floats = NDArray[np.float32]


class Cells(NamedTuple):
    """Where N voxels lie between the cells of a lattice.

    lowest (N,) int64: the lowest of the cells around a voxel; shares (N, 4) float32: the part of the upper cell along
    each axis; steps (4,) int64: from a cell to the next one along each axis; starts (G,) int64: voxels starts[g] to
    starts[g + 1] lie between the planes g and g + 1 of the first axis; n_levels: 2 if a voxel lies between two cells
    of the fourth axis, 1 if that has only one.
    """

    lowest: NDArray[np.int64]
    shares: Floats
    steps: NDArray[np.int64]
    starts: NDArray[np.int64]
    n_levels: int


@inlined
def corner_share(cells: Cells, n: int, corner: int) -> Any:
    """Return the share of one of the 8 corners in space around voxel n; the corner's bits say where it is upper."""
    one = np.float32(1)  # a plain 1 would turn everything into double precision
    i, j, k = cells.shares[n, 0], cells.shares[n, 1], cells.shares[n, 2]
    return (i if corner & 4 else one - i) * (j if corner & 2 else one - j) * (k if corner & 1 else one - k)


@inlined
def corner_start(cells: Cells, n: int, corner: int) -> Any:
    """Return where the row of that corner begins, as an index into all numbers of a lattice."""
    i, j, k = corner >> 2, (corner >> 1) & 1, corner & 1
    return LANES * (cells.lowest[n] + i * cells.steps[0] + j * cells.steps[1] + k * cells.steps[2])


@inlined
def splat_span(
    values: Floats, scale: Floats, cells: Cells, span: tuple[int, int], origin: int, numbers: Floats
) -> None:
    """Do the work of `splat` for the voxels span[0] to span[1]; the numbers begin at the index `origin`."""
    lanes = values.shape[1]
    pair = np.empty(2 * lanes, np.float32)
    for n in range(span[0], span[1]):
        upper = scale[n] * cells.shares[n, 3]
        lower = scale[n] - upper
        for x in range(lanes):
            pair[uintp(x)] = lower * values[uintp(n), uintp(x)]
        for x in range(lanes):
            pair[uintp(lanes + x)] = upper * values[uintp(n), uintp(x)]
        for corner in range(8):
            share = corner_share(cells, n, corner)
            if share != 0:
                at = corner_start(cells, n, corner) - origin
                for x in range(cells.n_levels * lanes):
                    numbers[uintp(at + x)] += share * pair[uintp(x)]


@compiled
def splat(values: Floats, scale: Floats, cells: Cells, planes: tuple[int, int], numbers: Floats) -> None:
    """Hand the scaled rows of voxels (N, LANES) to the cells around them.

    The numbers (M,) are the rows of all cells from plane planes[0] to planes[1] of the first axis; voxels take part
    that lie between two of these.

    Notes
    -----
    Source: ours.
    """
    low, high = planes
    step = LANES * cells.steps[0]
    for g in numba.prange(high - low + 1):
        numbers[g * step : (g + 1) * step] = 0
    for colour in range(2):  # voxels of every other plane share no cell, so that threads do not meet
        for half in numba.prange((high - low + 1 - colour) // 2):
            g = low + 2 * half + colour
            splat_span(values, scale, cells, (cells.starts[g], cells.starts[g + 1]), low * step, numbers)


@inlined
def slice_span(
    numbers: Floats, origin: int, scale: Floats, cells: Cells, span: tuple[int, int], target: Floats
) -> None:
    """Do the work of `slice_cells` for the voxels span[0] to span[1]; the numbers begin at the index `origin`."""
    lanes = target.shape[1]
    pair = np.empty(2 * lanes, np.float32)
    for n in range(span[0], span[1]):
        for x in range(2 * lanes):
            pair[uintp(x)] = 0
        for corner in range(8):
            share = corner_share(cells, n, corner)
            if share != 0:
                at = corner_start(cells, n, corner) - origin
                for x in range(cells.n_levels * lanes):
                    pair[uintp(x)] += share * numbers[uintp(at + x)]
        upper = scale[n] * cells.shares[n, 3]
        lower = scale[n] - upper
        for x in range(lanes):
            target[uintp(n), uintp(x)] += lower * pair[uintp(x)] + upper * pair[uintp(lanes + x)]


@compiled
def slice_cells(numbers: Floats, low: int, scale: Floats, cells: Cells, span: tuple[int, int], target: Floats) -> None:
    """Add to the rows span[0] to span[1] of the target (N, LANES) what the cells around these voxels hold, scaled.

    The numbers (M,) begin at plane `low` of the first axis.

    Notes
    -----
    Source: ours.
    """
    start, stop = span
    for job in numba.prange(JOBS):
        part = start + (stop - start) * job // JOBS, start + (stop - start) * (job + 1) // JOBS
        slice_span(numbers, low * LANES * cells.steps[0], scale, cells, part, target)


@inlined
def mix_near(line: Floats, at: int, step: int, taps: Floats, target: Floats) -> None:
    """Write line[at] + ..., and its neighbours up to three steps away, each with its tap, to the target."""
    n = len(target)
    here = line[at : at + n]
    down1, up1 = line[at - step : at - step + n], line[at + step : at + step + n]
    down2, up2 = line[at - 2 * step : at - 2 * step + n], line[at + 2 * step : at + 2 * step + n]
    down3, up3 = line[at - 3 * step : at - 3 * step + n], line[at + 3 * step : at + 3 * step + n]
    tap0, tap1, tap2, tap3 = taps[0], taps[1], taps[2], taps[3]
    for x in range(n):
        target[x] = (
            tap0 * here[x] + tap1 * (down1[x] + up1[x]) + tap2 * (down2[x] + up2[x]) + tap3 * (down3[x] + up3[x])
        )


@inlined
def add_far(line: Floats, at: int, step: int, taps: Floats, target: Floats) -> None:
    """Add the neighbours from four steps away on; three distances at a time, as many as there are registers for."""
    n = len(target)
    for d in range(4, len(taps), 3):
        down, up = at - d * step, at + d * step
        down1, up1 = line[down : down + n], line[up : up + n]
        down2, up2 = line[down - step : down - step + n], line[up + step : up + step + n]
        down3, up3 = line[down - 2 * step : down - 2 * step + n], line[up + 2 * step : up + 2 * step + n]
        tap1, tap2, tap3 = taps[d], taps[d + 1], taps[d + 2]
        for x in range(n):
            target[x] += tap1 * (down1[x] + up1[x]) + tap2 * (down2[x] + up2[x]) + tap3 * (down3[x] + up3[x])


@compiled
def blur(numbers: Floats, extents: tuple[int, int, int], taps: Floats) -> None:
    """Blur numbers that stand for an array (outer, length, inner) along its middle axis, in place; 4 + 3 n taps."""
    outer, length, inner = extents
    width = min(STRIP, inner)
    n_strips = -(-inner // width)
    rows = length if n_strips == 1 else 1  # rows that lie one behind the other are treated as one
    margin = (len(taps) - 1) * width
    for job in numba.prange(JOBS):
        line = np.zeros(length * width + 2 * margin, np.float32)
        for number in range(outer * n_strips * job // JOBS, outer * n_strips * (job + 1) // JOBS):
            start = (number % n_strips) * width
            n = min(width, inner - start) * rows
            start += (number // n_strips) * length * inner
            for row in range(0, length, rows):
                at = margin + row * width
                line[at : at + n] = numbers[start + row * inner : start + row * inner + n]
            for row in range(0, length, rows):
                target = numbers[start + row * inner : start + row * inner + n]
                mix_near(line, margin + row * width, width, taps, target)
                add_far(line, margin + row * width, width, taps, target)


@inlined
def weigh_row(probabilities: Floats, row: Floats) -> None:
    """Replace the energies of one voxel by its probabilities; classes of probability 0 keep it."""
    top = np.float32(-np.inf)
    for c in range(len(row)):
        if probabilities[c] > 0 and row[c] > top:
            top = row[c]
    total = np.float32(0)
    for c in range(len(row)):
        row[c] = probabilities[c] * np.exp(row[c] - top) if probabilities[c] > 0 else np.float32(0)
        total += row[c]
    if total > 0:
        for c in range(len(row)):
            row[c] /= total


@compiled
def normalize(probabilities: Floats, blocks: Floats, order: NDArray[np.int64]) -> None:
    """Replace energies e by p exp(e) / sum(p exp(e)), in place.

    probabilities (N, C); channel c of the energies is lane c % LANES of blocks[order[c // LANES]].

    Notes
    -----
    Source: ours.
    """
    n_voxels, n_channels = probabilities.shape
    for job in numba.prange(JOBS):
        row = np.zeros(len(order) * LANES, np.float32)
        for n in range(n_voxels * job // JOBS, n_voxels * (job + 1) // JOBS):
            for b in range(len(order)):
                row[b * LANES : (b + 1) * LANES] = blocks[order[b], n]
            weigh_row(probabilities[n], row[:n_channels])
            for b in range(len(order)):
                blocks[order[b], n] = row[b * LANES : (b + 1) * LANES]
