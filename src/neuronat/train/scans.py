"""Scans that networks train on, prepared once and kept small: one compressed file per scan.

A packed scan needs neither SimpleITK nor the scan's file, so training runs wherever torch and numpy are.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.errors import MissingInputError, ShapeError, UnusableInputError
from neuronat.labels.scheme import LabelScheme
from neuronat.record import write_whole

__all__ = [
    "INTENSITY_STEP",
    "OUTSIDE",
    "PackedScan",
    "TrainingSet",
    "foreground_of",
    "read_packed",
    "shown_values",
    "stack_scans",
    "unseen_ids",
    "write_packed",
]

INTENSITY_STEP = 0.01
OUTSIDE = 255
SHOWN_FROM_VOX = 5
ARRAYS = ("intensities", "classes", "coordinates")


@dataclass(frozen=True, eq=False)
class PackedScan:
    """One labelled scan on the working grid, cropped to its mask.

    intensities (I, J, K) uint8 in steps of 0.01; classes (I, J, K) uint8, 255 outside the mask;
    coordinates (6, I, J, K) float16.
    """

    name: str
    intensities: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    coordinates: NDArray[np.float16]

    def __post_init__(self) -> None:
        shapes = (self.intensities.shape, self.classes.shape, self.coordinates.shape[1:])
        if len(set(shapes)) != 1 or self.intensities.ndim != 3:
            raise ShapeError(f"{self.name}: intensities, classes and coordinates must share one 3D grid; got {shapes}")
        if not (self.classes != OUTSIDE).any():
            raise UnusableInputError(f"{self.name}: the brain mask is empty; give a scan with a brain")
        if not ((self.classes != OUTSIDE) & (self.classes > 0)).any():
            raise UnusableInputError(f"{self.name}: no voxel carries a label; training needs labelled scans")


def write_packed(scan: PackedScan, folder: Path) -> Path:
    """Write the scan to `folder/<name>.npz`, whole or not at all, and return the path."""
    path = folder / f"{scan.name}.npz"
    arrays = (scan.intensities, scan.classes, scan.coordinates)
    write_whole(path, lambda stream: np.savez_compressed(stream, **dict(zip(ARRAYS, arrays, strict=True))))  # type: ignore[arg-type]
    return path


def read_packed(path: Path) -> PackedScan:
    """Read a packed scan; MissingInputError or UnusableInputError name the file."""
    if not path.is_file():
        raise MissingInputError(f"{path.name}: packed scan not found; pack the training scans first")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return PackedScan(path.stem, *(arrays[name] for name in ARRAYS))
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise UnusableInputError(f"{path.name}: not a packed scan ({error}); pack it again") from error


def foreground_of(scan: PackedScan) -> PackedScan:
    """Return the scan with two classes: 0 background, 1 any structure; 255 stays outside the mask."""
    classes = np.where(scan.classes == OUTSIDE, OUTSIDE, scan.classes > 0).astype(np.uint8)
    return replace(scan, classes=classes)


def shown_values(labels: NDArray[np.integer]) -> set[int]:
    """List the ids or classes, at least 0, of which a label map teaches something; a few voxels are a slip."""
    if labels.dtype.itemsize > 2:  # ids so large that a count of each would take gigabytes
        values, counts = np.unique(labels, return_counts=True)
        return set(values[counts >= SHOWN_FROM_VOX].tolist())
    return set(np.flatnonzero(np.bincount(labels.ravel()) >= SHOWN_FROM_VOX).tolist())


def unseen_ids(scans: Iterable[PackedScan], scheme: LabelScheme) -> tuple[int, ...]:
    """List the structures of a scheme that no scan shows, by id."""
    seen = set().union(*(shown_values(scan.classes) for scan in scans))
    return tuple(index for c, index in enumerate(scheme.ids) if c > 0 and c not in seen)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """All scans of a training on one device, padded to one shape, so that a voxel is one number.

    intensities, classes (S, I, J, K) uint8; rows (S, I, J, K) int32, 0 where no centre may lie, elsewhere the voxel's
    row in coordinates (1 + V, 6) float16, whose first row is 0.
    """

    intensities: Tensor
    classes: Tensor
    rows: Tensor
    coordinates: Tensor

    @property
    def eligible(self) -> Tensor:
        """Voxels (S, I, J, K) bool that may be centres."""
        return self.rows > 0

    @property
    def strides(self) -> tuple[int, int, int]:
        """Distance in the flattened tensors between neighbours along i, j, k."""
        _, _, j, k = self.intensities.shape
        return j * k, k, 1


def stack_scans(
    scans: list[PackedScan], *, margin_vox: int, around_foreground_vox: int | None, device: torch.device
) -> TrainingSet:
    """Put packed scans into one padded training set.

    Parameters
    ----------
    scans : list of PackedScan
        At least one.
    margin_vox : int
        Voxels outside every scan's box, at least the reach of a block from its centres.
    around_foreground_vox : int or None
        None: every voxel of the mask may be a centre (first stage, single step). A number: only voxels of the
        foreground and those at most so far from it (second stage).
    device : torch.device
        Where the tensors live.

    Returns
    -------
    TrainingSet
        Class 0 outside the mask; coordinates of eligible voxels alone, a sixth of the padded grid.

    Raises
    ------
    UnusableInputError
        If there are no scans.

    Notes
    -----
    Source: ours.
    """
    if not scans:
        raise UnusableInputError("no scans to train on; name at least one")
    extents = np.max([scan.intensities.shape for scan in scans], axis=0) + 2 * margin_vox
    shape = (len(scans), *(int(extent) for extent in extents))
    intensities = torch.zeros(shape, dtype=torch.uint8)
    classes = torch.zeros(shape, dtype=torch.uint8)
    rows = torch.zeros(shape, dtype=torch.int32)
    coordinates = [torch.zeros(1, 6, dtype=torch.float16)]
    n_rows = 1
    for index, scan in enumerate(scans):
        i, j, k = (slice(margin_vox, margin_vox + extent) for extent in scan.intensities.shape)
        mask = torch.from_numpy(scan.classes != OUTSIDE)
        known = torch.from_numpy(np.where(scan.classes == OUTSIDE, 0, scan.classes))
        eligible = mask if around_foreground_vox is None else mask & _grow(known > 0, around_foreground_vox)
        intensities[index, i, j, k] = torch.from_numpy(scan.intensities)
        classes[index, i, j, k] = known
        coordinates.append(torch.from_numpy(scan.coordinates)[:, eligible].T)
        rows[index, i, j, k][eligible] = torch.arange(n_rows, n_rows + len(coordinates[-1]), dtype=torch.int32)
        n_rows += len(coordinates[-1])
    return TrainingSet(intensities.to(device), classes.to(device), rows.to(device), torch.cat(coordinates).to(device))


def _grow(mask: Tensor, distance_vox: int) -> Tensor:
    """Dilate a (I, J, K) mask by a cube."""
    if distance_vox == 0:
        return mask
    size = 2 * distance_vox + 1
    grown = torch.nn.functional.max_pool3d(mask[None, None].float(), size, 1, distance_vox)
    return grown[0, 0] > 0
