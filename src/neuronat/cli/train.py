"""`neuronat train`: the networks that a TOML file describes."""

import math
from pathlib import Path

import click

from neuronat.cli.progress import shown_progress

__all__ = ["command"]


@click.command("train")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint, if there is one.")
@click.option("--max-minutes", type=float, default=math.inf, help="Stop with a checkpoint after so many minutes.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:<number>.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=None, help="Threads of the CPU; by default torch's own choice."
)
@click.option("--quiet", is_flag=True, help="No progress.")
def command(config: Path, resume: bool, max_minutes: float, device: str, threads: int | None, quiet: bool) -> None:
    """Train the networks that CONFIG (a TOML file, see recipes/) describes.

    Several processes train together when torchrun starts them: torchrun --nproc-per-node 2 -m neuronat train CONFIG
    """
    from neuronat.pipeline.budget import Budget
    from neuronat.pipeline.device import choose_device, limit_threads
    from neuronat.pipeline.training import train_recipe
    from neuronat.train.team import join_team

    limit_threads(threads)
    team, place = join_team(choose_device(device))
    budget = Budget(device=place, max_minutes=max_minutes, resume=resume, team=team)
    with shown_progress(quiet or not team.is_first) as progress:
        folder = train_recipe(config, budget, progress)
    team.leave()
    if team.is_first:
        click.echo(f"model: {folder}" if folder else "the minutes are over; --resume goes on from the checkpoint")
