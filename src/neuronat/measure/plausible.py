"""Can this label map be that of an adult brain? Gates, each a pure function that returns findings.

A **finding** is a reason to look again (`review`) or not to use the result (`fail`). No finding judges health: a
large ventricle or a small hippocampus is a reason to look, never to fail.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from io import StringIO

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.labels.sides import side_of
from neuronat.measure.volumes import NOT_FOUND, NOT_TAUGHT, TRUNCATED, StructureVolume, structure_volumes
from neuronat.space.affine import ijk_to_xyz_mm, voxel_volume_mm3
from neuronat.space.volume import LEAST_BRAIN_ML, MOST_BRAIN_ML, LabelMap

__all__ = [
    "COMMON",
    "VERDICTS",
    "Finding",
    "adult_ranges_ml",
    "judge_labels",
    "judge_shapes",
    "judge_sides",
    "judge_volumes",
    "verdict_of",
]

VERDICTS = ("pass", "review", "fail")
COMMON = "deepnat25"  # the scheme of the ranges; others are judged through their mapping to it
VENTRICLES, LATERAL = (4, 14, 15, 43), (4, 43)
TISSUE_ML, POSSIBLE_TISSUE_ML = (800.0, 1800.0), (LEAST_BRAIN_ML, MOST_BRAIN_ML)
RATIO, LATERAL_RATIO = (0.6, 1.6), (0.25, 4.0)
MOST_MISSING, MOST_STRANGE = 0.25, 0.5
LOOSE_ML = 1.0
LEAST_LABELLED, USUALLY_LABELLED = 0.4, 0.6
LONELY_ML = 0.1
TOUCHING_SHARE = 0.01


@dataclass(frozen=True)
class Finding:
    """A reason, how bad it is (`review` or `fail`), and the structure's id where it is about one."""

    level: str
    reason: str
    index: int | None = None


def verdict_of(findings: Sequence[Finding]) -> str:
    """Return the worst of the findings: `fail`, `review`, or `pass` where there is none.

    Notes
    -----
    Source: ours (decision 0019).

    Examples
    --------
    >>> verdict_of([Finding("review", "small"), Finding("fail", "exchanged")]), verdict_of([])
    ('fail', 'pass')
    """
    return VERDICTS[max((VERDICTS.index(finding.level) for finding in findings), default=0)]


def judge_labels(
    labels: LabelMap, mask: NDArray[np.bool_], fine: LabelMap | None = None, untaught: Collection[int] = ()
) -> tuple[Finding, ...]:
    """Pass a label map through all gates that need no more than the brain mask.

    Parameters
    ----------
    labels : LabelMap
        Labels of any scheme; one with a mapping to the 25 structures is judged by these.
    mask : (I, J, K) bool
        Brain mask on the same grid.
    fine : LabelMap, optional
        The same labels on the fine grid where their volumes are counted (measure.volumes).
    untaught : collection of int, optional
        Ids that the model never saw: nobody misses them, nor what else they would have filled.

    Returns
    -------
    tuple of Finding
        Empty if nothing is strange.

    Notes
    -----
    Source: ours (decision 0019).
    """
    scheme = labels.scheme
    if not labels.ids.any():
        return (Finding("fail", "no voxel carries a label"),)
    own = () if scheme.name == COMMON else _one_sided(structure_volumes(labels, fine, untaught), scheme)
    if scheme.name != COMMON and COMMON not in scheme.mappings:
        return own
    box = _box(mask | (labels.ids != 0))
    affine = labels.affine.copy()
    affine[:3, 3] = ijk_to_xyz_mm(labels.affine, np.array([edge.start for edge in box]))
    common, meant = labels.mapped(load_scheme(COMMON)), scheme.mapping_to(COMMON)
    missed = set(common.scheme.ids) - {meant[index] for index in scheme.ids if index not in untaught}
    rows = structure_volumes(common, fine.mapped(common.scheme) if fine else None, missed)
    cropped = LabelMap(common.ids[box], affine, common.scheme)
    shapes = judge_shapes(cropped, mask[box], is_whole=not missed)
    found = (*judge_volumes(rows), *judge_sides(cropped), *shapes)
    return (*(_in_own_ids(finding, meant) for finding in found), *own)


