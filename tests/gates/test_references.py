"""Every key in brackets names a reference, and every reference is used."""

import io
import re
import tokenize
from pathlib import Path

KEY = re.compile(r"\[([A-Z][A-Z0-9-]{2,})\]")


def test_every_key_is_known_and_every_reference_is_used(root: Path, modules):
    listed = re.findall(r"^\* \[([A-Z0-9-]+)\] \S", (root / "docs" / "references.md").read_text(encoding="utf-8"), re.M)
    assert len(set(listed)) == len(listed)
    used = {(key, module.name) for module in modules for key in KEY.findall(words(module.text))}
    for page in (root / "docs").rglob("*.md"):
        if page.name not in ("references.md", "cli.md"):
            used |= {(key, page.name) for key in KEY.findall(page.read_text(encoding="utf-8"))}
    assert sorted(f"{key} in {where}" for key, where in used if key not in listed) == []
    assert sorted(set(listed) - {key for key, _ in used}) == []


def words(text: str) -> str:
    """Comments and strings of a module, where a key in brackets is no index."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(t.string for t in tokens if t.type in (tokenize.COMMENT, tokenize.STRING))
