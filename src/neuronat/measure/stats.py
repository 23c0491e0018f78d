"""Volumes in the form of FreeSurfer's `aseg.stats`, so that its readers read ours."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neuronat import __version__
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.measure.volumes import StructureVolume
from neuronat.space.affine import voxel_volume_mm3
from neuronat.space.volume import LabelMap, Volume

__all__ = ["aseg_stats"]

COLUMNS = (
    ("Index", "Index", "NA"),
    ("SegId", "Segmentation Id", "NA"),
    ("NVoxels", "Number of Voxels", "unitless"),
    ("Volume_mm3", "Volume", "mm^3"),
    ("StructName", "Structure Name", "NA"),
    ("normMean", "Intensity normMean", "MR"),
    ("normStdDev", "Intensity normStdDev", "MR"),
    ("normMin", "Intensity normMin", "MR"),
    ("normMax", "Intensity normMax", "MR"),
    ("normRange", "Intensity normRange", "MR"),
)
FREESURFER = "freesurfer"
NO_PART = frozenset({16, 85})
"""Brain stem and optic chiasm, which FreeSurfer leaves out of the brain's volume: where they end is anybody's guess."""
FLUIDS = frozenset({4, 5, 14, 15, 24, 31, 43, 44, 63, 72})
"""Ventricles with their choroid plexus, and CSF: what FreeSurfer leaves out of the volume without ventricles."""
MEASURES = (
    ("lhCortex", "lhCortexVol", "Left hemisphere cortical gray matter volume", (3,)),
    ("rhCortex", "rhCortexVol", "Right hemisphere cortical gray matter volume", (42,)),
    ("Cortex", "CortexVol", "Total cortical gray matter volume", (3, 42)),
    ("lhCerebralWhiteMatter", "lhCerebralWhiteMatterVol", "Left hemisphere cerebral white matter volume", (2,)),
    ("rhCerebralWhiteMatter", "rhCerebralWhiteMatterVol", "Right hemisphere cerebral white matter volume", (41,)),
    ("CerebralWhiteMatter", "CerebralWhiteMatterVol", "Total cerebral white matter volume", (2, 41)),
)


def aseg_stats(
    volumes: Sequence[StructureVolume], labels: LabelMap, image: Volume, mask: NDArray[np.bool_], name: str
) -> str:
    """Return the volumes of one protocol as the text of a stats file.

    Parameters
    ----------
    volumes : sequence of StructureVolume
        One row per structure.
    labels : LabelMap
        The labels that were measured.
    image : Volume
        Grey values on the grid of the labels; mean, deviation, least and most of each structure are theirs, unchanged.
    mask : (I, J, K) bool
        Brain mask on the same grid.
    name : str
        File name of the label map, for the header; no path.

    Returns
    -------
    str
        Ids are FreeSurfer's where the scheme is mapped one to one, else its own. Structures that were not found are
        left out, as FreeSurfer does. Host, user, paths and the intracranial volume, which is not known, are left out.

    Notes
    -----
    Source: ours, after FreeSurfer's file format, and its definitions of the sums: brain stem and optic chiasm are no
    part of `BrainSegVol`; `BrainSegVolNotVent` is that without ventricles, choroid plexus and CSF.
    """
    grey = _grey_values(labels, image)
    voxel_mm3 = voxel_volume_mm3(labels.affine)
    scheme = labels.scheme
    target = scheme.freesurfer_scheme
    ids = _own_or_freesurfer_ids(scheme, target)
    found = [row for row in volumes if row.n_voxels and row.volume_mm3 is not None]
    lines = [
        "# Title Segmentation Statistics",
        "#",
        f"# generating_program neuronat {__version__}",
        "# anatomy_type volume",
        "#",
        *_measures(found, scheme, target),
        f"# Measure Mask, MaskVol, Mask Volume, {np.count_nonzero(mask) * voxel_mm3:.6f}, mm^3",
        f"# SegVolFile {name}",
        f"# ColorTable seg-{scheme.name}_dseg.tsv",
        "# ExcludeSegId 0",
        f"# VoxelVolume_mm3 {voxel_mm3:g}",
        *_column_lines(),
        f"# NRows {len(found)}",
        f"# NTableCols {len(COLUMNS)}",
        f"# ColHeaders  {' '.join(column for column, _, _ in COLUMNS)}",
    ]
    for number, row in enumerate(found, start=1):
        mean, deviation, least, most = grey[row.index]
        numbers = " ".join(f"{value:10.4f}" for value in (mean, deviation, least, most, most - least))
        structure = "-".join(row.name.split())
        lines.append(
            f"{number:3d} {ids[row.index]:3d} {row.n_voxels:9d} {row.volume_mm3:10.1f}  {structure:<30s} {numbers}"
        )
    return "\n".join(lines) + "\n"


def _measures(found: Sequence[StructureVolume], scheme: LabelScheme, target: str) -> list[str]:
    """Sum up the parts that readers ask for, where all that belongs to one was found and its FreeSurfer id is known."""
    ids = _freesurfer_ids(scheme, target)
    volumes: dict[int, float] = {}
    for row in found:
        volumes[ids[row.index]] = volumes.get(ids[row.index], 0.0) + (row.volume_mm3 or 0.0)
    total = sum(volume for index, volume in volumes.items() if index not in NO_PART)
    sums = [("BrainSeg", "BrainSegVol", "Brain Segmentation Volume", total)]
    if target:
        fluids = sum(volumes.get(index, 0.0) for index in FLUIDS)
        words = "Brain Segmentation Volume Without Ventricles"
        sums.append(("BrainSegNotVent", "BrainSegVolNotVent", words, total - fluids))
        for field, name, words, parts in MEASURES:
            if set(parts) <= set(volumes):
                sums.append((field, name, words, sum(volumes[index] for index in parts)))
    return [f"# Measure {field}, {name}, {words}, {volume:.6f}, mm^3" for field, name, words, volume in sums]


def _column_lines() -> list[str]:
    """Describe the columns, three lines each."""
    lines = []
    for number, (column, words, unit) in enumerate(COLUMNS, start=1):
        lines.append(f"# TableCol {number:2d} ColHeader {column}")
        lines.append(f"# TableCol {number:2d} FieldName {words}")
        lines.append(f"# TableCol {number:2d} Units     {unit}")
    return lines


def _freesurfer_ids(scheme: LabelScheme, target: str) -> dict[int, int]:
    """Return FreeSurfer's id of each structure; of one that is not mapped that of its name, or 0."""
    if not target:
        return dict.fromkeys(scheme.ids, 0)
    known = load_scheme(FREESURFER)
    of_name = {_plain(name): index for index, name in known.name_of.items()}
    mapped = scheme.mapping_to(target)
    return {index: mapped[index] or of_name.get(_plain(name), 0) for index, name in scheme.name_of.items()}


def _plain(name: str) -> str:
    return "-".join(name.lower().split())


def _own_or_freesurfer_ids(scheme: LabelScheme, target: str) -> Mapping[int, int]:
    """Translate ids into FreeSurfer's if no two structures become one by it, else keep them."""
    mapped = scheme.mapping_to(target or scheme.name)
    is_one_to_one = list(mapped.values()).count(0) == 1 and len(set(mapped.values())) == len(mapped)
    return mapped if is_one_to_one else scheme.mapping_to(scheme.name)


def _grey_values(labels: LabelMap, image: Volume) -> dict[int, tuple[float, float, float, float]]:
    """Return mean, standard deviation, least and most grey value of each label."""
    inside = labels.ids != 0
    ids, values = labels.ids[inside], image.values[inside].astype(np.float64)
    order = np.argsort(ids, kind="stable")
    ids, values = ids[order], values[order]
    found, starts = np.unique(ids, return_index=True)
    grey = {}
    for index, part in zip(found.tolist(), np.split(values, starts[1:]), strict=True):
        deviation = float(part.std(ddof=1)) if part.size > 1 else 0.0
        grey[index] = (float(part.mean()), deviation, float(part.min()), float(part.max()))
    return grey
