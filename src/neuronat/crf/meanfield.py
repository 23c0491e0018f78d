"""Refine class probabilities by a fully connected conditional random field, in mean-field approximation.

Every voxel sends a *message* to every other one: be of my class. Its weight falls with their distance, and in the
appearance kernel also with the difference of their grey values, so that borders settle where the image has edges.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from neuronat.crf.lattice import Lattice, add_filtered, build_lattice, workspace
from neuronat.crf.loops import LANES, normalize
from neuronat.errors import ConfigError, ShapeError, UnusableInputError

__all__ = ["CrfConfig", "refine", "refine_voxels"]

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class CrfConfig:
    """Weight and reach of the two kernels ([DENSECRF] eq. 3), and the number of mean-field iterations.

    A reach, and the contrast, are standard deviations; the contrast is in units of the normalized intensity, in which
    white matter is 1. A weight is the largest change of a log probability that the kernel's messages can bring about,
    where all voxels around agree; 0 switches the kernel off.
    """

    appearance_weight: float = 4.0
    appearance_reach_mm: float = 4.0
    appearance_contrast: float = 0.1
    smoothness_weight: float = 2.0
    smoothness_reach_mm: float = 1.0
    iterations: int = 5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            least = "at least 0" if name.endswith("weight") else "above 0"
            if not is_number or value < 0 or (value == 0 and least == "above 0"):
                raise ConfigError(f"CrfConfig.{name} must be a number {least}; got {value!r}")
        if not isinstance(self.iterations, int):
            raise ConfigError(f"CrfConfig.iterations must be a whole number; got {self.iterations!r}")


@dataclass(frozen=True, eq=False)
class Kernel:
    """A normalized kernel: its lattice, the scales (N,) before and behind the filter, and its self weight (N,)."""

    lattice: Lattice
    scales: tuple[Floats, Floats]
    self_weight: Floats


def refine(
    probabilities: Floats,
    intensities: Floats,
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    config: CrfConfig,
) -> Floats:
    """Refine the probabilities of a volume inside a mask.

    Parameters
    ----------
    probabilities : (C, I, J, K) float32
        Probability of each class, in [0, 1], sums to 1 over C.
    intensities : (I, J, K) float32
        Normalized grey values, white matter 1.
    mask : (I, J, K) bool
        The voxels that take part.
    spacing_mm : (3,) float
        Distance of neighbouring voxels along each axis, in mm.
    config : CrfConfig
        Strength and reach of the kernels.

    Returns
    -------
    (C, I, J, K) float32
        Refined inside the mask, unchanged outside.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.
    UnusableInputError
        If a probability or a grey value inside the mask is not usable, or a spacing is not above 0.

    Notes
    -----
    Source: [DEEPNAT] section on the CRF. See `refine_voxels`, which needs less memory.
    """
    if probabilities.ndim != 4 or not probabilities.shape[1:] == intensities.shape == mask.shape:
        raise ShapeError(
            f"probabilities {probabilities.shape} must be (C, I, J, K) with the extents of the intensities "
            f"{intensities.shape} and of the mask {mask.shape}"
        )
    refined = probabilities.astype(np.float32)
    inside = np.ascontiguousarray(probabilities[:, mask].T)
    refined[:, mask] = refine_voxels(inside, intensities[mask], mask, spacing_mm, config).T
    return refined


def refine_voxels(
    probabilities: Floats,
    intensities: Floats,
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    config: CrfConfig,
    progress: Progress | None = None,
) -> Floats:
    """Refine the probabilities of the N voxels of a mask.

    Parameters
    ----------
    probabilities : (N, C) float32
        Probability of each class, in [0, 1], one row per voxel in the order of `mask.nonzero()`.
    intensities : (N,) float32
        Normalized grey values of these voxels, white matter 1.
    mask : (I, J, K) bool
        Where the voxels are.
    spacing_mm : (3,) float
        Distance of neighbouring voxels along each axis, in mm.
    config : CrfConfig
        Strength and reach of the kernels.
    progress : callable, optional
        Called after each iteration with the number done and the number to do.

    Returns
    -------
    (N, C) float32
        Refined probabilities, sum to 1 over C. A class of probability 0 keeps it, and a row of zeros stays one.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.
    UnusableInputError
        If a probability or a grey value is not usable, or a spacing is not above 0.

    Notes
    -----
    Source: [DENSECRF] eq. 3 (kernels), algorithm 1 (mean field), Potts compatibility. With the kernel
    K = exp(-|x_i - x_j|^2 / 2 reach^2 [- (I_i - I_j)^2 / 2 contrast^2]) and its row sums D, the message is

        message_i = sum over j other than i of K_ij / sqrt(D_i D_j) refined_j
        refined_i = probabilities_i exp(sum of weight x message_i) / (sum over C of the same)

    Ours: the symmetric normalization, and the filter in place of the permutohedral lattice (decision 0005).
    """
    require_fitting(probabilities, intensities, mask, spacing_mm)
    unary = np.ascontiguousarray(probabilities, np.float32)
    kernels, memory = plan_kernels(intensities, mask, spacing_mm, config)
    blocks = split_channels(unary)
    order = np.arange(len(blocks) - 1)
    for iteration in range(config.iterations):
        pass_messages(kernels, blocks, order, memory)
        normalize(unary, blocks, order)
        if progress is not None:
            progress(iteration + 1, config.iterations)
    del kernels, memory
    return join_channels(blocks, order, n_channels=unary.shape[1])


def require_fitting(
    probabilities: Floats,
    intensities: Floats,
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> None:
    """Raise unless the inputs of `refine_voxels` fit each other and can be used."""
    n_voxels = int(np.count_nonzero(mask))
    if mask.ndim != 3 or mask.dtype != np.bool_:
        raise ShapeError(f"the mask must be a 3D array of bool; got {mask.dtype} {mask.shape}")
    if probabilities.ndim != 2 or len(probabilities) != n_voxels or intensities.shape != (n_voxels,):
        raise ShapeError(
            f"a mask of {n_voxels} voxels needs probabilities ({n_voxels}, C) and intensities ({n_voxels},); "
            f"got {probabilities.shape} and {intensities.shape}"
        )
    if len(spacing_mm) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing_mm):
        raise UnusableInputError(f"the spacing must be three numbers of mm above 0; got {spacing_mm}")
    if not np.isfinite(intensities).all():
        raise UnusableInputError("the intensities hold NaN or infinity inside the mask; mend the image first")
    low, high = probabilities.min(initial=0), probabilities.max(initial=0)
    if not (low >= 0 and high <= 1.001):
        raise UnusableInputError(f"probabilities must lie in [0, 1]; they go from {low} to {high}")


def plan_kernels(
    intensities: Floats,
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    config: CrfConfig,
) -> tuple[list[Kernel], Floats]:
    """Return the kernels whose weight is not 0, and the memory to filter with them."""
    plans: list[tuple[float, Lattice]] = []
    if config.appearance_weight > 0:
        reach, contrast = config.appearance_reach_mm, config.appearance_contrast
        values = intensities.astype(np.float32)
        lattice = build_lattice(mask, spacing_mm, reach_mm=reach, intensities=values, contrast=contrast)
        plans.append((config.appearance_weight, lattice))
    if config.smoothness_weight > 0:
        lattice = build_lattice(mask, spacing_mm, reach_mm=config.smoothness_reach_mm)
        plans.append((config.smoothness_weight, lattice))
    memory = workspace([lattice for _, lattice in plans])
    return [normalize_kernel(lattice, weight, memory) for weight, lattice in plans], memory


def normalize_kernel(lattice: Lattice, weight: float, memory: Floats) -> Kernel:
    """Scale a kernel by one over the square roots of its row sums, on both sides, and by its weight."""
    ones = np.ones((len(lattice.self_weight), LANES), np.float32)
    row_sums = np.zeros_like(ones)
    add_filtered(lattice, ones, row_sums, (ones[:, 0].copy(), ones[:, 0].copy()), memory)
    inner = (1 / np.sqrt(row_sums[:, 0])).astype(np.float32)
    outer = (weight * inner).astype(np.float32)
    return Kernel(lattice, (inner, outer), lattice.self_weight * inner * outer)


def pass_messages(kernels: list[Kernel], blocks: Floats, order: NDArray[np.int64], memory: Floats) -> None:
    """Replace the probabilities in the blocks by the weighted messages; `order` says where each block went."""
    n_voxels = blocks.shape[1]
    self_weight = sum((kernel.self_weight for kernel in kernels), np.zeros(n_voxels, np.float32))
    spare = len(order) * (len(order) + 1) // 2 - int(order.sum())
    for b, at in enumerate(order):
        np.multiply(blocks[at], -self_weight[:, None], out=blocks[spare])
        for kernel in kernels:
            add_filtered(kernel.lattice, blocks[at], blocks[spare], kernel.scales, memory)
        order[b], spare = spare, int(at)


def split_channels(rows: Floats) -> Floats:
    """Split (N, C) into (B + 1, N, LANES), zero where there is no channel; the last block is spare."""
    n_voxels, n_channels = rows.shape
    n_blocks = -(-n_channels // LANES)
    blocks = np.zeros((n_blocks + 1, n_voxels, LANES), np.float32)
    for b in range(n_blocks):
        part = rows[:, b * LANES : (b + 1) * LANES]
        blocks[b, :, : part.shape[1]] = part
    return blocks


def join_channels(blocks: Floats, order: NDArray[np.int64], *, n_channels: int) -> Floats:
    """Join the blocks in the given order into (N, C)."""
    rows = np.empty((blocks.shape[1], n_channels), np.float32)
    for b, at in enumerate(order):
        part = rows[:, b * LANES : (b + 1) * LANES]
        part[...] = blocks[at, :, : part.shape[1]]
    return rows
