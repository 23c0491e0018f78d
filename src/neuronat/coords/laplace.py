"""The graph of a mask: voxels are nodes, an edge joins two voxels that share a face.

Voxels are numbered in the C order of the mask, as `np.argwhere(mask)` lists them.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import ShapeError

__all__ = ["assemble_laplacian", "main_component", "neighbour_pairs", "require_mask"]


def require_mask(mask: NDArray[np.bool_]) -> None:
    """Raise ShapeError unless `mask` is a 3D boolean array with at least one voxel inside."""
    if mask.ndim != 3 or mask.dtype != np.bool_:
        raise ShapeError(f"mask must be a 3D boolean array; got {mask.dtype} of shape {mask.shape}")
    if not mask.any():
        raise ShapeError(f"mask of shape {mask.shape} is empty; brain coordinates need at least one voxel inside")


def assemble_laplacian(mask: NDArray[np.bool_]) -> sp.csr_array:
    """Assemble the graph Laplacian L = D - W of a mask's voxels.

    Parameters
    ----------
    mask : (I, J, K) bool
        Voxels of the graph, N of them inside.

    Returns
    -------
    (N, N) float64, sparse
        Number of neighbours on the diagonal, -1 for each pair that shares a face. Rows sum to zero.

    Raises
    ------
    ShapeError
        If the mask is not 3D and boolean, or is empty.

    Notes
    -----
    Source: [DEEPNAT] brain coordinates. Ours: the neighbourhood is the six voxels that share a face.

    Examples
    --------
    >>> assemble_laplacian(np.array([[[True, True, False, True]]])).toarray().astype(int).tolist()
    [[1, -1, 0], [-1, 1, 0], [0, 0, 0]]
    """
    require_mask(mask)
    n = int(mask.sum())
    number = np.full([extent + 2 for extent in mask.shape], -1, np.int32)
    number[1:-1, 1:-1, 1:-1][mask] = np.arange(n, dtype=np.int32)
    inside = np.flatnonzero(number.ravel() >= 0)
    strides = (number.shape[1] * number.shape[2], number.shape[2], 1)
    columns = np.empty((n, 7), np.int32)
    for slot, step in enumerate([-strides[0], -strides[1], -strides[2], 0, strides[2], strides[1], strides[0]]):
        columns[:, slot] = number.ravel()[inside + step]
    present = columns >= 0
    n_entries = present.sum(axis=1, dtype=np.int32)
    entries = np.full((n, 7), -1.0)
    entries[:, 3] = n_entries - 1
    starts = np.zeros(n + 1, np.int32)
    np.cumsum(n_entries, out=starts[1:])
    return sp.csr_array((entries[present], columns[present], starts), shape=(n, n))


def neighbour_pairs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
    """List the pairs of voxels that share a face.

    Parameters
    ----------
    mask : (I, J, K) bool
        Voxels of the graph.

    Returns
    -------
    (E,) int32, (E,) int32, (E,) int8
        Number of the lower voxel, of the upper voxel, and the array axis from the one to the other.

    Notes
    -----
    Source: ours.
    """
    number = np.full(mask.shape, -1, np.int32)
    number[mask] = np.arange(int(mask.sum()), dtype=np.int32)
    lower, upper, axes = [], [], []
    for axis in range(3):
        along = np.moveaxis(number, axis, 0)
        both = (along[:-1] >= 0) & (along[1:] >= 0)
        lower.append(along[:-1][both])
        upper.append(along[1:][both])
        axes.append(np.full(len(lower[-1]), axis, np.int8))
    return np.concatenate(lower), np.concatenate(upper), np.concatenate(axes)


def main_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest part of a mask that is connected through faces.

    Parameters
    ----------
    mask : (I, J, K) bool
        Any mask.

    Returns
    -------
    (I, J, K) bool
        The part with the most voxels; of equal ones the first in C order. Empty if the mask is.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> main_component(np.array([[[True, False, True, True]]])).astype(int).ravel().tolist()
    [0, 0, 1, 1]
    """
    parts, n_parts = ndimage.label(mask)
    if n_parts <= 1:
        return mask.copy()
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())
