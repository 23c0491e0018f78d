from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """Every test of the command line has a home of its own."""
