"""Stored numbers into grey values or ids, and whether they are what they should be.

Grey values become float32. Ids never pass through floating point. Errors name no file; `space.files` adds it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import LabelError, UnusableInputError
from neuronat.labels.scheme import LabelScheme

__all__ = [
    "count_ids",
    "grey_values",
    "inside_mask",
    "intensity_warnings",
    "is_label_like",
    "largest_part",
    "mend",
    "require_contrast",
    "require_known",
    "whole_ids",
]

MOST_BROKEN_SHARE = 0.01
MOST_LABELS = 512
LABEL_NEIGHBOUR_SHARE = 0.6
MOST_SPAN = 65535
ID_LIMIT = 2**31
NEARLY_ZERO = 1e-6  # of the other value: what the 32-bit scaling of a header leaves of 0


def grey_values(stored: NDArray[Any], slope: float, *, inter: float) -> NDArray[np.float32]:
    """Return `stored * slope + inter` as float32, computed in double precision, slice by slice.

    Raises
    ------
    UnusableInputError
        If finite numbers are too large for float32.

    Notes
    -----
    Source: ours.
    """
    values = np.empty(stored.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(stored.shape[2]):
            plane = stored[:, :, k]
            if (slope, inter) != (1.0, 0.0):
                plane = plane.astype(np.float64) * slope + inter
            values[:, :, k] = plane
            is_infinite = np.isinf(values[:, :, k])
            if is_infinite.any() and np.isfinite(stored[:, :, k][is_infinite]).any():
                raise UnusableInputError("grey values are too large for 32-bit floats; divide them by a constant")
    return values


def require_contrast(stored: NDArray[Any]) -> None:
    """Raise UnusableInputError if all stored numbers are the same."""
    if stored.min() == stored.max():
        raise UnusableInputError(f"every voxel is {stored.flat[0]}: no contrast; give a T1-weighted scan")


def mend(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Replace values that are no numbers, or infinite, by the median of their neighbours.

    Parameters
    ----------
    values : (I, J, K) float32
        Grey values.

    Returns
    -------
    (I, J, K) float32, int
        Finite values (0 where no neighbour is finite) and how many were replaced.

    Raises
    ------
    UnusableInputError
        If 1 % of the voxels or more are broken.

    Notes
    -----
    Source: ours. Neighbours are the 26 around a voxel.
    """
    is_broken = ~np.isfinite(values)
    n_broken = int(np.count_nonzero(is_broken))
    if n_broken == 0:
        return values, 0
    if n_broken >= MOST_BROKEN_SHARE * values.size:
        raise UnusableInputError(
            f"{n_broken} of {values.size} voxels are not a number or infinite; put numbers there, 0 in the background"
        )
    places = np.argwhere(is_broken)
    around = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    mended = values.copy()
    for start in range(0, len(places), 1 << 15):
        some = places[start : start + (1 << 15)]
        near = some[:, None] + around
        is_inside = ((near >= 0) & (near < values.shape)).all(axis=2)
        near = np.clip(near, 0, np.array(values.shape) - 1)
        found = values[tuple(np.moveaxis(near, -1, 0))]
        found[~is_inside | ~np.isfinite(found)] = np.nan
        found[np.isnan(found).all(axis=1)] = 0
        mended[tuple(some.T)] = np.nanmedian(found, axis=1)
    return mended, n_broken


def is_label_like(values: NDArray[np.float32]) -> bool:
    """Tell whether grey values look like a label map or a mask.

    Parameters
    ----------
    values : (I, J, K) float32
        Finite values.

    Returns
    -------
    bool
        True where all are whole, at most 512 differ, and most neighbours inside the object are equal.

    Notes
    -----
    Source: ours. In 15 scans at most 10 % of the neighbours are equal, in label maps over 80 %.
    """
    if any(np.count_nonzero(plane != np.rint(plane)) for plane in values):
        return False
    low = values.min()
    if values.max() - low > MOST_SPAN:
        return False
    found, counts = count_ids((values - low).astype(np.int32))
    if len(found) > MOST_LABELS:
        return False
    background = low + np.float32(found[counts.argmax()])
    first, second = values[:-1], values[1:]
    is_inside = (first != background) & (second != background)
    n_inside = int(np.count_nonzero(is_inside))
    n_equal = int(np.count_nonzero(is_inside & (first == second)))
    return n_inside == 0 or n_equal > LABEL_NEIGHBOUR_SHARE * n_inside


def intensity_warnings(values: NDArray[np.float32], slope: float, *, n_mended: int) -> tuple[str, ...]:
    """Return what is odd about grey values: mended voxels, negative values, a negative factor."""
    warnings = []
    if n_mended:
        warnings.append(f"{n_mended} voxels were not a number or infinite: replaced by the median around them")
    if slope < 0:
        warnings.append(f"header scales values by {slope:g}: the contrast may be inverted")
    elif (low := float(values.min())) < 0:
        warnings.append(f"negative values (down to {low:.4g}): shifted or normalized before")
    return tuple(warnings)


