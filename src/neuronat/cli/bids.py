"""`neuronat bids`: a cohort of scans, from a BIDS data set, a folder or a list."""

import math
from pathlib import Path
from typing import Any

import click

from neuronat.cli.options import segment_config, segment_options

__all__ = ["SpacedCommand", "command"]

SPACED = ("--participant-label", "--participant_label", "--session-label", "--session_label")


class SpacedCommand(click.Command):
    """A command whose label options take several words, as BIDS apps have it: `--participant-label 01 02`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its words."""
        spread: list[str] = []
        option = ""
        for word in args:
            if word.startswith("-"):
                option = word if word in SPACED else ""
                spread += [] if option else [word]
            else:
                spread += [option, word] if option else [word]
        return super().parse_args(ctx, spread)


def _above_zero(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """Return the value of an option that must be a finite number above 0; click names the option otherwise."""
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"must be a finite number above 0, got {value:g}")
    return value


@click.command(name="bids", cls=SpacedCommand)
@click.argument("source", metavar="BIDS_DIR", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.argument("level", metavar="participant|group", type=click.Choice(("participant", "group")))
@click.option(
    "--participant-label", "--participant_label", "participants", multiple=True, metavar="LABEL...",
    help="Subjects, with or without sub-. [default: all]",
)  # fmt: skip
@click.option(
    "--session-label", "--session_label", "sessions", multiple=True, metavar="LABEL...",
    help="Sessions, with or without ses-. [default: all]",
)  # fmt: skip
@click.option("--bids-filter-file", type=click.Path(path_type=Path), help="JSON: what names of T1w images must say.")
@click.option("--masks", type=click.Path(path_type=Path), help="Derivatives with *_desc-brain_mask.nii.gz.")
@click.option("--part", default="1/1", show_default=True, metavar="I/N", help="One of several equal parts.")
@click.option("--n-procs", "n_workers", type=int, metavar="N", help="Scans at a time. [default: by cores and memory]")
@click.option(
    "--mem-gb", "memory_gb", type=float, metavar="G", callback=_above_zero,
    help="Memory to use. [default: what is free]",
)  # fmt: skip
@click.option("--scheduler", default="", metavar="ADDRESS", help="Join this Dask cluster (address or scheduler file).")
@click.option(
    "--timeout", type=float, default=30, show_default=True, metavar="MINUTES", callback=_above_zero,
    help="For one scan.",
)  # fmt: skip
@click.option("--grace", type=float, default=30, show_default=True, metavar="SECONDS", help="To finish after a signal.")
@click.option(
    "--scans-per-worker", type=int, default=50, show_default=True, callback=_above_zero,
    help="Then a fresh process goes on.",
)  # fmt: skip
@click.option("--keep-going", is_flag=True, help="Go on when scan after scan fails in the same way.")
@click.option("--pack", "is_packed", is_flag=True, help="The files of each scan as one zip file; group reads it, too.")
@click.option("--require-all", is_flag=True, help="group: exit code 1 if a scan is missing or failed.")
@click.option("--skip-bids-validation", is_flag=True, help="Accepted for BIDS apps; neuronat validates nothing itself.")
@click.option("--resume", is_flag=True, help="Accepted for BIDS apps; every run goes on where one was stopped.")
@click.option(
    "-w", "--work-dir", type=click.Path(path_type=Path), help="Accepted for BIDS apps; there is no such folder."
)
@segment_options
@click.option("--quiet", is_flag=True, help="Show only what went wrong.")
@click.pass_context
def command(
    context: click.Context, /, source: Path, out: Path, level: str, require_all: bool, quiet: bool, **options: Any
) -> None:
    """Label the structures of all scans of a cohort, or collect what came out.

    \b
    BIDS_DIR is a BIDS data set; a folder of images, a text file with one path per line, or a table (.tsv)
    with the columns scan, mask and folder work the same way. `participant` does the scans, and after a stop
    only what is missing. `group` collects volumes, verdicts, times and failures in tables and one page,
    of an unfinished cohort, too. Each scan has a process of its own. Not for diagnosis.
    """

    def say(line: str, went_wrong: bool) -> None:
        if went_wrong or not quiet:
            click.echo(line, err=True)

    if level == "group":
        from neuronat.cohort.group import collect_group
        from neuronat.cohort.manifest import require_other_folder

        require_other_folder(source, out)
        context.exit(collect_group(out, say, require_all=require_all))
    from neuronat.cohort.study import run_participants

    context.exit(run_participants(source, out, _study_config(options), say))


def _study_config(options: dict[str, Any]) -> Any:
    """Join the options as a configuration of the run."""
    from neuronat.cohort.bids import parse_filter
    from neuronat.cohort.entry import Selection, parse_part
    from neuronat.cohort.run import Rules
    from neuronat.cohort.study import StudyConfig

    take = options.pop
    for accepted in ("skip_bids_validation", "resume", "work_dir"):
        take(accepted)
    filter_file = take("bids_filter_file")
    selection = Selection(
        participants=take("participants"),
        sessions=take("sessions"),
        entities=parse_filter(filter_file) if filter_file else (),
        masks=take("masks"),
        part=parse_part(take("part")),
    )
    return StudyConfig(
        selection=selection,
        rules=Rules(grace_s=take("grace"), keep_going=take("keep_going")),
        n_workers=take("n_workers"),
        memory_gb=take("memory_gb"),
        scheduler=take("scheduler"),
        timeout_s=60 * take("timeout"),
        scans_per_worker=take("scans_per_worker"),
        segment=segment_config({**options, "has_thumbnail": not options["is_packed"]}),
    )
