"""Bring a scan to the working grid and take results back to the scan's own grid.

The **working grid** is 1 mm, RAS. It is reached by permuting and flipping to the nearest axes, so that a 1 mm
scan is never interpolated. An axis is resampled only where its spacing differs from 1 mm by more than 1 %; a
scan that is tilted by more than 20 degrees (or sheared) is resampled along the world axes. Both grids share
the centre of their field of view: nothing shifts (decision 0002).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import GridError, ShapeError
from neuronat.prepare.resample import Order, is_diagonal, largest_share, resample
from neuronat.space.affine import (
    AxisMoves,
    describe_grid,
    nearest_axes,
    obliquity_degrees,
    reorient,
    reoriented_affine,
    shear_degrees,
    spacing_mm,
    undo_reorient,
)
from neuronat.space.volume import Volume

__all__ = [
    "WorkingGrid",
    "labels_to_native",
    "labels_to_working",
    "mask_to_working",
    "plan_grid",
    "to_working",
    "values_to_native",
    "values_to_working",
]

MOST_OBLIQUITY_DEGREES = 20.0
MOST_SHEAR_DEGREES = 1.0
SPACING_TOLERANCE = 0.01
MOST_VOXELS = 2**31


@dataclass(frozen=True, eq=False)
class WorkingGrid:
    """How the scan's own (native) grid and the working grid hang together.

    `working_to_turned` (4, 4) takes working voxel indices to indices of the permuted, flipped native array.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    native_shape: tuple[int, int, int]
    native_affine: NDArray[np.float64]
    moves: AxisMoves
    working_to_turned: NDArray[np.float64]

    @property
    def is_resampled(self) -> bool:
        """Whether values are interpolated on the way; if not, they are only permuted and flipped."""
        return self.turned_shape != self.shape or not np.array_equal(self.working_to_turned, np.eye(4))

    @property
    def is_rotated(self) -> bool:
        """Whether the working axes are not the scan's own."""
        return not is_diagonal(self.working_to_turned[:3, :3])

    @property
    def turned_to_working(self) -> NDArray[np.float64]:
        """Takes indices of the permuted and flipped native array to working indices."""
        return np.asarray(np.linalg.inv(self.working_to_turned), np.float64)

    @property
    def turned_shape(self) -> tuple[int, int, int]:
        """Extents of the native array after permuting."""
        i, j, k = (self.native_shape[axis] for axis in self.moves.order)
        return i, j, k


