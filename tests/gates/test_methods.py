"""docs/methods.md names functions that exist; decisions that are named are written."""

import importlib
import re
from pathlib import Path


def test_every_function_on_the_methods_page_exists(root: Path):
    names = re.findall(r"`(neuronat(?:\.\w+)+)`", (root / "docs" / "methods.md").read_text(encoding="utf-8"))
    assert len(names) > 20
    wrong = [name for name in names if not exists(name)]
    assert not wrong, "\n".join(wrong)


def exists(name: str) -> bool:
    module, _, function = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), function)
    except ModuleNotFoundError:
        return False


def test_every_decision_that_is_named_is_written(root: Path, modules):
    written = {path.name[:4] for path in (root / "docs" / "decisions").glob("*.md")}
    texts = [(str(m.path), m.text) for m in modules]
    texts += [(page.name, page.read_text(encoding="utf-8")) for page in (root / "docs").rglob("*.md")]
    wrong = [
        f"{where}: {number}"
        for where, text in texts
        for number in re.findall(r"\bdecision (\d{4})\b", text)
        if number not in written
    ]
    assert not wrong, "\n".join(wrong)
