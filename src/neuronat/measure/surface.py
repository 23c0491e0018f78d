"""Distances between the surfaces of two label maps, structure by structure, in mm.

The **surface** of a structure is the set of its voxels that touch, by a face, a voxel outside of it; what
lies beyond the grid is outside. Distances run between centres of surface voxels, in the world.

    . . . . . .
    . # # # # .     # surface
    . # o o # .     o interior
    . # # # # .
    . . . . . .

Voxel centres lie up to half a voxel inside the true boundary. In both maps they do so alike, so that the
shift cancels where the boundaries run in parallel; what is left is a grid of distances: nothing between 0
and one spacing exists, a shift of less than half a voxel is seen only where it moves some voxels and not
others, and a distance is to be read with an error of about half a spacing. Tools that build meshes differ
by as much.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from neuronat.errors import ShapeError
from neuronat.labels.scheme import LabelScheme
from neuronat.measure.overlap import fast_classes
from neuronat.space.affine import ijk_to_xyz_mm, shear_degrees, spacing_mm

__all__ = [
    "SurfaceDistances",
    "grid_diagonal_mm",
    "surface_distances",
    "surface_per_structure",
    "surface_voxels",
]

PERCENTILE = 95
NEGLIGIBLE_SHEAR_DEGREES = 0.1


@dataclass(frozen=True)
class SurfaceDistances:
    """95 % Hausdorff distance and average symmetric surface distance, both in mm; NaN where `n/a`."""

    hd95_mm: float
    asd_mm: float


def surface_per_structure(
    predicted: NDArray[np.integer],
    reference: NDArray[np.integer],
    affine: NDArray[np.float64],
    scheme: LabelScheme,
) -> dict[int, SurfaceDistances]:
    """Measure the surface distances of each structure of a scheme.

    Parameters
    ----------
    predicted, reference : (I, J, K) int
        Label ids of the scheme, on one grid.
    affine : (4, 4) float64
        Voxel to world mm of that grid.
    scheme : LabelScheme
        Scheme of both.

    Returns
    -------
    dict of int to SurfaceDistances
        By structure id, background left out. A structure that only one map holds has the diagonal of the grid
        for both distances, the worst case; one that neither holds has NaN (`n/a`).

    Raises
    ------
    ShapeError
        If the shapes differ.
    LabelError
        If an id is not in the scheme.

    Notes
    -----
    Source: ours. The empty cases: decision 0006.
    """
    if predicted.shape != reference.shape:
        raise ShapeError(
            f"predicted labels {predicted.shape} and reference labels {reference.shape} differ in shape; "
            "compare label maps of one grid"
        )
    maps = (
        fast_classes(predicted, scheme, what="predicted labels"),
        fast_classes(reference, scheme, what="reference labels"),
    )
    boxes = [ndimage.find_objects(classes, scheme.n_classes - 1) for classes in maps]
    worst_mm = grid_diagonal_mm(predicted.shape, affine)
    distances = {}
    for position, index in enumerate(scheme.ids[1:]):
        first, second = boxes[0][position], boxes[1][position]
        if first is None and second is None:
            distances[index] = SurfaceDistances(np.nan, np.nan)
        elif first is None or second is None:
            distances[index] = SurfaceDistances(worst_mm, worst_mm)
        else:
            box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
            masks = [classes[box] == position + 1 for classes in maps]
            distances[index] = surface_distances(masks[0], masks[1], affine)
    return distances


def surface_distances(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], affine: NDArray[np.float64]
) -> SurfaceDistances:
    """Measure the distances between the surfaces of two masks.

    The 95 % Hausdorff distance is the larger of two 95th percentiles: of the distances from the predicted
    surface to the nearest point of the reference surface, and the reverse. The average symmetric surface
    distance is the mean of all these distances, of both directions together.

    Parameters
    ----------
    predicted, reference : (I, J, K) bool
        Masks on one grid; each must hold at least one voxel.
    affine : (4, 4) float64
        Voxel to world mm; its origin does not matter.

    Returns
    -------
    SurfaceDistances
        In mm.

    Raises
    ------
    ShapeError
        If a mask is empty; the empty cases belong to `surface_per_structure`.

    Notes
    -----
    Source: ours. Distance transforms on the grid, whose time does not depend on how wrong a prediction is; on
    a sheared grid, where they are not exact, a search among the points of the surfaces.

    Examples
    --------
    >>> bar = np.zeros((5, 1, 1), bool)
    >>> bar[0] = True
    >>> surface_distances(bar, np.roll(bar, 3), np.diag([2.0, 1.0, 1.0, 1.0]))
    SurfaceDistances(hd95_mm=6.0, asd_mm=6.0)
    """
    if not (predicted.any() and reference.any()):
        raise ShapeError("a mask holds no voxel, so that no surface distance exists; give two masks with voxels")
    surfaces = surface_voxels(predicted), surface_voxels(reference)
    nearest = _nearest_on_grid if shear_degrees(affine) < NEGLIGIBLE_SHEAR_DEGREES else _nearest_of_points
    there_mm = nearest(surfaces[0], surfaces[1], affine)
    back_mm = nearest(surfaces[1], surfaces[0], affine)
    hd95_mm = max(np.percentile(there_mm, PERCENTILE), np.percentile(back_mm, PERCENTILE))
    asd_mm = (there_mm.sum() + back_mm.sum()) / (there_mm.size + back_mm.size)
    return SurfaceDistances(float(hd95_mm), float(asd_mm))


def surface_voxels(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels of a mask that have a face neighbour outside of it; beyond the grid is outside."""
    padded = np.pad(mask, 1)
    is_interior = mask.copy()
    for axis, step in product(range(3), (-1, 1)):
        is_interior &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return mask & ~is_interior


def grid_diagonal_mm(shape: tuple[int, ...], affine: NDArray[np.float64]) -> float:
    """Return the largest distance in mm between two voxel centres of a grid: the worst case of a surface.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> grid_diagonal_mm((4, 5, 1), np.diag([-1.0, 1.0, 2.0, 1.0]))
    5.0
    """
    signs = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]])
    diagonals = (signs * (np.array(shape) - 1)) @ affine[:3, :3].T
    return float(np.sqrt((diagonals**2).sum(axis=1)).max())


def _nearest_on_grid(
    surface: NDArray[np.bool_], target: NDArray[np.bool_], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance in mm (N,) from each voxel of `surface` to the nearest of `target`, on orthogonal axes."""
    distance_mm = ndimage.distance_transform_edt(~target, sampling=spacing_mm(affine).tolist())
    return np.asarray(distance_mm[surface], np.float64)


def _nearest_of_points(
    surface: NDArray[np.bool_], target: NDArray[np.bool_], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance in mm (N,) from each voxel of `surface` to the nearest of `target`, on any axes."""
    points_mm = [ijk_to_xyz_mm(affine, np.argwhere(voxels)) for voxels in (surface, target)]
    return np.asarray(cKDTree(points_mm[1]).query(points_mm[0])[0], np.float64)