def plan_grid(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> WorkingGrid:
    """Decide on the working grid of a scan.

    Parameters
    ----------
    affine : (4, 4) float64
        The scan's own affine, voxel to world mm, RAS+.
    shape : (I, J, K)
        The scan's own extents in voxels.

    Returns
    -------
    WorkingGrid
        1 mm (within 1 %), axes nearest to RAS, covering the whole field of view.

    Raises
    ------
    GridError
        If the field of view holds more than 2**31 cubic millimetres.

    Notes
    -----
    Source: ours; the centre rule is decision 0002.

    Examples
    --------
    >>> grid = plan_grid(np.diag([-1.0, 1.0, 2.0, 1.0]), (30, 40, 20))
    >>> grid.shape, grid.affine.diagonal().tolist(), grid.affine[2, 3]
    ((30, 40, 40), [1.0, 1.0, 1.0, 1.0], np.float64(-0.5))
    """
    moves = nearest_axes(affine)
    turned = reoriented_affine(affine, shape, moves)
    turned_shape = np.array([shape[axis] for axis in moves.order])
    is_tilted = obliquity_degrees(affine) > MOST_OBLIQUITY_DEGREES
    is_rotated = is_tilted or shear_degrees(affine) > MOST_SHEAR_DEGREES
    if is_rotated:
        step = np.linalg.inv(turned[:3, :3])
        extents_mm = np.abs(turned[:3, :3]) @ turned_shape
    else:
        spacing = spacing_mm(turned)
        is_kept = np.abs(spacing - 1) <= SPACING_TOLERANCE
        step = np.diag(np.where(is_kept, 1.0, 1 / spacing))
        extents_mm = np.where(is_kept, turned_shape, turned_shape * spacing)
    if np.prod(extents_mm) > MOST_VOXELS:
        raise GridError(f"a scan of {describe_grid(shape, affine)} is too large for 1 mm; repair its voxel size")
    extents = np.maximum(np.ceil(extents_mm - SPACING_TOLERANCE), 1).astype(int)
    working_to_turned = np.eye(4)
    working_to_turned[:3, :3] = step
    working_to_turned[:3, 3] = (turned_shape - 1) / 2 - step @ ((extents - 1) / 2)
    working_affine = turned @ working_to_turned
    if is_rotated:
        working_affine[:3, :3] = np.eye(3)  # exactly, not to 16 digits
    i, j, k = extents.tolist()
    return WorkingGrid((i, j, k), working_affine, shape, affine, moves, working_to_turned)


def to_working(volume: Volume, grid: WorkingGrid) -> Volume:
    """Bring grey values to the working grid.

    Parameters
    ----------
    volume : Volume
        The scan on its own grid.
    grid : WorkingGrid
        Its plan, from `plan_grid`.

    Returns
    -------
    Volume
        On the working grid; bit for bit the scan's values where nothing is resampled.

    Raises
    ------
    ShapeError
        If the plan is of another shape.

    Notes
    -----
    Source: ours. Cubic B-splines, limited to the range of the scan's values; where a voxel is smaller than
    1 mm, a Gaussian widens it to 1 mm first.
    """
    return Volume(values_to_working(volume.values, grid), grid.affine)


def values_to_working(values: NDArray[np.float32], grid: WorkingGrid, *, order: Order = 3) -> NDArray[np.float32]:
    """Bring (I, J, K) float32 values to the working grid by splines of `order` 1 or 3 (see `to_working`)."""
    require_shape(values, grid.native_shape)
    turned = np.ascontiguousarray(reorient(values, grid.moves), np.float32)
    if not grid.is_resampled:
        return turned
    moved = resample(turned, grid.working_to_turned, grid.shape, order=order)
    return np.clip(moved, values.min(), values.max(), out=moved)


def mask_to_working(mask: NDArray[np.bool_], grid: WorkingGrid) -> NDArray[np.bool_]:
    """Bring an (I, J, K) mask to the working grid: linear, inside where at least half is inside."""
    require_shape(mask, grid.native_shape)
    if not grid.is_resampled:
        return np.ascontiguousarray(reorient(mask, grid.moves))
    return values_to_working(mask.astype(np.float32), grid, order=1) >= 0.5


def values_to_native(values: NDArray[np.float32], grid: WorkingGrid) -> NDArray[np.float32]:
    """Take (I, J, K) values from the working grid to the scan's own; linear, exact where only permuted."""
    require_shape(values, grid.shape)
    if grid.is_resampled:
        values = resample(values.astype(np.float32), grid.turned_to_working, grid.turned_shape)
    return np.ascontiguousarray(undo_reorient(values, grid.moves))


def labels_to_working(labels: NDArray[Any], grid: WorkingGrid) -> NDArray[Any]:
    """Bring an (I, J, K) label map to the working grid, as `labels_to_native` takes it back."""
    require_shape(labels, grid.native_shape)
    turned = np.ascontiguousarray(reorient(labels, grid.moves))
    if not grid.is_resampled:
        return turned
    return largest_share(turned, grid.working_to_turned, grid.shape)


def labels_to_native(labels: NDArray[Any], grid: WorkingGrid) -> NDArray[Any]:
    """Take a label map from the working grid to the scan's own grid.

    Parameters
    ----------
    labels : (I, J, K) int or bool
        Ids or classes on the working grid.
    grid : WorkingGrid
        The scan's plan.

    Returns
    -------
    array, the scan's own shape, dtype of `labels`
        Where resampled, the id with the largest share of the voxel (the smallest id on a tie); 0 outside.

    Raises
    ------
    ShapeError
        If the labels are not on the working grid.

    Notes
    -----
    Source: ours.
    """
    require_shape(labels, grid.shape)
    if not grid.is_resampled:
        return np.ascontiguousarray(undo_reorient(labels, grid.moves))
    best = largest_share(labels, grid.turned_to_working, grid.turned_shape)
    return np.ascontiguousarray(undo_reorient(best, grid.moves))


def require_shape(values: NDArray[Any], shape: tuple[int, int, int]) -> None:
    """Raise ShapeError unless the array has this shape."""
    if values.shape != shape:
        raise ShapeError(f"values of shape {values.shape} do not fit the grid {shape}; plan the grid of this scan")
