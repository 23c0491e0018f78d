"""docs/cli.md says what the commands say, and no option goes without a word."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from neuronat.cli.main import COMMANDS, group


@pytest.fixture(scope="module")
def generator(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_cli", root / "docs" / "generate_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def every_command(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from every_command(inner, click.Context(inner, parent=context, info_name=name))


def test_the_page_is_current(root: Path, generator: ModuleType):
    written = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == generator.render_page(), "run make cli-docs"


def test_every_command_and_option_stands_on_the_page_with_a_word_of_help(root: Path):
    written = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    for path, command in every_command(group, click.Context(group, info_name="neuronat")):
        assert command.help, path
        if path != "neuronat":
            assert f"\n## {path}\n" in written
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in ("help", "version"):
                assert option.help, f"{path} {option.opts}"
                assert f"`{option.opts[-1]}`" in written, f"{path} {option.opts}"


def test_every_module_of_a_command_is_in_the_table(root: Path):
    found = {
        path.stem
        for path in (root / "src" / "neuronat" / "cli").glob("*.py")
        if "@click.command(" in path.read_text(encoding="utf-8") and path.stem != "main"
    }
    assert found <= set(COMMANDS)
