"""Overlap of two label maps, structure by structure.

**Joint counts** are a table: how many voxels carry one class in the predicted map and another in the
reference. All overlaps follow from it, so that the maps are read once, however many structures there are.
"""

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import ShapeError
from neuronat.labels.scheme import LabelScheme

__all__ = ["count_jointly", "dice_of_counts", "dice_per_structure", "fast_classes"]

LARGEST_TABLE = 2**20


def fast_classes(ids: NDArray[np.integer], scheme: LabelScheme, *, what: str = "label map") -> NDArray[np.uint8]:
    """Replace ids by classes through a look-up table, without sorting the voxels.

    Parameters
    ----------
    ids : array of int
        Label ids, any shape.
    scheme : LabelScheme
        Scheme of the ids.
    what : str
        Name of the label map, for the error message.

    Returns
    -------
    array of uint8
        Classes in [0, C), same shape; equal to `scheme.classes_of`.

    Raises
    ------
    LabelError
        If an id is not in the scheme; the message lists the ids with their voxel counts.

    Notes
    -----
    Source: ours.
    """
    highest = max(scheme.ids)
    unknown = 255
    has_table = scheme.n_classes <= unknown and highest < LARGEST_TABLE
    if not has_table or (ids.size and (int(ids.min()) < 0 or int(ids.max()) > highest)):
        return scheme.classes_of(ids, what=what)
    table = np.full(highest + 1, unknown, np.uint8)
    table[list(scheme.ids)] = np.arange(scheme.n_classes)
    classes: NDArray[np.uint8] = table[ids]
    if ids.size and int(classes.max()) >= scheme.n_classes:
        return scheme.classes_of(ids, what=what)
    return classes


def count_jointly(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], scheme: LabelScheme
) -> NDArray[np.int64]:
    """Count the voxels of each pair of classes.

    Parameters
    ----------
    predicted, reference : (I, J, K) int
        Label ids of the scheme.
    scheme : LabelScheme
        Scheme of both.

    Returns
    -------
    (C, C) int64
        Row: class in `predicted`; column: class in `reference`.

    Raises
    ------
    ShapeError
        If the shapes differ.
    LabelError
        If an id is not in the scheme.

    Notes
    -----
    Source: ours.
    """
    if predicted.shape != reference.shape:
        raise ShapeError(
            f"predicted labels {predicted.shape} and reference labels {reference.shape} differ in shape; "
            "compare label maps of one grid"
        )
    n = scheme.n_classes
    rows = fast_classes(predicted, scheme, what="predicted labels")
    columns = fast_classes(reference, scheme, what="reference labels")
    pairs = rows.astype(np.uint16).ravel() * np.uint16(n) + columns.ravel()
    counts = np.zeros(n * n, np.int64)
    for part in np.array_split(pairs, pairs.size // (1 << 20) + 1):  # bincount makes int64 of its input: go in parts
        counts += np.bincount(part, minlength=n * n)
    return counts.reshape(n, n)


def dice_of_counts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Turn joint counts into Dice coefficients.

    dice_c = 2 counts[c, c] / (sum of row c + sum of column c)

    Parameters
    ----------
    counts : (C, C) int64
        From `count_jointly`.

    Returns
    -------
    (C,) float64
        In [0, 1]; NaN (`n/a` in tables) where neither map holds the class; 0 where only one does.

    Notes
    -----
    Source: [DICE]. Ours: the empty cases, decision 0006.
    """
    both = counts.diagonal().astype(np.float64)
    total = (counts.sum(axis=0) + counts.sum(axis=1)).astype(np.float64)
    dice = np.full(len(counts), np.nan)
    np.divide(2 * both, total, out=dice, where=total > 0)
    return dice


def dice_per_structure(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], scheme: LabelScheme
) -> dict[int, float]:
    """Measure the Dice coefficient of each structure of a scheme.

    Parameters
    ----------
    predicted, reference : (I, J, K) int
        Label ids of the scheme.
    scheme : LabelScheme
        Scheme of both.

    Returns
    -------
    dict of int to float
        Structure id to Dice in [0, 1], background left out. A structure that only one map holds has 0,
        the worst case; one that neither holds has NaN (`n/a`): there was nothing to find.

    Raises
    ------
    ShapeError
        If the shapes differ.
    LabelError
        If an id is not in the scheme.

    Notes
    -----
    Source: [DICE]; [DEEPNAT] evaluation. Ours: the empty cases, decision 0006.

    Examples
    --------
    >>> pair = LabelScheme("pair", (0, 4, 43), ("none", "left", "right"), ("#000000",) * 3, (0, 43, 4))
    >>> dice_per_structure(np.array([[[4, 4, 0]]]), np.array([[[4, 0, 0]]]), pair)
    {4: 0.6666666666666666, 43: nan}
    """
    dice = dice_of_counts(count_jointly(predicted, reference, scheme))
    return dict(zip(scheme.ids[1:], dice[1:].tolist(), strict=True))
