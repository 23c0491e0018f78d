"""Rows of a laboratory: what a model reached on a scan of a kind, and tables of kinds against models.

A *kind* is what was done to a scan (`synth.stress`). Rows are appended as they come, so that a run that was cut off
goes on where it stopped; of two rows about one thing the later one counts.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO
from typing import Any

import numpy as np

from neuronat.errors import UnusableInputError
from neuronat.labels.scheme import LabelScheme

__all__ = [
    "REFUSED",
    "UNSCORED",
    "LaboratoryRow",
    "kinds_against_models",
    "laboratory_row",
    "parse_rows",
    "rows_table",
    "table_lines",
]

REFUSED = "refused"
UNSCORED: Mapping[str, frozenset[int]] = {
    "neuromorphometrics": frozenset({15, 42, 43, 63, 64, 65, 66, 74}),
}
"""Ids that the MICCAI 2012 challenge did not score."""


@dataclass(frozen=True)
class LaboratoryRow:
    """One model on one scan in one protocol; NaN where there is no Dice, and then `worst` says why.

    The protocol `brain` is the mask of a raw head; `refused` stands for a scan that the model did not label.
    """

    model: str
    kind: str
    scan: str
    protocol: str
    mean_dice: float
    worst: str
    worst_dice: float


def laboratory_row(where: tuple[str, str, str], scheme: LabelScheme, dice: Mapping[int, float]) -> LaboratoryRow:
    """Reduce the Dice coefficients of one scan to one row.

    Parameters
    ----------
    where : 3 str
        Model, kind and scan.
    scheme : LabelScheme
        The protocol.
    dice : mapping of int to float
        By structure id, from `dice_per_structure`; NaN for what neither map holds.

    Returns
    -------
    LaboratoryRow
        Mean over the structures that are known and that the challenge scored; the first of the worst.

    Notes
    -----
    Source: [DEEPNAT] evaluation; decision 0006.

    Examples
    --------
    >>> two = LabelScheme("two", (0, 4, 43), ("none", "left", "right"), ("#000000",) * 3, (0, 43, 4))
    >>> row = laboratory_row(("a model", "noisy", "sub-01"), two, {4: 0.5, 43: 0.75})
    >>> row.mean_dice, row.worst, row.worst_dice
    (0.625, 'left', 0.5)
    """
    left_out = UNSCORED.get(scheme.name, frozenset())
    known = {index: value for index, value in dice.items() if index not in left_out and not math.isnan(value)}
    if not known:
        return LaboratoryRow(*where, scheme.name, math.nan, "no structure", math.nan)
    worst = min(known, key=lambda index: known[index])
    return LaboratoryRow(*where, scheme.name, float(np.mean(list(known.values()))), scheme.name_of[worst], known[worst])


def rows_table(rows: Iterable[LaboratoryRow], *, has_header: bool = True) -> str:
    """Return rows as the text of a table: tabs, one header line, `n/a` where there is no value.

    Notes
    -----
    Source: ours, after BIDS.

    Examples
    --------
    >>> print(rows_table([LaboratoryRow("m", "noisy", "sub-01", "tissue", 0.5, "CSF", 0.25)]), end="")
    model	kind	scan	protocol	mean_dice	worst	worst_dice
    m	noisy	sub-01	tissue	0.500000	CSF	0.250000
    """
    lines = ["\t".join(_columns())] if has_header else []
    lines += ["\t".join(_shown(value) for value in astuple(row)) for row in rows]
    return "".join(f"{line}\n" for line in lines)


def parse_rows(text: str) -> tuple[LaboratoryRow, ...]:
    """Read rows from the text of a table; the reverse of `rows_table`.

    Parameters
    ----------
    text : str
        With its header line.

    Returns
    -------
    tuple of LaboratoryRow
        One per model, scan and protocol, the last that stands there; an earlier refusal goes when a result came later,
        and the other way round.

    Raises
    ------
    UnusableInputError
        If a column is missing or a value is no number; the message names the line.

    Notes
    -----
    Source: ours.
    """
    found: dict[tuple[str, str], dict[str, LaboratoryRow]] = {}
    for line in table_lines(text, _columns(), numbers=("mean_dice", "worst_dice")):
        row = LaboratoryRow(**line)
        of_scan = found.setdefault((row.model, row.scan), {})
        if (row.protocol == REFUSED) != (REFUSED in of_scan):
            of_scan.clear()
        of_scan[row.protocol] = row
    return tuple(row for of_scan in found.values() for row in of_scan.values())


def table_lines(text: str, columns: Sequence[str], numbers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a table of the laboratory, by column; `numbers` become floats, NaN for `n/a`.

    Raises
    ------
    UnusableInputError
        If a column is missing or a value is no number; the message names the line.

    Notes
    -----
    Source: ours.
    """
    reader = csv.DictReader(StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
        raise UnusableInputError(f"has no column {', '.join(missing)}; give a table made by the laboratory")
    for line in reader:
        try:
            values = {name: math.nan if line[name] == "n/a" else float(line[name]) for name in numbers}
        except (TypeError, ValueError) as error:
            raise UnusableInputError(f"line {reader.line_num} cannot be read ({error}); remove it") from error
        yield {name: line[name] for name in columns} | values


def kinds_against_models(rows: Sequence[LaboratoryRow], protocol: str) -> str:
    """Return a table in Markdown: a line per kind, a column per model, the mean over scans of the mean Dice.

    Parameters
    ----------
    rows : sequence of LaboratoryRow
        Of any protocols.
    protocol : str
        The one to show.

    Returns
    -------
    str
        In brackets the number of scans that were refused, if any; empty where nothing was measured; the structure
        that is worst on most scans stands behind. Nothing at all if no row has the protocol.

    Notes
    -----
    Source: ours.
    """
    shown = [row for row in rows if row.protocol == protocol]
    if not shown:
        return ""
    models = list(dict.fromkeys(row.model for row in shown))
    kinds = list(dict.fromkeys(row.kind for row in shown))
    lines = [f"| {protocol} | " + " | ".join(models) + " |", "| --- |" + " --- |" * len(models)]
    for kind in kinds:
        cells = [_cell([r for r in rows if r.model == m and r.kind == kind], protocol) for m in models]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "".join(f"{line}\n" for line in lines)


def _cell(rows: Sequence[LaboratoryRow], protocol: str) -> str:
    """Show the mean of a model's scans of one kind."""
    found = [row for row in rows if row.protocol == protocol and not math.isnan(row.mean_dice)]
    n_refused = sum(row.protocol == REFUSED for row in rows)
    said = f"{np.mean([row.mean_dice for row in found]):.3f}" if found else ""
    worst = [row.worst for row in found if row.worst]
    if worst:
        said += f", {max(dict.fromkeys(worst), key=worst.count)}"
    return f"{said} ({n_refused} refused)".strip() if n_refused else said


def _columns() -> list[str]:
    return [field.name for field in fields(LaboratoryRow)]


def _shown(value: str | float) -> str:
    """Write a value on one line, without tabs."""
    if isinstance(value, float):
        return "n/a" if math.isnan(value) else f"{value:.6f}"
    return " ".join(value.split())
