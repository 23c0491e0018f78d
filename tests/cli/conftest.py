from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neuronat.cli.main import group


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that logs and imported models of a test stay with it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run the command line in this process; stdout and stderr come back apart."""
    return lambda *arguments: CliRunner().invoke(group, [str(argument) for argument in arguments])
