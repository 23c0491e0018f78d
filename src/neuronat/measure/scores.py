"""Scores: how well each structure of one scan was found, and the table that keeps them.

Two label maps can be compared when they have one scheme (one may be mapped onto the other's) and hold the same
voxels: the order and the direction of the stored axes do not matter, the places of the voxels do.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from neuronat.errors import GridError, LabelError, UnusableInputError
from neuronat.labels.scheme import load_scheme
from neuronat.measure.overlap import dice_per_structure
from neuronat.measure.surface import surface_per_structure
from neuronat.measure.volumes import structure_volumes
from neuronat.space.affine import describe_grid, is_same_grid, nearest_axes, reorient, reoriented_affine
from neuronat.space.volume import LabelMap

__all__ = ["COLUMNS", "StructureScore", "map_together", "parse_scores", "score_structures", "scores_table"]

MEASURES = ("dice", "hd95_mm", "asd_mm", "volume_predicted_mm3", "volume_reference_mm3")
COLUMNS = ("scan", "index", "name", *MEASURES)
FORMATS = ("{:.6f}", "{:.4f}", "{:.4f}", "{:.10g}", "{:.10g}")


@dataclass(frozen=True)
class StructureScore:
    """One row of the table: a structure of a scan. NaN stands for `n/a`; volumes are those of the labels."""

    scan: str
    index: int
    name: str
    dice: float
    hd95_mm: float
    asd_mm: float
    volume_predicted_mm3: float
    volume_reference_mm3: float


def map_together(predicted: LabelMap, reference: LabelMap, *, scheme: str | None = None) -> tuple[LabelMap, LabelMap]:
    """Bring two label maps into one scheme.

    Parameters
    ----------
    predicted, reference : LabelMap
        In any schemes.
    scheme : str, optional
        Name of the scheme to compare in. Without it: the predicted map's own, if the reference maps onto it,
        else the reference's own, if the predicted map maps onto that.

    Returns
    -------
    predicted, reference : LabelMap
        In one scheme; what belongs to none of its structures became background.

    Raises
    ------
    LabelError
        If neither scheme maps onto the other, or one of them does not map onto `scheme`.

    Notes
    -----
    Source: ours.
    """
    schemes = {s.name: s for s in (reference.scheme, predicted.scheme)}
    targets = [scheme] if scheme else [predicted.scheme.name, reference.scheme.name]
    for target in targets:
        if all(target == s.name or target in s.mappings for s in schemes.values()):
            together = schemes[target] if target in schemes else load_scheme(target)
            return predicted.mapped(together), reference.mapped(together)
    wanted = f"both map onto {scheme}" if scheme else "one maps onto the other"
    raise LabelError(
        f"predicted labels are in the scheme {predicted.scheme.name}, reference labels in {reference.scheme.name}; "
        f"they compare only where {wanted}: add a column to_<scheme> to a label table, or name another scheme"
    )


def score_structures(predicted: LabelMap, reference: LabelMap, *, scan: str) -> tuple[StructureScore, ...]:
    """Score each structure of a predicted label map against a reference.

    Parameters
    ----------
    predicted, reference : LabelMap
        In one scheme; the same voxels, in any order of the axes.
    scan : str
        Name of the scan, for the rows.

    Returns
    -------
    tuple of StructureScore
        One row per structure of the scheme, in its order, background left out.

    Raises
    ------
    GridError
        If the voxels do not lie at the same places; the message shows both grids.
    LabelError
        If the schemes differ; see `map_together`.

    Notes
    -----
    Source: [DEEPNAT] evaluation. Ours: distances; empty structures, decision 0006.
    """
    if predicted.scheme.name != reference.scheme.name:
        raise LabelError(
            f"predicted labels are in the scheme {predicted.scheme.name}, reference labels in "
            f"{reference.scheme.name}; map them together first"
        )
    turned = _reoriented(predicted), _reoriented(reference)
    if not is_same_grid(*((m.ids.shape, m.affine) for m in turned)):
        raise GridError(
            f"predicted labels lie on {describe_grid(predicted.ids.shape, predicted.affine)}; reference labels on "
            f"{describe_grid(reference.ids.shape, reference.affine)}; bring them to one grid first"
        )
    dice = dice_per_structure(turned[0].ids, turned[1].ids, reference.scheme)
    surface = surface_per_structure(turned[0].ids, turned[1].ids, turned[1].affine, reference.scheme)
    volumes = [{row.index: row.volume_mm3 or 0.0 for row in structure_volumes(label_map)} for label_map in turned]
    return tuple(
        StructureScore(
            scan=scan,
            index=index,
            name=reference.scheme.name_of[index],
            dice=dice[index],
            hd95_mm=surface[index].hd95_mm,
            asd_mm=surface[index].asd_mm,
            volume_predicted_mm3=volumes[0][index],
            volume_reference_mm3=volumes[1][index],
        )
        for index in dice
    )


def scores_table(scores: Sequence[StructureScore]) -> str:
    """Return scores as the text of a table: tabs, one header line, `n/a` where there is no value.

    Notes
    -----
    Source: ours, after BIDS.

    Examples
    --------
    >>> print(scores_table([StructureScore("sub-01", 14, "3rd-Ventricle", 0.5, 2.0, 0.25, 30.0, 10.5)]), end="")
    scan	index	name	dice	hd95_mm	asd_mm	volume_predicted_mm3	volume_reference_mm3
    sub-01	14	3rd-Ventricle	0.500000	2.0000	0.2500	30	10.5
    """
    lines = ["\t".join(COLUMNS)]
    for score in scores:
        values = [getattr(score, measure) for measure in MEASURES]
        shown = ["n/a" if math.isnan(v) else f.format(v) for v, f in zip(values, FORMATS, strict=True)]
        lines.append("\t".join([score.scan, str(score.index), score.name, *shown]))
    return "\n".join(lines) + "\n"


def parse_scores(text: str) -> tuple[StructureScore, ...]:
    """Read scores from the text of a table; the reverse of `scores_table`.

    Parameters
    ----------
    text : str
        A table with at least the columns of `evaluate`.

    Returns
    -------
    tuple of StructureScore
        In the order of the table; NaN for `n/a`.

    Raises
    ------
    UnusableInputError
        If columns are missing, there is no row, a value is no number or infinite, or a structure of a scan stands
        there twice; the message names the line.

    Notes
    -----
    Source: ours.
    """
    scores: dict[tuple[str, int], StructureScore] = {}
    for line, row in _rows(text):
        try:
            score = StructureScore(row["scan"], int(row["index"]), row["name"], *(_value(row, m) for m in MEASURES))
        except (TypeError, ValueError) as error:
            raise _unreadable(line, error) from error
        if (score.scan, score.index) in scores:
            raise UnusableInputError(
                f"line {line}: structure {score.index} of scan {score.scan} stands there a second time; keep one row"
            )
        scores[score.scan, score.index] = score
    if not scores:
        raise UnusableInputError("holds no row; give a table made by neuronat evaluate")
    return tuple(scores.values())


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table of scores with the numbers of their lines."""
    reader = csv.DictReader(StringIO(text.removeprefix("\ufeff")), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise UnusableInputError(f"has no column {', '.join(missing)}; give a table made by neuronat evaluate")
        yield from ((reader.line_num, row) for row in reader)
    except csv.Error as error:
        raise _unreadable(reader.line_num + 1, error) from error


def _value(row: dict[str, str], measure: str) -> float:
    """Return one value of a row, NaN for `n/a`; an infinite one has no place in means and figures."""
    value = math.nan if row[measure] == "n/a" else float(row[measure])
    if math.isinf(value):
        raise ValueError(f"{measure} is infinite")
    return value


def _unreadable(line: int, error: Exception) -> UnusableInputError:
    """Say which line of a table cannot be read, and why."""
    return UnusableInputError(f"line {line} cannot be read ({error}); make the table anew with neuronat evaluate")


def _reoriented(label_map: LabelMap) -> LabelMap:
    """Return the same voxels with axes nearest to right, front and up."""
    moves = nearest_axes(label_map.affine)
    i, j, k = label_map.ids.shape
    affine = reoriented_affine(label_map.affine, (i, j, k), moves)
    return LabelMap(reorient(label_map.ids, moves), affine, label_map.scheme)
