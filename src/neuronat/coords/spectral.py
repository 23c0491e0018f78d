"""Brain coordinates: where in the brain a voxel is, as six channels.

*Cartesian* coordinates say where a voxel lies from the centre of the brain; *spectral* ones say where it lies
along the brain's own shape, whatever its position and tilt: they are the mask's three slowest vibrations.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from neuronat.coords.axes import along_world_axes
from neuronat.coords.eigen import smooth_eigenvectors
from neuronat.coords.laplace import main_component, require_mask
from neuronat.space.affine import nearest_axes, reorient, reoriented_affine, undo_reorient
from neuronat.space.volume import require_affine

__all__ = [
    "CARTESIAN_UNIT_MM",
    "LEFT_RIGHT_CHANNELS",
    "brain_coordinates",
    "cartesian_coordinates",
    "spectral_coordinates",
]

CARTESIAN_UNIT_MM = 50.0  # near the spread of an adult brain, so that the channels are of size 1
LEFT_RIGHT_CHANNELS = (0, 3)
"""The coordinates that change their sign where left and right are exchanged."""


def brain_coordinates(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the three spectral and the three Cartesian coordinates of each voxel of a brain mask.

    Parameters
    ----------
    mask : (I, J, K) bool
        The brain, at least one voxel.
    affine : (4, 4) float64
        Voxel to world, mm, RAS+.

    Returns
    -------
    (6, I, J, K) float32
        Channels 0 to 2 as `spectral_coordinates`, 3 to 5 as `cartesian_coordinates`; zero outside the mask.

    Raises
    ------
    ShapeError
        If the mask is not 3D and boolean, or is empty.
    GridError
        If the affine is not a finite, invertible (4, 4) matrix.

    Notes
    -----
    Source: [DEEPNAT] brain coordinates.
    """
    return np.concatenate([spectral_coordinates(mask, affine), cartesian_coordinates(mask, affine)])


def cartesian_coordinates(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return each voxel's offset from the mask's centre of mass, to the right, to the front and up.

    Parameters
    ----------
    mask : (I, J, K) bool
        The brain, at least one voxel.
    affine : (4, 4) float64
        Voxel to world, mm, RAS+.

    Returns
    -------
    (3, I, J, K) float32
        Offsets in units of 50 mm along the world axes; zero outside the mask.

    Raises
    ------
    ShapeError
        If the mask is not 3D and boolean, or is empty.
    GridError
        If the affine is not a finite, invertible (4, 4) matrix.

    Notes
    -----
    Source: [DEEPNAT] brain coordinates. Ours: the unit, and axes of the world instead of the array.

    Examples
    --------
    >>> mask = np.ones((3, 1, 1), bool)
    >>> to_the_left = np.diag([-25.0, 1.0, 1.0, 1.0])  # i grows to the left in steps of 25 mm
    >>> cartesian_coordinates(mask, to_the_left)[0].ravel().tolist()
    [0.5, 0.0, -0.5]
    """
    require_mask(mask)
    require_affine(affine)
    return np.stack([offset * mask for offset in offsets_from_centre(mask, affine[:3, :3] / CARTESIAN_UNIT_MM)])


def spectral_coordinates(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the first three non-constant eigenvectors of the graph Laplacian of a brain mask.

    Parameters
    ----------
    mask : (I, J, K) bool
        The brain, at least one voxel.
    affine : (4, 4) float64
        Voxel to world, mm, RAS+; it decides order and sign only.

    Returns
    -------
    (3, I, J, K) float32
        Eigenvectors with unit root mean square over the mask's largest component; the one that varies most
        from left to right first, then back to front, then bottom to top, each growing in that direction. Voxels
        of other components have the values of the nearest voxel of the largest one. Zero outside the mask, and
        a channel is zero where the component has too few voxels for a third eigenvector.

    Raises
    ------
    ShapeError
        If the mask is not 3D and boolean, or is empty.
    GridError
        If the affine is not a finite, invertible (4, 4) matrix.

    Notes
    -----
    Source: [DEEPNAT] brain coordinates. Ours: order, sign, scale and detached parts (decision 0004).

    Examples
    --------
    >>> mask = np.ones((2, 1, 1), bool)
    >>> spectral_coordinates(mask, np.eye(4))[:, :, 0, 0].tolist()
    [[-1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    require_mask(mask)
    require_affine(affine)
    moves = nearest_axes(affine)
    turned, turned_affine = reorient(mask, moves), reoriented_affine(affine, mask.shape, moves)
    box = ndimage.find_objects(turned.astype(np.int8))[0]
    brain = np.ascontiguousarray(turned[box])
    coordinates = np.zeros((3, *turned.shape), np.float32)
    coordinates[(slice(None), *box)] = spectral_in_box(brain, turned_affine[:3, :3])
    return np.stack([undo_reorient(channel, moves) for channel in coordinates])


def spectral_in_box(brain: NDArray[np.bool_], steps_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the spectral coordinates of a mask that is cropped and runs nearest to right, front and up."""
    main = main_component(brain)
    coordinates = np.zeros((3, *brain.shape), np.float32)
    values, vectors = smooth_eigenvectors(main)
    xyz_mm = np.stack([offset[main] for offset in offsets_from_centre(main, steps_mm)], axis=1)
    coordinates[:, main] = along_world_axes(values, vectors, xyz_mm).T
    detached = np.argwhere(brain & ~main)
    if len(detached):
        surface = np.argwhere(main & ~ndimage.binary_erosion(main))
        nearest = KDTree(surface @ steps_mm.T).query(detached @ steps_mm.T)[1]
        coordinates[:, *detached.T] = coordinates[:, *surface[nearest].T]
    return coordinates


def offsets_from_centre(mask: NDArray[np.bool_], steps: NDArray[np.float64]) -> Iterator[NDArray[np.float32]]:
    """Yield x, y and z (I, J, K) from the mask's centre of mass; column a of `steps` is one voxel along axis a."""
    from_centre = []
    for axis, extent in enumerate(mask.shape):
        counts = mask.sum(axis=tuple({0, 1, 2} - {axis}))
        index = np.arange(extent)
        from_centre.append(index - (counts @ index) / counts.sum())
    for i, j, k in steps:
        plane = np.add.outer(i * from_centre[0], j * from_centre[1])
        yield np.add.outer(plane.astype(np.float32), (k * from_centre[2]).astype(np.float32))
