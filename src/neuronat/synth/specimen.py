"""A scan whose truth is known, and how to move it: grey values, mask and labels travel together.

A *specimen* is what a laboratory alters and measures on. Its grey values go on beyond the brain's mask, as if nothing
had been stripped, so that interpolation at the border does not mix in the background; writing strips them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import GridError, UnusableInputError
from neuronat.space.files import write_label_map, write_mask, write_volume
from neuronat.space.volume import LabelMap, Volume
from neuronat.synth.tissue import FLUID, GREY, WHITE

__all__ = ["Specimen", "file_names", "make_specimen", "moved", "write_specimen"]

LEAST_SHARE_OF_WHITE = 1e-3
MARGIN_VOX = 2
UNTIED_VOX = np.array([1.0e-3, 0.7e-3, 0.5e-3], np.float32).reshape(3, 1, 1, 1)
"""So little are labels moved that no voxel lies exactly between two of them, where one would win everywhere."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Specimen:
    """Grey values, mask (I, J, K) bool, labels, tissue (I, J, K) uint8 (1 fluid, 2 grey, 3 white), all on one grid.

    `levels` are the usual grey values of fluid, grey and white matter; `is_raw`: what is outside the brain stays.
    """

    volume: Volume
    mask: NDArray[np.bool_]
    labels: LabelMap
    tissue: NDArray[np.uint8]
    levels: tuple[float, float, float]
    is_raw: bool = False

    def __post_init__(self) -> None:
        shapes = {self.volume.values.shape, self.mask.shape, self.labels.ids.shape, self.tissue.shape}
        if len(shapes) != 1:
            raise GridError(f"scan, mask, labels and tissue must share one grid; got {sorted(shapes)}")


def make_specimen(volume: Volume, mask: NDArray[np.bool_], labels: LabelMap, tissue: NDArray[np.integer]) -> Specimen:
    """Make a specimen of a stripped scan.

    Parameters
    ----------
    volume : Volume
        Grey values; those outside the mask are not used.
    mask : (I, J, K) bool
        Brain.
    labels : LabelMap
        The truth.
    tissue : (I, J, K) int
        1 fluid, 2 grey matter, 3 white matter.

    Returns
    -------
    Specimen
        Beyond the mask its grey values are those of the nearest voxel inside.

    Raises
    ------
    GridError
        If the shapes differ.
    UnusableInputError
        If one of the tissues is missing in the mask.

    Notes
    -----
    Source: ours.
    """
    if {mask.shape, tissue.shape} != {volume.values.shape}:
        raise GridError(f"scan {volume.values.shape}, mask {mask.shape} and tissue {tissue.shape} must share one grid")
    inside = [volume.values[mask & (tissue == kind)] for kind in (FLUID, GREY, WHITE)]
    if not all(len(values) for values in inside):
        raise UnusableInputError("fluid, grey or white matter is missing; give a tissue map with 1, 2 and 3")
    fluid, grey, white = (float(np.median(values)) for values in inside)
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return Specimen(
        volume=Volume(volume.values[tuple(nearest)], volume.affine),
        mask=mask,
        labels=labels,
        tissue=tissue.astype(np.uint8),
        levels=(fluid, grey, white),
    )


def moved(specimen: Specimen, places: NDArray[np.float32], affine: NDArray[np.float64]) -> Specimen:
    """Sample a specimen at places.

    Parameters
    ----------
    specimen : Specimen
        What is moved.
    places : (3, A, B, C) float32
        Where the voxels of the new grid come from, in voxels of the specimen.
    affine : (4, 4) float64
        Of the new grid.

    Returns
    -------
    Specimen
        Grey values by cubic splines, the mask where at least half is inside, the label and the tissue with the
        largest share of each voxel; nothing beyond the specimen's grid.

    Notes
    -----
    Source: ours.
    """
    values = ndimage.map_coordinates(specimen.volume.values, places, order=3, mode="nearest", output=np.float32)
    untied = places + UNTIED_VOX
    inside = ndimage.map_coordinates(specimen.mask.astype(np.float32), untied, order=1) >= 0.5
    ids = _largest_share(specimen.labels.ids, untied)
    return replace(
        specimen,
        volume=Volume(values, affine),
        mask=inside,
        labels=LabelMap(np.where(inside, ids, 0), affine, specimen.labels.scheme),
        tissue=np.where(inside, _largest_share(specimen.tissue, untied), 0).astype(np.uint8),
    )


def file_names(stem: str, protocol: str, *, is_raw: bool) -> tuple[str, str, str]:
    """Return the names of scan, mask and label map.

    Notes
    -----
    Source: ours, after BIDS.

    Examples
    --------
    >>> file_names("sub-01_acq-noisy", "deepnat25", is_raw=False)[0]
    'sub-01_acq-noisy_desc-brain_T1w.nii.gz'
    """
    scan = f"{stem}_T1w.nii.gz" if is_raw else f"{stem}_desc-brain_T1w.nii.gz"
    return scan, f"{stem}_desc-brain_mask.nii.gz", f"{stem}_seg-{protocol}_dseg.nii.gz"


def write_specimen(specimen: Specimen, folder: Path, stem: str) -> tuple[Path, Path, Path]:
    """Write scan, mask and label map, which comes last; return their paths.

    Notes
    -----
    Source: ours. A stripped scan is exactly 0 outside its mask and above 0 inside.
    """
    names = file_names(stem, specimen.labels.scheme.name, is_raw=specimen.is_raw)
    scan, mask, labels = (folder / name for name in names)
    values = specimen.volume.values.clip(min=np.float32(LEAST_SHARE_OF_WHITE * specimen.levels[2]))
    if not specimen.is_raw:
        values = np.where(specimen.mask, values, np.float32(0))
    write_volume(scan, Volume(values, specimen.volume.affine))
    write_mask(mask, specimen.mask, specimen.volume.affine)
    write_label_map(labels, specimen.labels)
    return scan, mask, labels


def _largest_share(ids: NDArray[np.integer], places: NDArray[np.float32]) -> NDArray[np.int32]:
    """Take the id with the largest share, linearly interpolated, of the eight voxels around each place."""
    nearest = ndimage.map_coordinates(ids, places, order=0)
    found = np.unique(ids)
    sources = ndimage.find_objects(np.searchsorted(found, ids) + 1)
    targets = ndimage.find_objects(np.searchsorted(found, nearest) + 1, len(found))
    best = np.zeros(nearest.shape, np.int32)
    most = np.zeros(nearest.shape, np.float32)
    for index, source, target in zip(found.tolist(), sources, targets, strict=True):
        if target is None:
            continue
        box = _grown(target, nearest.shape, margin_vox=MARGIN_VOX)
        near = _grown(source, ids.shape, margin_vox=1)
        start = np.array([edge.start for edge in near], np.float32).reshape(3, 1, 1, 1)
        share = ndimage.map_coordinates(
            (ids[near] == index).astype(np.float32), places[(slice(None), *box)] - start, order=1
        )
        is_better = share > most[box]
        best[box][is_better] = index
        most[box][is_better] = share[is_better]
    return best


def _grown(box: tuple[slice, ...], shape: tuple[int, ...], *, margin_vox: int) -> tuple[slice, ...]:
    """Widen a box, within the array."""
    return tuple(
        slice(max(edge.start - margin_vox, 0), min(edge.stop + margin_vox, n))
        for edge, n in zip(box, shape, strict=True)
    )
