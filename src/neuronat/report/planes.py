"""Three orthogonal planes of a volume, turned as people look at them; plain arrays, nothing is drawn here.

Radiological: the patient is looked at from the feet and from the front, so that the right side of the body is on
the left of the picture. Neurological: right is right. Letters at the edges say which it is.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import ConfigError, GridError
from neuronat.space.affine import (
    describe_grid,
    ijk_to_xyz_mm,
    is_same_grid,
    nearest_axes,
    reorient,
    reoriented_affine,
    spacing_mm,
    xyz_mm_to_ijk,
)
from neuronat.space.volume import LabelMap, Volume

__all__ = ["CONVENTIONS", "Plane", "cut_planes", "labels_centre_mm", "require_same_grid"]

CONVENTIONS = ("radiological", "neurological")
NAMES = ("sagittal", "coronal", "axial")
LETTERS = ("LR", "PA", "IS")
SIDES = "xyz"


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane: (W, H) grey values and label ids, the first row at the bottom; letters left, right, bottom, top."""

    name: str
    values: NDArray[np.float32]
    ids: NDArray[np.integer] | None
    spacing_mm: tuple[float, float]
    letters: tuple[str, str, str, str]
    position: str


def cut_planes(
    volume: Volume,
    label_map: LabelMap | None = None,
    *,
    centre_mm: tuple[float, float, float] | None = None,
    convention: str = "radiological",
) -> tuple[Plane, Plane, Plane]:
    """Cut a volume, and labels on the same grid, through one point.

    Parameters
    ----------
    volume : Volume
        Grey values.
    label_map : LabelMap, optional
        Labels on the grid of the volume.
    centre_mm : (3,) float, optional
        World mm, RAS+, of the point; the middle of the labels (or of the volume) without it. A point outside
        the volume goes to the nearest voxel of its border.
    convention : str
        `radiological` or `neurological`.

    Returns
    -------
    tuple of Plane
        Coronal, axial, sagittal. On an oblique grid they follow the voxel axes, and the letters the nearest
        directions.

    Raises
    ------
    ConfigError
        If the convention is not known.
    GridError
        If volume and labels lie on different grids.

    Notes
    -----
    Source: ours.
    """
    if convention not in CONVENTIONS:
        raise ConfigError(f"convention must be one of {', '.join(CONVENTIONS)}; got {convention!r}")
    if label_map:
        require_same_grid(volume, label_map)
    i, j, k = volume.values.shape
    moves = nearest_axes(volume.affine)
    affine = reoriented_affine(volume.affine, (i, j, k), moves)
    values = reorient(volume.values, moves)
    ids = reorient(label_map.ids, moves) if label_map else None
    if centre_mm is None:
        centre_mm = labels_centre_mm(label_map) if label_map else _middle_mm(volume)
    centre = np.rint(xyz_mm_to_ijk(affine, np.array(centre_mm))).astype(int)
    centre = np.clip(centre, 0, np.array(values.shape) - 1)
    cuts = [_cut(values, ids, affine, axis=axis, index=int(centre[axis])) for axis in (1, 2, 0)]
    first, second, third = (_flip(plane) if convention == "radiological" else plane for plane in cuts)
    return first, second, third


def require_same_grid(volume: Volume, label_map: LabelMap) -> None:
    """Raise GridError unless volume and labels lie on one grid."""
    if not is_same_grid((volume.values.shape, volume.affine), (label_map.ids.shape, label_map.affine)):
        raise GridError(
            f"the volume lies on {describe_grid(volume.values.shape, volume.affine)}, the labels on "
            f"{describe_grid(label_map.ids.shape, label_map.affine)}; draw labels on their own scan"
        )


def labels_centre_mm(label_map: LabelMap) -> tuple[float, float, float]:
    """Return the centre of mass of all labelled voxels in world mm; of the grid where nothing is labelled."""
    labelled = label_map.ids != 0
    total = labelled.sum()
    if not total:
        return _middle_mm(Volume(np.zeros(label_map.ids.shape, np.float32), label_map.affine))
    ijk = [
        float(labelled.sum(axis=tuple({0, 1, 2} - {axis})) @ np.arange(extent) / total)
        for axis, extent in enumerate(labelled.shape)
    ]
    x, y, z = ijk_to_xyz_mm(label_map.affine, np.array(ijk)).tolist()
    return x, y, z


def _middle_mm(volume: Volume) -> tuple[float, float, float]:
    x, y, z = ijk_to_xyz_mm(volume.affine, (np.array(volume.values.shape) - 1) / 2).tolist()
    return x, y, z


def _cut(
    values: NDArray[np.float32],
    ids: NDArray[np.integer] | None,
    affine: NDArray[np.float64],
    *,
    axis: int,
    index: int,
) -> Plane:
    """Cut one plane out of arrays whose axes run right, front and up."""
    across, up = (other for other in range(3) if other != axis)
    here = tuple(index if other == axis else slice(None) for other in range(3))  # take would copy all of a turned array
    step = spacing_mm(affine)
    middle = (np.array(values.shape) - 1) / 2
    middle[axis] = index
    return Plane(
        name=NAMES[axis],
        values=np.ascontiguousarray(values[here]),
        ids=None if ids is None else np.ascontiguousarray(ids[here]),
        spacing_mm=(float(step[across]), float(step[up])),
        letters=(*LETTERS[across], *LETTERS[up]),
        position=f"{SIDES[axis]} = {ijk_to_xyz_mm(affine, middle)[axis]:.0f} mm",
    )


def _flip(plane: Plane) -> Plane:
    """Mirror a plane left to right, with its letters."""
    left, right, bottom, top = plane.letters
    ids = None if plane.ids is None else plane.ids[::-1]
    return replace(plane, values=plane.values[::-1], ids=ids, letters=(right, left, bottom, top))
