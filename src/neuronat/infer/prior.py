"""What a model's template says of a scan: it is deformed onto the scan, and its labels are looked up.

Words: a *prior* is how frequent each class was, among the brains of the template, at the place of the template where a
voxel of the scan lies. Networks see a neighbourhood; a template knows the order of all folds at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.nets.template import Template
from neuronat.prepare.warp import find_warp, place_points

__all__ = ["Prior", "fit_affine", "place_mirrored", "place_template", "prior_scores"]

FLOOR = 3e-3
"""Added to every share: a class that was never seen at a place is rare there, not impossible."""
LEAST_VOXELS, LEAST_CLASSES = 50, 8
LEAST_CORRELATION = 0.6
"""Of the grey values of the scan and of the template on it; below, the two do not fit."""


@dataclass(frozen=True, eq=False)
class Prior:
    """The classes (V, T) uint8 that are likely at each voxel of a mask, their shares (V, T) uint8 in 255ths.

    Its logarithm, times `weight`, is added to a network's scores of `n_classes` classes; `weight_within` is for the
    choice among the classes of one structure that is decided. Of a template that was placed `n_looks` times the classes
    stand side by side, and the mean of their shares counts.
    """

    classes: NDArray[np.uint8]
    shares: NDArray[np.uint8]
    weight: float
    weight_within: float
    n_classes: int
    n_looks: int = 1


def place_template(
    template: Template, grey: NDArray[np.float32], mask: NDArray[np.bool_], guess: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Deform a template onto a scan and look up its labels.

    Parameters
    ----------
    template : Template
        The mean brain.
    grey : (I, J, K) float32
        Prepared grey values of the scan, 0 outside the brain.
    mask : (I, J, K) bool
        The brain.
    guess : (V,) uint8
        A first labelling of the mask's voxels in the template's classes, from which the affine map is found.

    Returns
    -------
    (V, T) uint8, (V, T) uint8, or None
        Classes and their shares at the mask's voxels; none where too few structures are known for an affine map, or
        the deformed template does not look like the scan.

    Notes
    -----
    Source: ours (decision 0043).
    """
    voxels = np.argwhere(mask)
    affine = fit_affine(voxels, guess, np.argwhere(template.inside), template.classes[:, 0])
    if affine is None:
        return None
    points = place_points(voxels, find_warp(grey, template.grey, affine), affine)
    places = np.clip(np.rint(points), 0, np.array(template.grey.shape) - 1).astype(np.int32)
    where = tuple(places.T)
    seen, expected = grey[mask], template.grey[where]
    if min(seen.std(), expected.std()) == 0 or np.corrcoef(seen, expected)[0, 1] < LEAST_CORRELATION:
        return None
    row_of = np.cumsum(template.inside, dtype=np.int32).reshape(template.inside.shape) - 1
    rows, is_inside = row_of[where], template.inside[where]
    return template.classes[rows], np.where(is_inside[:, None], template.shares[rows], np.uint8(0))


def place_mirrored(
    template: Template,
    grey: NDArray[np.float32],
    mask: NDArray[np.bool_],
    guess: NDArray[np.uint8],
    partners: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Deform a template onto the mirror image of a scan, and give left and right back what was found.

    Its other hemispheres tell of the same brain: a second look of one template, whose errors are others.

    Parameters
    ----------
    template, grey, mask, guess
        As in `place_template`; the first axis goes from left to right.
    partners : (256,) uint8
        Class of each class's left/right partner.

    Returns
    -------
    (V, T) uint8, (V, T) uint8, or None
        As `place_template`.

    Notes
    -----
    Source: ours (decision 0043).
    """
    seen = np.ascontiguousarray(mask[::-1])
    other = np.zeros(mask.shape, np.uint8)
    other[mask] = partners[guess]
    found = place_template(template, np.ascontiguousarray(grey[::-1]), seen, other[::-1][seen])
    if found is None:
        return None
    row_of = np.zeros(mask.shape, np.int32)
    row_of[seen] = np.arange(len(guess))
    rows = row_of[::-1][mask]
    classes, shares = found
    return partners[classes[rows]], shares[rows]


def prior_scores(prior: Prior, voxels: slice, classes: slice) -> Tensor:
    """Return what a prior adds to the scores (N, C) of some classes at some voxels, both slices.

    Notes
    -----
    Source: ours (decision 0043). A weight above 1 makes up for scores that are too cautious where the classes meet.
    """
    likely = torch.from_numpy(prior.classes[voxels].astype(np.int64))
    shares = torch.from_numpy(prior.shares[voxels].astype(np.float32) / np.float32(255 * prior.n_looks))
    table = torch.zeros(len(likely), prior.n_classes).scatter_add_(1, likely, shares)
    return table[:, classes].add_(FLOOR).log_().mul_(prior.weight)


def fit_affine(
    voxels: NDArray[np.integer],
    classes: NDArray[np.uint8],
    other_voxels: NDArray[np.integer],
    other_classes: NDArray[np.uint8],
) -> NDArray[np.float64] | None:
    """Fit the affine map that takes the centres of structures to those of another brain.

    Parameters
    ----------
    voxels : (V, 3) int
        Where structures are.
    classes : (V,) uint8
        Which ones; background, class 0, has no place of its own.
    other_voxels : (W, 3) int
        Those of the other brain.
    other_classes : (W,) uint8
        And its classes.

    Returns
    -------
    (4, 3) float64 or None
        `[i, j, k, 1] @ affine` is the place in the other brain; none if too few structures are known.

    Notes
    -----
    Source: ours.
    """
    (centres, sizes), (others, other_sizes) = _centres(voxels, classes), _centres(other_voxels, other_classes)
    known = (sizes >= LEAST_VOXELS) & (other_sizes >= LEAST_VOXELS)
    known[0] = False
    places = np.column_stack([centres[known], np.ones(int(known.sum()))])
    if len(places) < LEAST_CLASSES or np.linalg.matrix_rank(places) < 4:
        return None
    return np.linalg.lstsq(places, others[known], rcond=None)[0].astype(np.float64)


def _centres(voxels: NDArray[np.integer], classes: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the centre (256, 3) and the number of voxels (256,) of each class."""
    sizes = np.bincount(classes, minlength=256)
    sums = [np.bincount(classes, weights=voxels[:, axis], minlength=256) for axis in range(3)]
    return np.stack(sums, 1) / np.maximum(sizes, 1)[:, None], sizes
