"""Where a voxel is in the world: spacing, orientation, obliquity, and whether two grids are the same.

An affine takes voxel indices ijk to world millimetres, RAS+ (x to the right, y to the front, z up). Its first
three columns are the steps of one voxel along i, j and k.
"""

from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AxisMoves",
    "axis_codes",
    "corners_mm",
    "describe_grid",
    "ijk_to_xyz_mm",
    "is_same_grid",
    "nearest_axes",
    "obliquity_degrees",
    "reorient",
    "reoriented_affine",
    "shear_degrees",
    "spacing_mm",
    "undo_reorient",
    "voxel_volume_mm3",
    "xyz_mm_to_ijk",
]

LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class AxisMoves:
    """How to permute and flip an array so that its axes run nearest to right, front and up.

    `order[a]` is the voxel axis that becomes axis a; `flips[a]` says whether it is reversed on the way.
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]


def spacing_mm(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length in mm of one voxel step along i, j and k, from the affine alone.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> spacing_mm(np.diag([-2.0, 3.0, 0.5, 1.0])).tolist()
    [2.0, 3.0, 0.5]
    """
    return np.asarray(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)), np.float64)


def voxel_volume_mm3(affine: NDArray[np.float64]) -> float:
    """Return the volume of one voxel, |det| of the affine; never from the header's zooms.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> round(voxel_volume_mm3(np.diag([-2.0, 3.0, 0.5, 1.0])), 9)
    3.0
    """
    return float(abs(np.linalg.det(affine[:3, :3])))


def nearest_axes(affine: NDArray[np.float64]) -> AxisMoves:
    """Return the permutation and flips that bring the voxel axes nearest to RAS+.

    Parameters
    ----------
    affine : (4, 4) float64
        Voxel to world mm, RAS+.

    Returns
    -------
    AxisMoves
        The assignment with the largest sum of |cosines| between voxel and world axes.

    Notes
    -----
    Source: ours. A tie (45 degrees) goes to the moves whose reoriented matrix is lexicographically largest,
    so that all 48 stored orders of one scan end in one and the same array.
    """
    cosines = affine[:3, :3] / spacing_mm(affine)
    ranked = []
    for i, j, k in permutations(range(3)):
        diagonal = cosines[np.arange(3), [i, j, k]]
        signs = np.where(diagonal < 0, -1.0, 1.0)
        turned = np.round(cosines[:, [i, j, k]] * signs, 6).ravel().tolist()
        flips = (bool(signs[0] < 0), bool(signs[1] < 0), bool(signs[2] < 0))
        ranked.append((round(float(np.abs(diagonal).sum()), 6), turned, AxisMoves((i, j, k), flips)))
    return max(ranked, key=lambda entry: entry[:2])[2]


def axis_codes(affine: NDArray[np.float64]) -> str:
    """Return three letters for the directions in which i, j and k grow, such as `LAS`.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> axis_codes(np.array([[0, 0, -1, 0], [2, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1.0]]))
    'ASL'
    """
    moves = nearest_axes(affine)
    letters = [""] * 3
    for world_axis, (voxel_axis, is_flipped) in enumerate(zip(moves.order, moves.flips, strict=True)):
        letters[voxel_axis] = LETTERS[world_axis][0 if is_flipped else 1]
    return "".join(letters)


def reorient(values: NDArray[Any], moves: AxisMoves) -> NDArray[Any]:
    """Permute and flip (I, J, K) values by `moves`; a view, no value changes."""
    turned = values.transpose(moves.order)
    return turned[tuple(slice(None, None, -1 if flip else None) for flip in moves.flips)]


def undo_reorient(values: NDArray[Any], moves: AxisMoves) -> NDArray[Any]:
    """Undo `reorient`; a view, no value changes."""
    unflipped = values[tuple(slice(None, None, -1 if flip else None) for flip in moves.flips)]
    return unflipped.transpose([moves.order.index(axis) for axis in range(3)])


