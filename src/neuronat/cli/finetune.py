"""`neuronat finetune`: a finished model, adapted to other brains or to a new protocol."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuronat.cli.progress import shown_progress

if TYPE_CHECKING:
    from neuronat.pipeline.finetune import Finetuned

__all__ = ["command"]


@click.command("finetune")
@click.argument("place", metavar="SCANS", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the new model.")
@click.option("--model", default="neuronet", show_default=True, help="Name or folder of the model to start from.")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME|TABLE",
    help="Teach this protocol; a new one by its table (.tsv). [default: those of the model with label maps]",
)
@click.option(
    "--merged-from",
    multiple=True,
    metavar="PROTOCOL=OTHER",
    help="Take the labels of a protocol from the label maps of another one.",
)
@click.option("--heads-only", is_flag=True, help="Change nothing but heads; all other protocols stay as they are.")
@click.option("--hold-out", multiple=True, metavar="NAME", help="Do not train on this scan, but measure on it.")
@click.option("--scans", default="**/*_T1w.nii*", show_default=True, help="Names of scans in the folder.")
@click.option(
    "--labels",
    "label_folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Further folder of label maps. [default: beside the scans]",
)
@click.option(
    "--mask-ending",
    default="_desc-brain_mask.nii.gz",
    show_default=True,
    help="What follows a scan's stem in the name of its brain mask; none is needed where the scan is stripped.",
)
@click.option("--credit", "credits", multiple=True, metavar="LINE", help="Whom to name on the card for the scans.")
@click.option(
    "--max-minutes",
    type=float,
    default=None,
    help="As many steps as fit in; measuring on held-out scans comes on top. [default: 60, with --iterations no limit]",
)
@click.option(
    "--iterations", type=click.IntRange(min=1), default=None, help="So many steps instead, whatever the machine."
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint, if there is one.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of all that is drawn by chance.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:<number>.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=None, help="Threads of the CPU; by default torch's own choice."
)
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    place: Path,
    out: Path,
    model: str,
    max_minutes: float | None,
    resume: bool,
    device: str,
    threads: int | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Adapt a model to other brains, or to a new protocol, from a few labelled scans.

    \b
    SCANS is a folder of skull-stripped scans, or of scans with brain masks, each with label maps beside
    it (<stem>_seg-<protocol>_dseg.nii.gz); or a table with the column scan and one per protocol.
    The new model keeps the licence of the one it is made from. Not for diagnosis.
    """
    from neuronat.pipeline.budget import Budget
    from neuronat.pipeline.device import choose_device, limit_threads
    from neuronat.pipeline.finetune import finetune, work_folder
    from neuronat.pipeline.finetune_settings import FinetuneConfig

    given = {"merged_from": _pairs(options["merged_from"]), "iterations": options["iterations"] or 0}
    config = FinetuneConfig(**options | given)
    limit_threads(threads)
    if max_minutes is None:
        max_minutes = math.inf if config.iterations else 60.0
    budget = Budget(device=choose_device(device), max_minutes=max_minutes, resume=resume)
    with shown_progress(quiet) as progress:
        made = finetune(place, out, model, config, budget, progress)
    if made is None:
        click.echo("the minutes are over; --resume goes on from the checkpoint")
        return
    _report(made)
    click.echo(f"packed scans, checkpoints and log: {work_folder(out)}")


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """Split `PROTOCOL=OTHER`."""
    from neuronat.errors import UsageError

    if wrong := [text for text in texts if text.count("=") != 1]:
        raise UsageError(f"--merged-from {wrong[0]} is no PROTOCOL=OTHER; write deepnat25=neuromorphometrics")
    return dict(text.split("=") for text in texts)


def _report(made: "Finetuned") -> None:
    """Say what came out."""
    taught = ", ".join(made.protocols)
    click.echo(f"model: {made.folder} ({taught}; {made.n_scans} scans, {made.seconds / 60:.1f} minutes of training)")
    for score in made.scores:
        before = "" if score.before is None else f", {score.before:.3f} before"
        click.echo(f"{score.protocol}: mean Dice {score.after:.3f} on held-out scans{before}")