def judge_volumes(volumes: Sequence[StructureVolume]) -> tuple[Finding, ...]:
    """Judge the volumes of the 25 structures: missing, cut off, too small, too large, too unequal.

    Parameters
    ----------
    volumes : sequence of StructureVolume
        One row per structure of `deepnat25`; those that were not taught do not count.

    Returns
    -------
    tuple of Finding
        `fail` where more than a quarter of the structures is missing, more than half is outside the range of
        adults, or the tissue together is no human brain's; else `review`.

    Notes
    -----
    Source: [MATSUMAE] for the tissue; the ranges of single structures are ours (decision 0019).
    """
    n_listed, volumes = len(volumes), [row for row in volumes if row.reason != NOT_TAUGHT]
    found = {row.index: row.volume_mm3 / 1000 for row in volumes if row.volume_mm3 is not None}
    findings = []
    if missing := [row.name for row in volumes if row.reason == NOT_FOUND]:
        level = "fail" if len(missing) > MOST_MISSING * len(volumes) else "review"
        findings.append(Finding(level, f"no voxel of {', '.join(missing)}"))
    if cut := [row.name for row in volumes if row.reason == TRUNCATED]:
        listed = ", ".join(cut)
        findings.append(
            Finding("review", f"cut by the border of the image, so that volumes are lower bounds: {listed}")
        )
    tissue_ml = sum(ml for index, ml in found.items() if index not in VENTRICLES)
    if found and len(volumes) == n_listed and not _is_within(tissue_ml, TISSUE_ML):
        level = "review" if _is_within(tissue_ml, POSSIBLE_TISSUE_ML) else "fail"
        findings.append(Finding(level, f"brain tissue of {tissue_ml:.0f} ml (adults {_said(TISSUE_ML)})"))
    strange = _out_of_range(volumes)
    if len(strange) > MOST_STRANGE * len(volumes):
        reason = f"{len(strange)} of {len(volumes)} structures are outside the range of adults"
        return (*findings, Finding("fail", reason), *strange)
    return (*findings, *strange, *_unequal(volumes))


def judge_sides(labels: LabelMap) -> tuple[Finding, ...]:
    """Judge whether left is left: the centre of each left structure has the smaller x in the world (RAS+).

    Notes
    -----
    Source: ours. `fail` where left and right as a whole are exchanged.
    """
    along_x = labels.affine[0, :3]
    i, j, k = (np.arange(extent) * step for extent, step in zip(labels.ids.shape, along_x, strict=True))
    x_mm = (i[:, None, None] + j[:, None] + k).ravel()
    flat = labels.ids.ravel()
    counts, totals = np.bincount(flat), np.bincount(flat, weights=x_mm)
    scheme, names = labels.scheme, labels.scheme.name_of
    present = {index for index in scheme.ids if index < len(counts) and counts[index]}
    pairs = [
        (index, partner)
        for index, partner in zip(scheme.ids, scheme.partners, strict=True)
        if side_of(names[index])[1] == "left" and {index, partner} <= present and index != partner
    ]
    if not pairs:
        return ()
    left, right = (list(side) for side in zip(*pairs, strict=True))
    if totals[left].sum() / counts[left].sum() > totals[right].sum() / counts[right].sum():
        return (Finding("fail", "left and right are exchanged"),)
    return tuple(
        Finding("review", f"{names[index]} lies to the right of {names[partner]}", index)
        for index, partner in pairs
        if totals[index] / counts[index] > totals[partner] / counts[partner]
    )


def judge_shapes(labels: LabelMap, mask: NDArray[np.bool_], *, is_whole: bool = True) -> tuple[Finding, ...]:
    """Judge where labels of the 25 structures lie: loose pieces, outside the brain, brain left bare.

    Parameters
    ----------
    labels : LabelMap
        In the scheme `deepnat25`.
    mask : (I, J, K) bool
        Brain mask on the same grid.
    is_whole : bool
        Whether the labels are meant to fill it.

    Returns
    -------
    tuple of Finding
        `fail` where less than 40 % of the brain has a label, else `review`.

    Notes
    -----
    Source: ours (decision 0019).
    """
    findings = []
    voxel_ml = voxel_volume_mm3(labels.affine) / 1000
    is_labelled = labels.ids != 0
    if (outside_ml := float(np.count_nonzero(is_labelled & ~mask)) * voxel_ml) > LOOSE_ML:
        findings.append(Finding("review", f"{outside_ml:.0f} ml of labels outside the brain mask"))
    share = float(np.count_nonzero(is_labelled & mask)) / max(int(np.count_nonzero(mask)), 1)
    if is_whole and share < USUALLY_LABELLED:
        level = "fail" if share < LEAST_LABELLED else "review"
        findings.append(Finding(level, f"only {share:.0%} of the brain mask carries a label"))
    lateral = np.isin(labels.ids, LATERAL)
    rim = mask & ~ndimage.binary_erosion(mask, np.ones((3, 3, 3), bool))
    if np.count_nonzero(lateral & rim) > TOUCHING_SHARE * max(int(np.count_nonzero(lateral)), 1):
        findings.append(Finding("review", "lateral ventricles reach the surface of the brain mask"))
    for index, loose_ml in _loose_pieces_ml(labels.ids, voxel_ml).items():
        if loose_ml > LOOSE_ML:
            name = labels.scheme.name_of[index]
            findings.append(Finding("review", f"{name}: {loose_ml:.1f} ml in loose pieces", index))
    return tuple(findings)


