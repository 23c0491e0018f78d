"""From scans and label maps on disk to packed scans: found, prepared, given coordinates, cropped."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuronat.coords.spectral import brain_coordinates
from neuronat.errors import GridError, LabelError, MissingInputError, UsageError
from neuronat.labels.scheme import LabelScheme
from neuronat.prepare.conform import labels_to_working
from neuronat.prepare.scan import prepare_scan
from neuronat.record import stem_of
from neuronat.space.affine import is_same_grid
from neuronat.space.files import read_label_map, read_mask, read_volume
from neuronat.space.volume import Volume
from neuronat.train.protocols import matching_paths
from neuronat.train.scans import INTENSITY_STEP, OUTSIDE, PackedScan

__all__ = ["LabelledScan", "find_labelled_scans", "pack_scan", "read_labelled_scan"]


@dataclass(frozen=True)
class LabelledScan:
    """The files of one labelled scan."""

    name: str
    scan: Path
    mask: Path
    labels: Path


def find_labelled_scans(folder: Path, *, scans: str, mask_ending: str, label_ending: str) -> list[LabelledScan]:
    """Find the labelled scans of a folder, to train on or to use as atlases.

    Parameters
    ----------
    folder : Path
        Where to look.
    scans : str
        Glob pattern of the scans, relative to the folder; its last part ends in what names a scan's file, such
        as `*/anat/*_desc-brain_T1w.nii.gz`.
    mask_ending, label_ending : str
        What stands in the place of that ending in the names of mask and label map.

    Returns
    -------
    list of LabelledScan
        Sorted by name.

    Raises
    ------
    MissingInputError
        If nothing matches, or a scan lacks its mask or label map.
    UsageError
        If two scans have the same name, or `scans` is no pattern.

    Notes
    -----
    Source: ours.
    """
    ending = scans.rsplit("*", 1)[-1]
    paths = matching_paths(folder, scans) if folder.is_dir() else []
    if not paths:
        raise MissingInputError(f"{folder.name}: no scans match {scans}; check the folder and the pattern")
    found = []
    for path in paths:
        start = path.name.removesuffix(ending)
        mask, labels = path.with_name(start + mask_ending), path.with_name(start + label_ending)
        for needed in (mask, labels):
            if not needed.is_file():
                raise MissingInputError(f"{path.name}: {needed.name} not found beside it; a labelled scan needs it")
        found.append(LabelledScan(stem_of(path), path, mask, labels))
    names = [scan.name for scan in found]
    if len(set(names)) != len(names):
        raise UsageError(f"{folder.name}: several labelled scans have the same name; rename them")
    return found


def pack_scan(scan: LabelledScan, scheme: LabelScheme, protocol: LabelScheme) -> PackedScan:
    """Prepare a scan as `segment` does, and keep what training needs.

    Parameters
    ----------
    scan : LabelledScan
        Its files.
    scheme : LabelScheme
        Scheme of the label map's ids.
    protocol : LabelScheme
        Scheme to train on; `scheme` must be it or map to it.

    Returns
    -------
    PackedScan
        On the working grid, cropped to the mask.

    Raises
    ------
    GridError
        If scan, mask and label map do not share a grid.
    LabelError
        If the label map holds unknown ids, or everything is background.

    Notes
    -----
    Source: ours.
    """
    volume, mask, ids = read_labelled_scan(scan, scheme)
    prepared = prepare_scan(volume, mask)
    classes = protocol.classes_of(scheme.mapped_ids(ids, protocol.name), what=scan.labels.name)
    classes = labels_to_working(classes, prepared.grid)[prepared.box]
    classes = np.where(prepared.mask, classes, OUTSIDE).astype(np.uint8)
    if not ((classes != OUTSIDE) & (classes > 0)).any():
        raise LabelError(f"{scan.labels.name}: no voxel in the mask carries a label; training needs labelled scans")
    return PackedScan(
        name=scan.name,
        intensities=np.round(prepared.intensities / INTENSITY_STEP).astype(np.uint8),
        classes=classes,
        coordinates=brain_coordinates(prepared.mask, prepared.affine).astype(np.float16),
    )


def read_labelled_scan(
    scan: LabelledScan, scheme: LabelScheme
) -> tuple[Volume, NDArray[np.bool_], NDArray[np.integer]]:
    """Read a labelled scan.

    Parameters
    ----------
    scan : LabelledScan
        Its files.
    scheme : LabelScheme
        Scheme of the label map's ids.

    Returns
    -------
    Volume, (I, J, K) bool, (I, J, K) int
        Grey values, brain mask and label ids on the scan's own grid.

    Raises
    ------
    GridError
        If scan, mask and label map do not share a grid.
    LabelError
        If the label map holds unknown ids.

    Notes
    -----
    Source: ours.
    """
    volume = read_volume(scan.scan).volume
    mask, labels = read_mask(scan.mask), read_label_map(scan.labels, scheme)
    for name, affine, shape in (
        (scan.mask.name, mask.affine, mask.values.shape),
        (scan.labels.name, labels.affine, labels.ids.shape),
    ):
        if not is_same_grid((shape, affine), (volume.values.shape, volume.affine)):
            raise GridError(f"{name}: not on the grid of {scan.scan.name}; resample it to that grid first")
    return volume, mask.values > 0, labels.ids
