"""The group of commands; a command's module, and all that it needs, is imported on use only."""

import importlib
import os
import sys
from typing import Any

import click

from neuronat import __version__
from neuronat.cli.failures import run_guarded, stop_on_signals
from neuronat.cohort.machine import SPIN

__all__ = ["COMMANDS", "LazyGroup", "group", "main"]

COMMANDS = {
    "segment": "Label the structures of T1-weighted scans.",
    "bids": "Label the structures of all scans of a cohort, or collect what came out.",
    "status": "Say what is done, failed, running and missing, from the markers alone.",
    "train": "Train the networks that CONFIG (a TOML file, see recipes/) describes.",
    "finetune": "Adapt a model to other brains, or to a new protocol, from a few labelled scans.",
    "targets": "Label the tissues of T1-weighted scans by other tools, to train NeuroNet on.",
    "baseline": "Label SCAN by atlases: joint label fusion (jlf) or STAPLE (staple) after registration.",
    "evaluate": "Compare PREDICTED label maps with a REFERENCE, structure by structure.",
    "compare": "Compare methods by the tables that evaluate wrote for them.",
    "view": "Show results in an interactive viewer, in the browser of this machine.",
    "models": "List, inspect, verify, import and export models.",
    "check": "Say what a scan is and what would be done; compute nothing.",
    "demo": "Do the main job on the template that the installation carries.",
    "doctor": "Show versions, test the device and verify the models.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name, and has one error handler for all of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of one command and return what it calls `command`."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"neuronat.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line and end the process with the exit code of docs/cli.md."""
        extra = {"prog_name": "neuronat"} | extra | {"standalone_mode": False}
        sys.exit(run_guarded(lambda: super(LazyGroup, self).main(*args, **extra)))


@click.group(name="neuronat", cls=LazyGroup, invoke_without_command=True)
@click.version_option(__version__, prog_name="neuronat", message="%(prog)s %(version)s")
@click.pass_context
def group(context: click.Context) -> None:
    """T1-weighted MRI scans of the head into labelled anatomy. Not for diagnosis."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the command line in a process of its own."""
    stop_on_signals()
    os.environ.setdefault(*SPIN)  # before torch brings OpenMP in, which asks once
    group.main()
