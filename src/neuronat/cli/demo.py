"""`neuronat demo`: the main job on a real T1 template that comes with the installation."""

from importlib.util import find_spec
from pathlib import Path

import click

from neuronat.cli.options import model_option

__all__ = ["command", "find_template"]

TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


@click.command(name="demo")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for the results.",
)
@model_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(context: click.Context, out: Path, models: tuple[str, ...], quiet: bool) -> None:
    """Do the main job on the template that the installation carries.

    The ICBM152 template is the average of 152 T1-weighted heads, skull-stripped. No internet connection is needed.
    The volumes of the first protocol are shown, all of them are in the folder.
    """
    from neuronat.cli.progress import shown_progress
    from neuronat.cli.segment import report
    from neuronat.pipeline.batch import segment_files
    from neuronat.pipeline.settings import SegmentConfig

    template = find_template()
    with shown_progress(quiet) as progress:
        (outcome,) = segment_files([template], out, SegmentConfig(models=models), progress)
    if outcome.failure is not None:
        raise outcome.failure
    if outcome.result is not None:
        protocol, volumes = next(iter(outcome.result.volumes.items()))
        click.echo(f"{protocol:<40}volume in ml")
        for volume in volumes:
            shown = "n/a" if volume.volume_mm3 is None else f"{volume.volume_mm3 / 1000:.1f}"
            click.echo(f"{volume.name:<40}{shown:>12}")
    report(outcome, out, as_json=False, quiet=quiet)
    click.echo("not for diagnosis")
    context.exit(0)


def find_template() -> Path:
    """Return the T1 template in the installed nilearn package; UnavailableError if there is none."""
    from neuronat.errors import UnavailableError

    found = find_spec("nilearn")  # finds the folder without importing the package
    folders = found.submodule_search_locations if found else None
    template = Path(folders[0], "datasets", "data", TEMPLATE) if folders else Path()
    if not template.is_file():
        raise UnavailableError("nilearn, which carries the template, is not installed; pip install 'neuronat[demo]'")
    return template
