"""`neuronat targets`: label maps by other tools, to train on and to compare with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuronat.cli.options import reading_options, segment_config

if TYPE_CHECKING:
    from neuronat.pipeline.targets import TargetOutcome

__all__ = ["command"]

SOME_FAILED = 1


@click.command(name="targets")
@click.argument("scans", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--tool",
    "tools",
    type=click.Choice(("hmrf", "atropos")),
    multiple=True,
    default=("hmrf", "atropos"),
    show_default=True,
    help="Tool to run.",
)
@click.option("--overwrite", is_flag=True, help="Replace results of another scan, tool version or settings.")
@reading_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(
    context: click.Context, /, scans: tuple[Path, ...], out: Path, tools: tuple[str, ...], quiet: bool, **options: Any
) -> None:
    """Label the tissues of T1-weighted scans by other tools, to train NeuroNet on.

    \b
    SCANS are skull-stripped, or one with its brain --mask. The tools come with
    pip install 'neuronat[tools]': hmrf is DIPY's hidden Markov random field (the
    algorithm of FSL FAST), atropos is Atropos of ANTs.
    """
    from neuronat.cli.failures import exit_code_of
    from neuronat.cli.progress import shown_progress
    from neuronat.pipeline.targets import target_files

    failures = []
    with shown_progress(quiet) as progress:
        for outcome in target_files(scans, tools, out, segment_config(options), progress):
            _report(outcome, out)
            failures += [outcome.failure] if outcome.failure is not None else []
    if failures:
        context.exit(exit_code_of(failures[0]) if len(scans) == 1 else SOME_FAILED)


def _report(outcome: "TargetOutcome", out: Path) -> None:
    """Say in one line what became of a scan and a tool."""
    from neuronat.cli.failures import failure_message

    name = outcome.target.name
    if outcome.failure is not None:
        click.echo(f"neuronat: {failure_message(outcome.failure)}", err=True)
    elif outcome.state == "already done":
        click.echo(f"{name}: already done and verified in {out}")
    else:
        click.echo(f"{name}: {outcome.tool_s:.0f} s, {out / name}_dseg.*")