def reoriented_affine(
    affine: NDArray[np.float64], shape: tuple[int, int, int], moves: AxisMoves
) -> NDArray[np.float64]:
    """Return the affine of an array of `shape` after `reorient`: every voxel keeps its place in the world.

    Notes
    -----
    Source: ours.
    """
    turned = affine.copy()
    for axis, (source, is_flipped) in enumerate(zip(moves.order, moves.flips, strict=True)):
        step = affine[:3, source]
        turned[:3, axis] = -step if is_flipped else step
        if is_flipped:
            turned[:3, 3] += step * (shape[source] - 1)
    return turned


def obliquity_degrees(affine: NDArray[np.float64]) -> float:
    """Return the largest angle between a voxel axis and the world axis nearest to it, in degrees.

    Notes
    -----
    Source: ours.
    """
    cosines = affine[:3, :3] / spacing_mm(affine)
    nearest = np.abs(cosines[np.arange(3), list(nearest_axes(affine).order)])
    return float(np.degrees(np.arccos(np.clip(nearest, 0.0, 1.0))).max())


def shear_degrees(affine: NDArray[np.float64]) -> float:
    """Return by how many degrees the angle between two voxel axes differs from 90, at most.

    Notes
    -----
    Source: ours.
    """
    cosines = affine[:3, :3] / spacing_mm(affine)
    between = np.abs((cosines.T @ cosines)[np.triu_indices(3, 1)])
    return float(np.degrees(np.arcsin(np.clip(between, 0.0, 1.0))).max())


def ijk_to_xyz_mm(affine: NDArray[np.float64], ijk: NDArray[Any]) -> NDArray[np.float64]:
    """Take voxel indices (..., 3) to world mm (..., 3), RAS+."""
    return np.asarray(ijk @ affine[:3, :3].T + affine[:3, 3], np.float64)


def xyz_mm_to_ijk(affine: NDArray[np.float64], xyz_mm: NDArray[Any]) -> NDArray[np.float64]:
    """Take world mm (..., 3), RAS+, to voxel indices (..., 3), not rounded."""
    from_origin = np.asarray(xyz_mm - affine[:3, 3], np.float64).reshape(-1, 3)
    return np.asarray(np.linalg.solve(affine[:3, :3], from_origin.T).T.reshape(xyz_mm.shape), np.float64)


def corners_mm(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the world mm (8, 3) of the centres of the eight corner voxels."""
    return ijk_to_xyz_mm(affine, np.array(list(product(*((0, n - 1) for n in shape))), np.float64))


def is_same_grid(
    first: tuple[tuple[int, ...], NDArray[np.float64]],
    second: tuple[tuple[int, ...], NDArray[np.float64]],
    *,
    tolerance_mm: float = 0.01,
) -> bool:
    """Tell whether two grids, each (shape, affine), hold the same voxels at the same places.

    Parameters
    ----------
    first, second : ((I, J, K), (4, 4) float64)
        Shape and voxel-to-world affine.
    tolerance_mm : float
        How far a corner voxel may lie from its twin; the default forgives headers that differ by rounding.

    Returns
    -------
    bool
        True where shapes agree and no corner is further away than the tolerance.

    Notes
    -----
    Source: ours.
    """
    if first[0] != second[0] or len(first[0]) != 3:
        return False
    i, j, k = first[0]
    apart = corners_mm(first[1], (i, j, k)) - corners_mm(second[1], (i, j, k))
    return bool(np.sqrt((apart**2).sum(axis=1)).max() <= tolerance_mm)


def describe_grid(shape: tuple[int, ...], affine: NDArray[np.float64]) -> str:
    """Say a grid in words for a message: extents, orientation, spacing and the place of the first voxel."""
    extents = " x ".join(str(n) for n in shape)
    steps = " x ".join(f"{s:.4g}" for s in spacing_mm(affine))
    origin = ", ".join(f"{x:.1f}" for x in affine[:3, 3])
    return f"{extents} voxels of {steps} mm, {axis_codes(affine)}, first voxel at ({origin}) mm"
