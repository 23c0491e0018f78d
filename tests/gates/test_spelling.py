"""British spelling with -ize in what people read (decision 0001)."""

import io
import re
import tokenize
from pathlib import Path

AMERICAN = re.compile(
    r"\b(centers?|centered|gray(scale)?|neighbors?|neighboring|neighborhoods?|behaviors?|colored|colors|"
    r"labeled|labeling|modeling|analyze[sd]?|favor|catalog|licensed? file)\b"
)
TITLES = re.compile(r"Multi-Atlas Labeling|Analyze 7\.5|`[^`]*`|\[[^\]]*\]\([^)]*\)")  # names, code and links


def test_words_are_spelt_the_british_way(root: Path, modules):
    wrong = []
    for module in modules:
        for line, text in words(module.text):
            wrong += [f"{module.path}:{line}: {word}" for word in american(text)]
    for page in [root / "README.md", root / "CHANGELOG.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        if page.name != "references.md":  # titles are their authors'
            wrong += [f"{page.relative_to(root)}: {word}" for word in american(text)]
    assert not wrong, "\n".join(wrong)


def test_names_and_code_keep_their_spelling():
    assert american("the center of the MICCAI Multi-Atlas Labeling data, `center_of_mass`") == ["center"]


def american(text: str) -> list[str]:
    return [match.group() for match in AMERICAN.finditer(TITLES.sub("", text))]


def words(text: str) -> list[tuple[int, str]]:
    """Comments and docstrings with their lines; other strings may be names of foreign things."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [
        (token.start[0], token.string)
        for token in tokens
        if token.type == tokenize.COMMENT
        or (token.type == tokenize.STRING and token.string.startswith(('"""', 'r"""')))
    ]
