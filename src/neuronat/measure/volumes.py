"""Volumes of the structures of a label map.

A volume is the number of voxels times |det| of the affine. Where voxels are coarse, whole voxels are the wrong
measure: there the number is that of the fine grid on which the labels were found, which splits a coarse voxel among the
structures in it (decision 0016). Three things can spoil a volume. A structure without a
voxel was **not found**: nobody knows its volume, so it is `n/a`, never 0. Where no scan that the model learnt from
showed the structure, which its protocol lists all the same, it was **not taught**, and nothing went wrong. One that
touches the border of the field of view may go on beyond it: it is **truncated**, and its volume is a lower bound.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neuronat.measure.overlap import fast_classes
from neuronat.space.affine import spacing_mm, voxel_volume_mm3
from neuronat.space.volume import LabelMap

__all__ = [
    "NOT_FOUND",
    "NOT_TAUGHT",
    "TRUNCATED",
    "StructureVolume",
    "is_coarse",
    "structure_volumes",
    "volumes_table",
]

COLUMNS = ("index", "name", "n_voxels", "volume_mm3", "reason", "finding", "confidence")
NO_FINDINGS: Mapping[int, str] = MappingProxyType({})
NOT_MEASURED: Mapping[int, float] = MappingProxyType({})
NOT_FOUND = "not found"
NOT_TAUGHT = "not taught"
TRUNCATED = "truncated"
COARSE_MM = 1.5


@dataclass(frozen=True)
class StructureVolume:
    """One row of the table; `n_voxels` and `volume_mm3` are None where not known, and `reason` says why."""

    index: int
    name: str
    n_voxels: int | None
    volume_mm3: float | None
    reason: str = ""


def is_coarse(affine: NDArray[np.float64]) -> bool:
    """Tell whether a voxel has a side above 1.5 mm, so that many voxels hold more than one structure."""
    return bool(spacing_mm(affine).max() > COARSE_MM)


def structure_volumes(
    label_map: LabelMap, fine: LabelMap | None = None, untaught: Collection[int] = ()
) -> tuple[StructureVolume, ...]:
    """Measure the volume of each structure of a label map.

    Parameters
    ----------
    label_map : LabelMap
        Label ids with affine and scheme.
    fine : LabelMap, optional
        The same labels on the fine grid on which they were found; then the volumes are counted there.
    untaught : collection of int, optional
        Ids of structures that the model never saw.

    Returns
    -------
    tuple of StructureVolume
        One row per structure, in the order of the scheme, background left out. `reason` is `not found` or, of the
        untaught, `not taught` (on neither grid; number and volume are None), `truncated` (a voxel lies in the
        outermost layer of the grid; the volume counts what is there), or empty.

    Raises
    ------
    LabelError
        If an id is not in the scheme.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> from neuronat.labels.scheme import load_scheme
    >>> ids = np.zeros((3, 3, 3), np.int16)
    >>> ids[1, 1, 1] = 14
    >>> rows = structure_volumes(LabelMap(ids, np.diag([-1.0, 1.0, 2.0, 1.0]), load_scheme("deepnat25")))
    >>> rows[9].name, rows[9].n_voxels, rows[9].volume_mm3, rows[10].reason
    ('3rd-Ventricle', 1, 2.0, 'not found')
    """
    scheme = label_map.scheme
    classes = fast_classes(label_map.ids, scheme)
    n_voxels = _counts(classes, scheme.n_classes)
    is_truncated = n_voxels > _counts(classes[1:-1, 1:-1, 1:-1], scheme.n_classes)
    finer = label_map if fine is None else fine
    n_counted = n_voxels if fine is None else _counts(fast_classes(fine.ids, scheme), scheme.n_classes)
    per_voxel_mm3 = voxel_volume_mm3(finer.affine)
    rows = []
    for position, (index, name) in enumerate(zip(scheme.ids, scheme.names, strict=True)):
        n = int(n_voxels[position])
        if position == 0:
            continue
        if n == 0 and n_counted[position] == 0:
            rows.append(StructureVolume(index, name, None, None, NOT_TAUGHT if index in untaught else NOT_FOUND))
        else:
            reason = TRUNCATED if is_truncated[position] else ""
            rows.append(StructureVolume(index, name, n, int(n_counted[position]) * per_voxel_mm3, reason))
    return tuple(rows)


def volumes_table(
    rows: Sequence[StructureVolume],
    findings: Mapping[int, str] = NO_FINDINGS,
    confidence: Mapping[int, float] = NOT_MEASURED,
) -> str:
    """Return the rows as the text of a table: tabs, a header line, `n/a` where not known; findings, confidence by id.

    Notes
    -----
    Source: ours, after BIDS.

    Examples
    --------
    >>> print(volumes_table([StructureVolume(4, "ventricle", 3, 4.5)]), end="")
    index	name	n_voxels	volume_mm3	reason	finding	confidence
    4	ventricle	3	4.5	n/a	n/a	n/a
    """
    lines = ["\t".join(COLUMNS)]
    for row in rows:
        n_voxels = "n/a" if row.n_voxels is None else str(row.n_voxels)
        volume = "n/a" if row.volume_mm3 is None else f"{row.volume_mm3:.10g}"
        sure = f"{confidence[row.index]:.3f}" if row.index in confidence else "n/a"
        said = (row.reason or "n/a", findings.get(row.index, "n/a"))
        lines.append("\t".join([str(row.index), row.name, n_voxels, volume, *said, sure]))
    return "\n".join(lines) + "\n"


def _counts(classes: NDArray[np.uint8], n_classes: int) -> NDArray[np.int64]:
    """Voxels per class (C,) int64, slab by slab: bincount makes int64 of its input."""
    counts = np.zeros(n_classes, np.int64)
    for slab in classes:
        counts += np.bincount(slab.ravel(), minlength=n_classes)
    return counts
