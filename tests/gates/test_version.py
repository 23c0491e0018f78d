"""One version, wherever it stands."""

import re
from pathlib import Path

from neuronat import __version__


def test_the_version_is_the_same_everywhere(root: Path):
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.M) == [__version__]
    assert re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.M)[0] == __version__
