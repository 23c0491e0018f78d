"""Cohorts of stand-in scans: text files that say what shall happen to them (`standin/cohort_work.py`)."""

import os
from collections.abc import Callable
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
