"""`neuronat baseline`: the paper's opponents, label maps made from those of registered atlases."""

from pathlib import Path
from typing import Any

import click

from neuronat.cli.options import reading_options, segment_config

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
    help="Registration to 2 mm (minutes per atlas) or to 1 mm (an hour and more).",
)
@click.option("--threads", "n_threads", type=int, metavar="N", help="Cores to use. [default: all]")
@click.option("--overwrite", is_flag=True, help="Replace results of another scan, other atlases or settings.")
@reading_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
def command(
    method: str,
    scan: Path,
    atlases: Path,
    out: Path,
    scans: str,
    mask_ending: str,
    label_ending: str | None,
    scheme: str,
    protocol: str,
    atlas_count: int | None,
    leave_out: tuple[str, ...],
    quality: str,
    quiet: bool,
    **options: Any,
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
    from neuronat.pipeline.atlases import AtlasConfig
    from neuronat.pipeline.baseline import label_by_atlases
    from neuronat.pipeline.baseline_plan import BaselineConfig
    from neuronat.pipeline.device import limit_threads

    config = segment_config(options)
    chosen = AtlasConfig(
        folder=atlases,
        scans=scans,
        mask_ending=mask_ending,
        label_ending=label_ending or f"_seg-{Path(scheme).name.removesuffix('.tsv')}_dseg.nii.gz",
        leave_out=leave_out,
        most=atlas_count,
        quality=quality,
    )
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
