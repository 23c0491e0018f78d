import importlib.util
import os
import subprocess
import sys

import click
import pytest

from neuronat import __version__
from neuronat.cli.main import COMMANDS, LazyGroup, group, main


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_help_names_every_command_and_loads_nothing_heavy():
    script = (
        "import sys\nfrom neuronat.cli.main import group\n"
        "try: group.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'nibabel', 'scipy', 'numba', 'SimpleITK', 'rich', 'dask', 'jinja2'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    for name, summary in COMMANDS.items():
        assert f"  {name}" in done.stdout
        assert summary in " ".join(done.stdout.split())


def test_help_takes_less_than_a_second_of_the_processor():
    before_s = sum(os.times()[2:4])
    assert python("-m", "neuronat", "--help").returncode == 0
    assert sum(os.times()[2:4]) - before_s < 1.0


def test_the_version_is_the_packages(run):
    done = run("--version")
    assert (done.exit_code, done.output) == (0, f"neuronat {__version__}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_repeats_the_first_line_of_each_commands_help(name: str):
    if importlib.util.find_spec(f"neuronat.cli.{name}") is None:
        pytest.skip(f"{name} is not there yet")
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").split("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nosuch",), "neuronat: No such option '--nosuch'; see neuronat --help\n"),
        (("sgement",), "neuronat: No such command 'sgement'; see neuronat --help\n"),
        (("models", "info"), "neuronat: Missing argument 'MODEL'; see neuronat models info --help\n"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_exit_code_2(run, arguments: tuple[str, ...], message: str):
    done = run(*arguments)
    assert (done.exit_code, done.stderr, done.stdout) == (2, message, "")


def test_no_arguments_show_the_help(run):
    done = run()
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: neuronat [OPTIONS] [COMMAND]")


@pytest.mark.parametrize(("given", "wanted"), [(None, "10000"), ("7", "7")])
def test_threads_that_wait_sleep_soon_unless_the_user_decides(monkeypatch: pytest.MonkeyPatch, given, wanted):
    monkeypatch.setattr("neuronat.cli.main.stop_on_signals", lambda: None)
    monkeypatch.setenv("GOMP_SPINCOUNT", "")
    monkeypatch.delenv("GOMP_SPINCOUNT") if given is None else monkeypatch.setenv("GOMP_SPINCOUNT", given)
    seen = []
    monkeypatch.setattr(LazyGroup, "main", lambda *_: seen.append(os.environ["GOMP_SPINCOUNT"]))
    main()
    assert seen == [wanted]
