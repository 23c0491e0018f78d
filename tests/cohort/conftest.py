"""Cohorts of stand-in scans: text files that say what shall happen to them (`standin/cohort_work.py`)."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STANDIN = Path(__file__).parent / "standin"


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch):
    """The module whose work stands in for segmenting; workers find it, too."""
    monkeypatch.syspath_prepend(str(STANDIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(STANDIN), os.environ.get("PYTHONPATH")))))
    import cohort_work

    return cohort_work


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """Write stand-in scans, one per text, and return their folder."""

    def write(*texts: str, folder: str = "in") -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for number, text in enumerate(texts):
            (tmp_path / folder / f"s{number:03d}.nii.gz").write_text(f"{text} #{number}")
        return tmp_path / folder

    return write


@pytest.fixture
def drive(standin, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:  # noqa: ARG001
    """Start a run in a process of its own; what is left of it is killed at the end of the test."""
    started: list[subprocess.Popen] = []

    def start(source: Path, out: Path, engine: str = "here", n_workers: int = 2, **environment: str):
        command = [sys.executable, str(STANDIN / "cohort_work.py"), str(source), str(out), engine, str(n_workers)]
        environment = os.environ | {"HOME": str(tmp_path)} | environment
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def leftovers(out: Path) -> list[str]:
    """Names of unfinished work and locks below a folder."""
    return sorted(path.name for path in out.rglob(".neuronat-*"))
