"""Say a comparison in tables for programs and in one page for people."""

import math
from collections.abc import Sequence

from neuronat.measure.compare import METRICS, Comparison, Summary
from neuronat.measure.significance import PairedTest

__all__ = ["comparison_page", "significance_table", "summary_table"]

SUMMARY_COLUMNS = ("method", "index", "name", "metric", "n_scans", "n_without", "mean", "median", "standard_error")
TEST_COLUMNS = (
    *("first", "second", "index", "name", "n_scans", "median_difference", "statistic", "p", "p_corrected"),
    *("correction", "reason"),
)
SIGNIFICANT = 0.05
HEADINGS = {"dice": "Dice", "hd95_mm": "95 % Hausdorff (mm)", "asd_mm": "average surface distance (mm)"}


def summary_table(summaries: Sequence[Summary]) -> str:
    """Return summaries as the text of a table, one row per metric, structure and method."""
    rows = [
        [s.method, _index(s.index), s.name, s.metric, str(s.n_scans), str(s.n_without)]
        + [_number(value) for value in (s.mean, s.median, s.standard_error)]
        for s in summaries
    ]
    return "\n".join("\t".join(row) for row in [list(SUMMARY_COLUMNS), *rows]) + "\n"


def significance_table(tests: Sequence[PairedTest], *, correction: str) -> str:
    """Return tests as the text of a table, one row per pair of methods and structure."""
    rows = [
        [t.first, t.second, _index(t.index), t.name, str(t.n_scans)]
        + [_number(value) for value in (t.difference, t.statistic, t.p, t.p_corrected)]
        + [correction, t.reason or "n/a"]
        for t in tests
    ]
    return "\n".join("\t".join(row) for row in [list(TEST_COLUMNS), *rows]) + "\n"


def comparison_page(
    comparison: Comparison, summaries: Sequence[Summary], tests: Sequence[PairedTest], *, correction: str
) -> str:
    """Return the whole comparison as one page of Markdown.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    summaries, tests : sequence
        From `summarize` and `compare_methods`.
    correction : str
        Name of the correction of the p values.

    Returns
    -------
    str
        Means over all structures first, then who differs, then the Dice of each structure.

    Notes
    -----
    Source: ours.
    """
    n = f"{len(comparison.scans)} scans, {len(comparison.indices)} structures"
    lines = [f"# {' and '.join(_cell(m) for m in comparison.methods)}", "", f"{n}.", ""]
    lines += [f"- Left out: {_cell(line)}" for line in comparison.left_out]
    lines += ["", "## Over all structures", "", *_overall(comparison, summaries)]
    if tests:
        lines += ["", "## Differences in Dice", "", *_differences(tests, correction)]
    lines += ["", "## Dice per structure: mean ± standard error (median)", "", *_structures(comparison, summaries)]
    lines += [
        "",
        "A structure that a method missed or invented counts with Dice 0 and the diagonal of the grid; one that "
        "neither map holds is n/a and does not count.",
        "",
    ]
    return "\n".join(lines)


def _overall(comparison: Comparison, summaries: Sequence[Summary]) -> list[str]:
    lines = _heading("method", *(HEADINGS[metric] for metric in METRICS))
    found = {(s.method, s.metric): s for s in summaries if s.index is None}
    for method in comparison.methods:
        lines.append(_row(method, *(_moments(found[method, metric]) for metric in METRICS)))
    return lines


def _differences(tests: Sequence[PairedTest], correction: str) -> list[str]:
    lines = [f"Wilcoxon signed-rank tests over scans, two-sided, corrected by {correction}.", ""]
    lines += _heading("first", "second", "structure", "median difference", "p", "corrected p")
    shown = [t for t in tests if t.index is None or t.p_corrected < SIGNIFICANT]
    for t in shown:
        p = _number(t.p) if not t.reason else f"n/a ({t.reason})"
        lines.append(_row(t.first, t.second, t.name, _number(t.difference), p, _number(t.p_corrected)))
    n_hidden = len(tests) - len(shown)
    lines += ["", f"{n_hidden} tests of single structures with a corrected p of {SIGNIFICANT} or more, or n/a, "]
    lines[-1] += "stand in tests.tsv only."
    return lines


def _structures(comparison: Comparison, summaries: Sequence[Summary]) -> list[str]:
    found = {(s.method, s.index, s.name): s for s in summaries if s.metric == "dice"}
    lines = _heading("index", "structure", *comparison.methods)
    for index, name in zip(comparison.indices, comparison.names, strict=True):
        lines.append(_row(str(index), name, *(_moments(found[m, index, name]) for m in comparison.methods)))
    return lines


def _moments(summary: Summary) -> str:
    if not summary.n_scans:
        return "n/a"
    error = "" if math.isnan(summary.standard_error) else f" ± {summary.standard_error:.3f}"
    without = f", {summary.n_without} n/a" if summary.n_without else ""
    return f"{summary.mean:.3f}{error} ({summary.median:.3f}{without})"


def _heading(*titles: str) -> list[str]:
    return [_row(*titles), "| " + " | ".join("---" for _ in titles) + " |"]


def _row(*cells: str) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """Escape what Markdown would take for a column or a tag."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.6g}"


def _index(index: int | None) -> str:
    return "n/a" if index is None else str(index)
