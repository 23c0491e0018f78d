"""Test and retest: how far the volumes of one head differ from scan to scan.

A head is scanned once (the *first* scan) and then again, in other ways (its *repeats*). Its anatomy is the same, so all
that differs is the method's doing.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from neuronat.measure.compare import mean_known
from neuronat.measure.laboratory import table_lines

__all__ = [
    "MeasuredVolume",
    "Variation",
    "parse_volumes",
    "variation_per_structure",
    "variation_table",
    "volumes_rows",
]


@dataclass(frozen=True)
class MeasuredVolume:
    """The volume of a structure in one scan of a head, as a model found it; NaN where it was not found.

    `change` says what the repeat changed; it is empty for the first scan.
    """

    model: str
    head: str
    change: str
    scan: str
    protocol: str
    structure: str
    volume_mm3: float


@dataclass(frozen=True)
class Variation:
    """How a structure's volume varies over the repeats of one change, in percent, mean over heads.

    `change_percent` is the mean of |repeat / first - 1|, `shift_percent` keeps the sign; `cv_percent` is the
    coefficient of variation over the first scan and the repeats: deviation (n - 1) by mean. NaN where unknown.
    """

    structure: str
    change_percent: float
    shift_percent: float
    cv_percent: float


def variation_per_structure(rows: Sequence[MeasuredVolume], change: str) -> tuple[Variation, ...]:
    """Measure how volumes vary over the repeats of one change.

    Parameters
    ----------
    rows : sequence of MeasuredVolume
        Of one model and one protocol.
    change : str
        What the repeats changed.

    Returns
    -------
    tuple of Variation
        In the order of the rows. Only heads count that have a first scan and a repeat of this change; a volume
        that is not known in one of them is left out of the means.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> scans = [("", 100.0), ("noise", 110.0), ("noise", 90.0)]
    >>> rows = [MeasuredVolume("m", "sub-01", c, str(v), "p", "Pallidum", v) for c, v in scans]
    >>> (found,) = variation_per_structure(rows, "noise")
    >>> round(found.change_percent, 6), round(found.shift_percent, 6), round(found.cv_percent, 6)
    (10.0, 0.0, 10.0)
    """
    structures = list(dict.fromkeys(row.structure for row in rows))
    found = []
    for structure in structures:
        own = [row for row in rows if row.structure == structure]
        per_head = []
        for head in dict.fromkeys(row.head for row in own):
            first = [row.volume_mm3 for row in own if row.head == head and not row.change]
            repeats = [row.volume_mm3 for row in own if row.head == head and row.change == change]
            if first and repeats:
                per_head.append(_variation(first[0], np.array(repeats)))
        means = mean_known(np.array(per_head).T) if per_head else np.full(3, np.nan)
        found.append(Variation(structure, *means.tolist()))
    return tuple(found)


def variation_table(rows: Sequence[MeasuredVolume], protocol: str) -> str:
    """Return a table in Markdown: a line per change and model, the mean over structures, and the least steady one.

    Notes
    -----
    Source: ours.
    """
    shown = [row for row in rows if row.protocol == protocol]
    changes = list(dict.fromkeys(row.change for row in shown if row.change))
    if not changes:
        return ""
    lines = [
        f"| retest, {protocol} | model | change of volume | with sign | coefficient of variation | least steady |",
        "| --- |" + " --- |" * 5,
    ]
    for change in changes:
        for model in dict.fromkeys(row.model for row in shown):
            found = variation_per_structure([row for row in shown if row.model == model], change)
            known = [one for one in found if not math.isnan(one.cv_percent)]
            if known:
                means = [np.mean([getattr(one, name) for one in known]) for name in _measures()]
                least = max(known, key=lambda one: one.cv_percent)
                cells = f"{means[0]:.2f} % | {means[1]:+.2f} % | {means[2]:.2f} %"
                lines.append(f"| {change} | {model} | {cells} | {least.structure}, {least.cv_percent:.1f} % |")
    return "".join(f"{line}\n" for line in lines)


def volumes_rows(rows: Iterable[MeasuredVolume], *, has_header: bool = True) -> str:
    """Return volumes as the text of a table: tabs, one header line, `n/a` where not known."""
    names = [field.name for field in fields(MeasuredVolume)]
    lines = ["\t".join(names)] if has_header else []
    for row in rows:
        volume = "n/a" if math.isnan(row.volume_mm3) else f"{row.volume_mm3:.10g}"
        lines.append("\t".join([*(getattr(row, name) for name in names[:-1]), volume]))
    return "".join(f"{line}\n" for line in lines)


def parse_volumes(text: str) -> tuple[MeasuredVolume, ...]:
    """Read volumes from the text of a table, the last of each model, scan and structure; the reverse of `volumes_rows`.

    Raises
    ------
    UnusableInputError
        If a column is missing or a volume is no number.

    Notes
    -----
    Source: ours.
    """
    found = {}
    for line in table_lines(text, [field.name for field in fields(MeasuredVolume)], numbers=("volume_mm3",)):
        row = MeasuredVolume(**line)
        found[row.model, row.scan, row.protocol, row.structure] = row
    return tuple(found.values())


def _variation(first: float, repeats: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> tuple[float, float, float]:
    """Return change, change with sign, and coefficient of variation of one head, in percent; NaN where unknown."""
    known = repeats[~np.isnan(repeats)]
    if math.isnan(first) or first <= 0 or not len(known):
        return math.nan, math.nan, math.nan
    relative = known / first - 1
    every = np.array([first, *known])
    variation = every.std(ddof=1) / every.mean()
    return 100 * float(np.abs(relative).mean()), 100 * float(relative.mean()), 100 * float(variation)


def _measures() -> list[str]:
    return [field.name for field in fields(Variation)][1:]
