"""Where the brain is: in a skull-stripped scan whatever is not background, or what a given mask says.

A **skull-stripped** scan has one exact value outside the brain. A raw head has not: its background is noise,
or was set to 0 around a head, which is larger than a brain and holds dark bone and air.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import GridError, UnusableInputError
from neuronat.space.affine import describe_grid, is_same_grid, voxel_volume_mm3
from neuronat.space.volume import LEAST_BRAIN_ML, MOST_BRAIN_ML, Volume

__all__ = [
    "Stripped",
    "inspect_background",
    "is_raw_head",
    "require_mask",
    "require_stripped_mask",
]

BRAINS = f"a brain has {LEAST_BRAIN_ML:.0f} to {MOST_BRAIN_ML:.0f} ml"
LEAST_BACKGROUND_SHARE = 0.3
LEAST_BORDER_SHARE = 0.5
DARK = 0.05
MOST_DARK_SHARE = 0.08
MAIN_COMPONENT_SHARE = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class Stripped:
    """What lies before the background of a scan, (I, J, K) bool, and why that is no brain (or empty)."""

    mask: NDArray[np.bool_]
    objection: str


def is_raw_head(volume: Volume) -> bool:
    """Tell whether a scan shows more than a brain: no exact background, or a body that a brain would fit into."""
    found = inspect_background(volume)
    body_ml = np.count_nonzero(found.mask) * voxel_volume_mm3(volume.affine) / 1000
    return found.objection != "" and bool(body_ml >= LEAST_BRAIN_ML)


def require_stripped_mask(volume: Volume, *, is_declared: bool = False, force: bool = False) -> NDArray[np.bool_]:
    """Return the brain mask of a skull-stripped scan.

    Parameters
    ----------
    volume : Volume
        A scan on its own grid.
    is_declared : bool
        Take the user's word that it is skull-stripped.
    force : bool
        Accept any size.

    Returns
    -------
    (I, J, K) bool
        The brain, without holes.

    Raises
    ------
    UnusableInputError
        If it is no skull-stripped brain, or (unless forced) of the wrong size for a brain.

    Notes
    -----
    Source: ours.
    """
    found = inspect_background(volume)
    if found.objection and not (is_declared or force):
        raise UnusableInputError(
            f"is not a skull-stripped brain ({found.objection}); check it, or give a brain mask with --mask"
        )
    _require_brain(found.mask, volume, "what is not background", force=force)
    return found.mask


def require_mask(mask: Volume, scan: Volume, *, force: bool = False) -> NDArray[np.bool_]:
    """Return a given brain mask as (I, J, K) bool if it fits the scan.

    Parameters
    ----------
    mask : Volume
        0 outside, anything else inside.
    scan : Volume
        The scan that it belongs to.
    force : bool
        Accept any size.

    Returns
    -------
    (I, J, K) bool
        The mask as given; nothing is filled or removed.

    Raises
    ------
    GridError
        If it does not lie on the scan's grid.
    UnusableInputError
        If it is empty, covers no contrast, or (unless forced) has not the size of a brain.

    Notes
    -----
    Source: ours.
    """
    if not is_same_grid((mask.values.shape, mask.affine), (scan.values.shape, scan.affine)):
        raise GridError(
            f"the mask lies on {describe_grid(mask.values.shape, mask.affine)}, "
            f"the scan on {describe_grid(scan.values.shape, scan.affine)}; resample the mask to the scan"
        )
    inside = np.asarray(mask.values != 0)
    _require_brain(inside, scan, "the mask", force=force)
    return inside


def inspect_background(volume: Volume) -> Stripped:
    """Look for one exact background value, and judge what lies before it.

    Parameters
    ----------
    volume : Volume
        A scan on its own grid.

    Returns
    -------
    Stripped
        The objection is empty where the background is one value that surrounds a brain-sized body (500 to
        2200 ml) in which less than 8 % of the voxels are as dark as air or bone.

    Notes
    -----
    Source: ours. Measured on 16 stripped and 7 raw scans: bodies of 1176 to 1630 ml against 2600 to 5489 ml,
    dark shares below 0.1 % against 2 (a face removed, noise) to 20 %.
    """
    values = volume.values
    border = np.concatenate([values[index].ravel() for index in _faces()])
    candidates, counts = np.unique(border, return_counts=True)
    background = candidates[counts.argmax()]
    is_background = values == background
    mask = _main_body(is_background)
    body_ml = np.count_nonzero(mask) * voxel_volume_mm3(volume.affine) / 1000
    objection = ""
    if counts.max() < LEAST_BORDER_SHARE * border.size or is_background.mean() < LEAST_BACKGROUND_SHARE:
        objection = "its background is not one exact value"
    elif not LEAST_BRAIN_ML <= body_ml <= MOST_BRAIN_ML:
        objection = f"{body_ml:.0f} ml are not background, and {BRAINS}"
    elif (share := _dark_share(values[mask], float(background))) > MOST_DARK_SHARE:
        objection = f"{100 * share:.0f} % of what is not background is as dark as bone or air"
    return Stripped(mask=mask, objection=objection)


def _main_body(is_background: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what the background does not reach from the border, without small islets."""
    regions, _ = ndimage.label(is_background)
    reached = np.unique(np.concatenate([regions[index].ravel() for index in _faces()]))
    is_outside = np.zeros(int(regions.max()) + 1, bool)
    is_outside[reached] = True
    is_outside[0] = False
    components, n_components = ndimage.label(~is_outside[regions])
    if n_components < 2:
        return np.asarray(components > 0)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= MAIN_COMPONENT_SHARE * sizes.max())[components])


def _dark_share(values: NDArray[np.float32], background: float) -> float:
    """Return the share of values near the background's; 0 where the background is not the darkest."""
    typical = float(np.median(values)) - background
    if typical <= 0 or np.percentile(values, 2) < background:
        return 0.0
    return float((values < background + DARK * typical).mean())


def _require_brain(mask: NDArray[np.bool_], scan: Volume, what: str, *, force: bool) -> None:
    """Raise UnusableInputError unless a mask can be a brain's."""
    if not mask.any():
        raise UnusableInputError(f"{what} is empty; give a mask of the brain")
    inside = scan.values[mask]
    if inside.min() == inside.max():
        raise UnusableInputError(f"{what} covers no contrast (every voxel is {inside[0]:g}); give another mask")
    body_ml = mask.sum() * voxel_volume_mm3(scan.affine) / 1000
    if not force and not LEAST_BRAIN_ML <= body_ml <= MOST_BRAIN_ML:
        raise UnusableInputError(f"{what} has {body_ml:.0f} ml, and {BRAINS}; check it, or use --force")


def _faces() -> list[tuple[Any, ...]]:
    """Return the indices of the six faces of a volume."""
    every = slice(None)
    return [(*(every,) * axis, end) for axis in range(3) for end in (0, -1)]