def whole_ids(stored: NDArray[Any], slope: float, *, inter: float) -> NDArray[np.int32]:
    """Return label ids from stored numbers, exactly.

    Parameters
    ----------
    stored : (I, J, K) int or float
        Numbers as stored.
    slope, inter : float
        The header's factor and summand.

    Returns
    -------
    (I, J, K) int32
        Ids; whole numbers stored as integers never pass through floating point.

    Raises
    ------
    LabelError
        If there are fractions, values that are no numbers, ids or a scaling beyond 32 bits, or more than 512
        different ids.

    Notes
    -----
    Source: ours.
    """
    if not (abs(slope) < ID_LIMIT and abs(inter) < ID_LIMIT):
        raise LabelError(
            f"header scales ids by {slope:g} and adds {inter:g}, more than 32 bits hold; repair the header"
        )
    is_whole_scaling = slope == int(slope) and inter == int(inter)
    if np.issubdtype(stored.dtype, np.integer) and (slope, inter) == (1.0, 0.0):
        exact: NDArray[Any] = stored
    elif np.issubdtype(stored.dtype, np.integer) and is_whole_scaling:
        _require_32_bits(*(int(number) * int(slope) + int(inter) for number in (stored.min(), stored.max())))
        exact = stored.astype(np.int64) * int(slope) + int(inter)
    else:
        exact = stored.astype(np.float64) * slope + inter
        n_fractions = int(np.count_nonzero(exact != np.rint(exact)))
        if n_fractions:
            raise LabelError(f"{n_fractions} of {exact.size} voxels hold no whole number; give a label map")
    _require_32_bits(exact.min(), exact.max())
    ids = np.ascontiguousarray(exact, np.int32)
    n_ids = len(count_ids(ids)[0])
    if n_ids > MOST_LABELS:
        raise LabelError(f"{n_ids} different values; a label map has at most {MOST_LABELS}: give a label map")
    return ids


def _require_32_bits(*ends: Any) -> None:
    """Raise LabelError if ids, of which these are the smallest and the largest, do not fit 32 bits."""
    low, high = min(ends), max(ends)
    if not -ID_LIMIT <= low <= high < ID_LIMIT:
        raise LabelError(f"ids from {low} to {high} do not fit 32 bits; give a label map")


def inside_mask(stored: NDArray[Any], slope: float, *, inter: float) -> NDArray[np.bool_]:
    """Return where a mask is not 0, whatever its other value: whole, a fraction, or scaled by its header.

    Parameters
    ----------
    stored : (I, J, K) int or float
        Numbers as stored.
    slope, inter : float
        The header's factor and summand.

    Returns
    -------
    (I, J, K) bool
        True inside.

    Raises
    ------
    LabelError
        If there are more than two values, or two of which none is 0.

    Notes
    -----
    Source: ours. A mask of floats that is saved under a header of integers becomes 0 and 1.00000006.

    Examples
    --------
    >>> inside_mask(np.array([[[0, 255]]], np.uint8), 0.003921569, inter=0.0).tolist()
    [[[False, True]]]
    """
    wanted = "a mask holds 0 outside and one other value inside; give a mask"
    low, high = stored.min(), stored.max()
    if not np.isfinite([low, high]).all() or ((stored != low) & (stored != high)).any():
        raise LabelError(f"holds more than two values; {wanted}")
    scaled = float(low) * slope + inter, float(high) * slope + inter
    if low == high:
        return np.full(stored.shape, scaled[0] != 0)
    nearer, further = sorted(scaled, key=abs)
    if abs(nearer) > NEARLY_ZERO * abs(further):
        raise LabelError(f"holds {scaled[0]:g} and {scaled[1]:g}; {wanted}")
    return np.ascontiguousarray(stored != (low if nearer == scaled[0] else high))


def count_ids(ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different ids, ascending, and how many voxels each has."""
    low = int(ids.min())
    if int(ids.max()) - low > MOST_SPAN:
        found, counts = np.unique(ids, return_counts=True)
        return found.astype(np.int64), counts.astype(np.int64)
    counted = np.zeros(MOST_SPAN + 1, np.int64)
    for plane in ids:
        counted += np.bincount((plane - low).ravel(), minlength=MOST_SPAN + 1)
    present = np.flatnonzero(counted)
    return (present + low).astype(np.int64), counted[present]


def require_known(ids: NDArray[np.int32], scheme: LabelScheme) -> None:
    """Raise LabelError, with voxel counts, if there are ids that the scheme does not know."""
    found, counts = count_ids(ids)
    known = set(scheme.ids)
    strange = [(i, n) for i, n in zip(found.tolist(), counts.tolist(), strict=True) if i not in known]
    if strange:
        listed = ", ".join(f"{index} ({n} voxels)" for index, n in strange[:10])
        raise LabelError(f"ids {listed} are not in the scheme {scheme.name}; map them or use another scheme")


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part of an (I, J, K) mask; nothing of an empty one."""
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(mask & (parts == sizes.argmax()))