@lru_cache(maxsize=1)
def adult_ranges_ml() -> Mapping[int, tuple[float, float]]:
    """Return the smallest and largest volume of adults in ml, by id of `deepnat25` (decision 0019)."""
    table = files("neuronat.measure") / "tables" / "adult_volumes.tsv"
    rows = csv.DictReader(StringIO(table.read_text(encoding="utf-8")), delimiter="\t")
    return {int(row["index"]): (float(row["least_ml"]), float(row["most_ml"])) for row in rows}


def _out_of_range(volumes: Sequence[StructureVolume]) -> list[Finding]:
    """Find structures smaller or larger than in adults; one that is cut off may well be smaller."""
    findings = []
    for row in volumes:
        limits = adult_ranges_ml().get(row.index)
        if limits is None or row.volume_mm3 is None:
            continue
        ml = row.volume_mm3 / 1000
        if ml > limits[1] or (ml < limits[0] and row.reason != TRUNCATED):
            findings.append(Finding("review", f"{row.name} of {ml:.3g} ml (adults {_said(limits)})", row.index))
    return findings


def _unequal(volumes: Sequence[StructureVolume]) -> list[Finding]:
    """Find pairs whose sides differ too much."""
    by_index = {row.index: row for row in volumes}
    scheme = load_scheme(COMMON)
    findings = []
    for index, partner in zip(scheme.ids, scheme.partners, strict=True):
        left, right = by_index.get(index), by_index.get(partner)
        if index >= partner or not left or not right or not left.volume_mm3 or not right.volume_mm3:
            continue
        ratio = left.volume_mm3 / right.volume_mm3
        if not _is_within(ratio, LATERAL_RATIO if index in LATERAL else RATIO):
            findings.append(Finding("review", f"{left.name} has {ratio:.2f} times the volume of the right one", index))
    return findings


def _in_own_ids(finding: Finding, meant: Mapping[int, int]) -> Finding:
    """Give a finding the id of a scheme whose ids mean those of the 25; none where several do, or none does."""
    own = [index for index, common in meant.items() if common == finding.index]
    return replace(finding, index=own[0] if len(own) == 1 else None)


def _one_sided(volumes: Sequence[StructureVolume], scheme: LabelScheme) -> tuple[Finding, ...]:
    """Find structures that are there on one side only, and are more than a few voxels."""
    found = {row.index: (row.volume_mm3 or 0) / 1000 for row in volumes if row.n_voxels}
    missed = {row.index for row in volumes if row.reason == NOT_FOUND}
    pairs = zip(scheme.ids, scheme.partners, strict=True)
    lonely = [i for i, p in pairs if p != i and p in missed and found.get(i, 0) >= LONELY_ML]
    return tuple(Finding("review", f"{scheme.name_of[i]} is there, but nothing on the other side", i) for i in lonely)


def _loose_pieces_ml(ids: NDArray[np.integer], voxel_ml: float) -> dict[int, float]:
    """Measure what of each label is not connected (by faces, edges or corners) to its largest piece."""
    loose = {}
    for index, box in enumerate(ndimage.find_objects(ids), start=1):
        if box is not None:
            pieces, n = ndimage.label(ids[box] == index, np.ones((3, 3, 3), bool))
            sizes = np.bincount(pieces.ravel(), minlength=n + 1)[1:]
            loose[index] = float(sizes.sum() - sizes.max()) * voxel_ml
    return loose


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the bounding box of a mask that is not empty, a voxel wider where there is room."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(slice(max(edge.start - 1, 0), edge.stop + 1) for edge in box)


def _is_within(number: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= number <= limits[1]


def _said(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} to {limits[1]:g}"
