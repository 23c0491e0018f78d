"""Options that several commands share, and what they mean as a configuration."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuronat.errors import UsageError

if TYPE_CHECKING:
    from neuronat.pipeline.settings import SegmentConfig

__all__ = ["model_option", "reading_options", "segment_config", "segment_options", "series_option"]

series_option = click.option(
    "--series", metavar="UID", help="Series of a DICOM folder, by UID or number. [default: the one 3D T1]"
)
READING = (
    click.option("--mask", type=click.Path(path_type=Path), help="Brain mask on the scan's own grid."),
    click.option(
        "--stripped",
        type=click.Choice(("auto", "yes", "no")),
        default="auto",
        show_default=True,
        help="Whether the scan is 0 outside the brain.",
    ),
    click.option("--force", is_flag=True, help="Accept scans that do not look like a T1 of a brain."),
    click.option("--strict", is_flag=True, help="Refuse scans and results that would get a warning."),
    series_option,
    click.option("--frame", type=int, metavar="K", help="Frame of a 4D image, counted from 0."),
    click.option("--use-form", type=click.Choice(("sform", "qform")), help="Which form to believe if they contradict."),
    click.option("--assume-orientation", metavar="LETTERS", help="How an Analyze 7.5 image lies, such as LAS."),
    click.option(
        "--max-voxels", type=click.IntRange(min=1), metavar="N", help="Refuse larger images. [default: by memory]"
    ),
)
model_option = click.option("--model", "models", multiple=True, help="Name or folder. [default: deepnat and neuronet]")
SEGMENT = (
    model_option,
    click.option(
        "--fast", "is_fast", is_flag=True, help="NeuroNet alone, one look: two fifths of the time, less accurate."
    ),
    click.option(
        "--best", "is_best", is_flag=True, help="DeepNAT sees the mirror image, too: half as much time again."
    ),
    click.option(
        "--protocol",
        "protocols",
        multiple=True,
        help="Label in this protocol. [default: deepnat25 and neuromorphometrics; all of a --model]",
    ),
    click.option("--crf/--no-crf", "has_crf", default=True, show_default=True, help="Refine the labels."),
    click.option("--keep-islands", "keeps_islands", is_flag=True, help="Keep small pieces far from their structure."),
    click.option("--probabilities", "has_probabilities", is_flag=True, help="Write probabilities as well."),
    click.option(
        "--report/--no-report", "has_report", default=True, show_default=True, help="Write a page to look at."
    ),
    click.option("--stats", "has_stats", is_flag=True, help="Write volumes like FreeSurfer's aseg.stats as well."),
    click.option("--luts", "has_luts", is_flag=True, help="Write colour tables for FreeView, ITK-SNAP and FSLeyes."),
    click.option(
        "--freesurfer-ids",
        "has_freesurfer_ids",
        is_flag=True,
        help="Write labels of other ids in FreeSurfer's as well.",
    ),
    click.option(
        "--space",
        type=click.Choice(("native", "working")),
        default="native",
        show_default=True,
        help="Grid of the outputs: the scan's own, or 1 mm RAS.",
    ),
    click.option(
        "--format",
        "file_format",
        type=click.Choice(("nii.gz", "mgz")),
        default="nii.gz",
        show_default=True,
        help="Of the images written.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:<number>."),
    click.option(
        "--threads",
        "--omp-nthreads",
        "n_threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cores to use. [default: all]",
    ),
    click.option("--overwrite", is_flag=True, help="Replace results of another scan, model or settings."),
)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a scan is read."""
    for option in reversed(READING):
        function = option(function)
    return function


def segment_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a scan is segmented."""
    for option in reversed((*SEGMENT, *READING)):
        function = option(function)
    return function


def segment_config(options: Mapping[str, Any]) -> "SegmentConfig":
    """Join the values of these options; ConfigError names what is out of range, UsageError what contradicts."""
    from neuronat.pipeline.settings import SegmentConfig
    from neuronat.space.scan import ReadOptions

    values = dict(options)
    is_fast, is_best = values.pop("is_fast", False), values.pop("is_best", False)
    if is_fast and is_best:
        raise UsageError("--fast and --best contradict each other; leave one out")
    reading = ReadOptions(
        series=values.pop("series"),
        frame=values.pop("frame"),
        use_form=values.pop("use_form"),
        assume_orientation=values.pop("assume_orientation"),
        max_voxels=values.pop("max_voxels"),
        force=values["force"],
    )
    effort = "fast" if is_fast else "best" if is_best else "usual"
    return SegmentConfig(reading=reading, effort=effort, **values)
