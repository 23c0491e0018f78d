"""`neuronat baseline`: the paper's opponents, label maps made from those of registered atlases."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuronat.cli.options import reading_options, segment_config

if TYPE_CHECKING:
    from neuronat.pipeline.atlases import AtlasConfig

__all__ = ["command"]


@click.command(name="baseline")
@click.argument("method", type=click.Choice(("jlf", "staple")))
@click.argument("scan", type=click.Path(path_type=Path))
@click.option(
    "--atlases", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Folder of labelled scans."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--scans",
    default="**/*_desc-brain_T1w.nii.gz",
    show_default=True,
    metavar="GLOB",
    help="Pattern of the atlases' scans in their folder.",
)
@click.option(
    "--mask-ending",
    default="_desc-brain_mask.nii.gz",
    show_default=True,
    metavar="ENDING",
    help="What stands for the pattern's ending in the names of their masks.",
)
@click.option(
    "--label-ending", metavar="ENDING", help="The same of their label maps. [default: _seg-SCHEME_dseg.nii.gz]"
)
@click.option(
    "--scheme",
    default="neuromorphometrics",
    show_default=True,
    metavar="NAME",
    help="Label scheme of their label maps: a name, or the path of a table.",
)
@click.option(
    "--protocol",
    default="deepnat25",
    show_default=True,
    metavar="NAME",
    help="Label scheme of the result; theirs, or one that it maps to.",
)
@click.option("--atlas-count", type=int, metavar="N", help="Use so many atlases, the first by name. [default: all]")
@click.option("--leave-out", multiple=True, metavar="NAME", help="Leave out this atlas, such as sub-01.")
@click.option(
    "--quality",
    type=click.Choice(("fast", "full")),
    default="fast",
    show_default=True,
    help="Registration down to 2 mm, or to 1 mm, which takes dozens of times as long.",
)
@click.option("--threads", "n_threads", type=click.IntRange(min=1), metavar="N", help="Cores to use. [default: all]")
@click.option("--overwrite", is_flag=True, help="Replace results of another scan, other atlases or settings.")
@reading_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
def command(
    method: str, scan: Path, out: Path, atlases: Path, scheme: str, protocol: str, quiet: bool, **options: Any
) -> None:
    """Label SCAN by atlases: joint label fusion (jlf) or STAPLE (staple) after registration.

    \b
    Every atlas, a scan with a brain mask and a label map, is registered to SCAN by ANTs (SyN);
    jlf is ANTs' joint label fusion, without the corrective learning of PICSL, the winner of the
    challenge; staple is SimpleITK's, in overlapping windows. They come with
    pip install 'neuronat[tools]'. SCAN is skull-stripped, or comes with its brain --mask; where it is
    among the atlases, it is left out. Label maps go to OUT/jlf and OUT/staple; OUT/registrations
    is kept for both, and for a run that goes on after a stop.
    """
    from neuronat.cli.progress import shown_progress
    from neuronat.pipeline.baseline import label_by_atlases
    from neuronat.pipeline.baseline_plan import BaselineConfig
    from neuronat.pipeline.device import limit_threads

    chosen = _atlas_config(atlases, scheme, options)
    config = segment_config(options)
    limit_threads(config.n_threads)
    baseline = BaselineConfig(method=method, atlases=chosen, scheme=scheme, protocol=protocol)
    with shown_progress(quiet) as progress:
        outcome = label_by_atlases(scan, out, baseline, config, progress)
    if not outcome.is_new:
        click.echo(f"{outcome.stem}: already done and verified in {outcome.folder}")
        return
    click.echo(
        f"{outcome.stem}: {method} of {outcome.n_atlases} atlases, {outcome.registration_s:.0f} s to register and "
        f"{outcome.fusion_s:.0f} s to fuse, {outcome.folder / outcome.outputs[0]}"
    )


def _atlas_config(folder: Path, scheme: str, options: dict[str, Any]) -> "AtlasConfig":
    """Take what says which atlases to use out of the options."""
    from neuronat.pipeline.atlases import AtlasConfig

    return AtlasConfig(
        folder=folder,
        scans=options.pop("scans"),
        mask_ending=options.pop("mask_ending"),
        label_ending=options.pop("label_ending") or f"_seg-{Path(scheme).name.removesuffix('.tsv')}_dseg.nii.gz",
        leave_out=options.pop("leave_out"),
        most=options.pop("atlas_count"),
        quality=options.pop("quality"),
    )
