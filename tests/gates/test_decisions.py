"""A decision record is short and has its five parts."""

import re
from pathlib import Path

PARTS = ["Question", "Choice", "Reasons", "What we gave up", "How we would notice we were wrong"]
LINES = 60


def test_decision_records_have_their_parts_and_numbers(root: Path):
    records = sorted((root / "docs" / "decisions").glob("*.md"))
    wrong, numbers = [], []
    for record in records:
        text = record.read_text(encoding="utf-8")
        number = record.name[:4]
        numbers.append(number)
        if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", record.name) or not text.startswith(f"# {number}: "):
            wrong.append(f"{record.name}: name and title must begin with its number")
        if re.findall(r"^## (.*)$", text, re.M) != PARTS:
            wrong.append(f"{record.name}: parts are {re.findall(r'^## (.*)$', text, re.M)}")
        if text.count("\n") > LINES:
            wrong.append(f"{record.name}: {text.count(chr(10))} lines")
    assert not wrong, "\n".join(wrong)
    assert len(set(numbers)) == len(numbers) > 0
