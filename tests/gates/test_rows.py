"""Each of the 57 rows of the specification of bad and odd inputs has a test that carries its number."""

import re
from pathlib import Path

ROWS = range(1, 58)
BY_NAME = re.compile(r"test_rows?_(\d\d)(?:_and_(\d\d))?_")
IN_TABLE = re.compile(r"^ +\((\d+), make_", re.MULTILINE)


def test_no_row_is_without_a_test(root: Path, tracked):
    texts = [(root / path).read_text(encoding="utf-8") for path in tracked if path.name.startswith("test_")]
    tested = {int(number) for text in texts for pair in BY_NAME.findall(text) for number in pair if number}
    tested |= {int(number) for text in texts for number in IN_TABLE.findall(text)}
    assert sorted(set(ROWS) - tested) == []
    assert sorted(tested - set(ROWS)) == []
