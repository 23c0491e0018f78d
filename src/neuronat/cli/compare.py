"""`neuronat compare`: the tables of `evaluate`, method against method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neuronat.errors import MissingInputError, UnusableInputError, UsageError

if TYPE_CHECKING:
    from neuronat.measure.compare import Comparison
    from neuronat.measure.scores import StructureScore

__all__ = ["command"]

CORRECTIONS = ("holm", "benjamini-hochberg")


@click.command(name="compare")
@click.argument("tables", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="TABLE.tsv...")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the results."
)
@click.option(
    "--correction", type=click.Choice(CORRECTIONS), default="holm", show_default=True, help="Of the p values."
)
def command(tables: tuple[Path, ...], out: Path, correction: str) -> None:
    """Compare methods by the tables that evaluate wrote for them.

    \b
    Each TABLE.tsv is one method, called by the file's name. Scans and structures that all tables
    hold are paired. DIR gets summary.md to read, summary.tsv (mean, median, standard error),
    tests.tsv (Wilcoxon's signed-rank tests, over the scans' mean Dice and per structure,
    corrected for their number) and box plots as PNG, PDF and SVG.
    """
    from neuronat.errors import UsageError
    from neuronat.measure.compare import join_scores, summarize
    from neuronat.measure.digest import comparison_page, significance_table, summary_table
    from neuronat.measure.significance import compare_methods
    from neuronat.record import counted, make_folder, shown_name, write_text

    if out.resolve() in {table.resolve() for table in tables}:
        raise UsageError(f"{shown_name(out)}: is one of the tables; name a folder for what comes out")
    comparison = join_scores(_read_tables(tables))
    make_folder(out)
    summaries, tests = summarize(comparison), compare_methods(comparison, correction=correction)
    for line in comparison.left_out:
        click.echo(f"neuronat: warning: {line}", err=True)
    _write_figures(comparison, out)
    write_text(out / "summary.tsv", summary_table(summaries))
    write_text(out / "tests.tsv", significance_table(tests, correction=correction))
    write_text(out / "summary.md", comparison_page(comparison, summaries, tests, correction=correction))
    means = ", ".join(f"{s.method} {s.mean:.3f}" for s in summaries if s.index is None and s.metric == "dice")
    click.echo(f"{out}: {counted(len(comparison.scans), 'scan')}, mean Dice {means}; read {out / 'summary.md'}")


def _read_tables(tables: Sequence[Path]) -> "Mapping[str, Sequence[StructureScore]]":
    """Read each method's table; errors begin with the name of the file."""
    from neuronat.measure.scores import parse_scores
    from neuronat.record import shown_name

    scores = {}
    for method, path in zip(_method_names(tables), tables, strict=True):
        try:
            scores[method] = parse_scores(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise UnusableInputError(f"{shown_name(path)}: is no text; give a table of neuronat evaluate") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise MissingInputError(f"{shown_name(path)}: cannot be read ({reason}); check the path") from error
        except UnusableInputError as error:
            raise UnusableInputError(f"{shown_name(path)}: {error}") from error
    return scores


def _method_names(tables: Sequence[Path]) -> list[str]:
    """Call each method by its file, or by folder and file where files are called the same."""
    from neuronat.record import shown_name

    names = [shown_name(Path(path.name.removesuffix(".tsv"))) for path in tables]
    if len(set(names)) < len(names):
        names = [f"{shown_name(path.resolve().parent)}/{name}" for path, name in zip(tables, names, strict=True)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"several tables are called {', '.join(twice)}; name each method's table differently")
    return names


def _write_figures(comparison: "Comparison", out: Path) -> None:
    """Write the box plots of each metric."""
    from neuronat.measure.compare import METRICS
    from neuronat.record import write_bytes
    from neuronat.report.figures import FORMATS, draw_boxplots, render_figure

    for metric in METRICS:
        figure = draw_boxplots(comparison, metric=metric)
        for file_format in FORMATS:
            write_bytes(
                out / f"boxplots_{metric.removesuffix('_mm')}.{file_format}", render_figure(figure, file_format)
            )
