"""Write docs/cli.md, the reference of the command line, from the commands themselves."""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from neuronat.cli.main import COMMANDS, group
from neuronat.errors import NeuronatError

PAGE = Path(__file__).with_name("cli.md")
INTRODUCTION = """# The command line

This page is made by `make cli-docs` from the commands themselves; a test checks that it is current.
Results go to stdout, progress and messages to stderr. `neuronat COMMAND --help` says the same as below.
"""
OTHER_CODES = {
    0: "done",
    1: "some scans of several failed",
    70: "our mistake; the message names the log",
    130: "interrupted (130 by SIGINT, 143 by SIGTERM)",
}


def main() -> None:
    """Write the page."""
    PAGE.write_text(render_page(), encoding="utf-8")


def render_page() -> str:
    """Return the page as text."""
    parts = [INTRODUCTION]
    context = click.Context(group, info_name="neuronat")
    for name in COMMANDS:
        command = group.get_command(context, name)
        if command is None:
            sys.exit(f"{name} is in the table of commands, but not there")
        parts += render_command(command, click.Context(command, parent=context, info_name=name))
    return "\n".join([*parts, *render_exit_codes()])


def render_command(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the lines of one command, and of the commands in it."""
    help_text = inspect.cleandoc(re.sub(r"[ \t]*\x08\n", "", command.help or ""))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"## {context.command_path}\n\n{help_text}\n\n```\n{usage}\n```\n"
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if options:
        yield "| option | default | what |\n| --- | --- | --- |"
        yield from (render_option(option, context) for option in options)
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from render_command(inner, click.Context(inner, parent=context, info_name=name))


def render_option(option: click.Option, context: click.Context) -> str:
    """Return the row of one option."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if isinstance(option.type, click.Choice):
        names += " " + " or ".join(f"`{choice}`" for choice in option.type.choices)
    elif not option.is_flag:
        names += f" `{option.make_metavar(context)}`"
    words = (option.help or "").replace("<", "\\<").replace("|", "\\|")
    return f"| {names} | {shown_default(option)} | {words} |"


def shown_default(option: click.Option) -> str:
    """Return the default as people write it; empty where leaving the option out means none."""
    if option.required:
        return "required"
    if option.is_flag and option.secondary_opts:
        return f"`{(option.opts if option.default else option.secondary_opts)[0]}`"
    if not option.show_default or option.is_flag:
        return ""
    values = option.default if isinstance(option.default, tuple | list) else (option.default,)
    return ", ".join(f"`{value}`" for value in values)


def render_exit_codes() -> Iterator[str]:
    """Yield the table of exit codes: those of our errors, and the few that are none."""
    codes = {0: OTHER_CODES[0], 1: OTHER_CODES[1]}
    for kind in error_kinds(NeuronatError):
        said = (kind.__doc__ or "").strip().splitlines()[0].rstrip(".")
        said = said[:1].lower() + said[1:]
        codes[kind.exit_code] = "; ".join(filter(None, [codes.get(kind.exit_code, ""), said]))
    codes |= OTHER_CODES
    yield "## Exit codes\n"
    yield "| code | meaning |\n| --- | --- |"
    yield from (f"| {code} | {meaning} |" for code, meaning in sorted(codes.items()))
    yield ""


def error_kinds(root: type[NeuronatError]) -> Iterator[type[NeuronatError]]:
    """Yield the classes below one, parents before children."""
    for kind in root.__subclasses__():
        yield kind
        yield from error_kinds(kind)


if __name__ == "__main__":
    main()
