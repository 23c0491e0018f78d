import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from neuronat.cohort.entry import Row
from neuronat.cohort.page import MOST_ROWS, GroupContent, plan_boxes_of, write_page
from neuronat.cohort.tables import VolumeTable


class Cells(HTMLParser):
    """Collects the first cells of the rows, the pictures, and what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "img":
            self.pictures.append(found["src"])
        elif tag == "a":
            self.links.append(found["href"])
        elif "src" in found or tag in ("link", "iframe", "object"):
            self.loaded.append(tag)


def row(stem: str, state: str = "done", **changes: object) -> Row:
    return Row(folder="sub-01/anat", stem=stem, state=state, verdict="plausible", **changes)


def page(out: Path, *rows: Row, tables=(), outliers=None) -> str:
    write_page(out, GroupContent(rows=rows, tables=tables, outliers=outliers or {}))
    return (out / "group.html").read_text()


def test_names_are_escaped_and_nothing_is_loaded_from_elsewhere(tmp_path: Path):
    text = page(tmp_path, row("<script>alert(1)</script>", state="failed", message='"><img src=x onerror=y>'))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<img src=x" not in text
    cells = Cells()
    cells.feed(text)
    assert (cells.loaded, cells.pictures) == ([], [])
    assert not re.search(r"https?:|//[a-z]", text)
    assert "default-src 'none'" in text


def test_pictures_and_pages_of_scans_are_linked_where_they_are(tmp_path: Path):
    folder = tmp_path / "sub-01" / "anat"
    (folder / "figures").mkdir(parents=True)
    for name in ("figures/sub-01_a.png", "figures/sub-01_b c.png", "figures/sub-012_a.png", "sub-01.html"):
        (folder / name).write_bytes(b"")
    cells = Cells()
    cells.feed(page(tmp_path, row("sub-01")))
    assert cells.pictures == ["sub-01/anat/figures/sub-01_a.png", "sub-01/anat/figures/sub-01_b%20c.png"]
    assert cells.links == ["sub-01/anat/sub-01.html"]


def test_scans_that_need_a_look_are_marked_and_come_first_in_a_large_cohort(tmp_path: Path):
    rows = [row(f"s{number:05d}") for number in range(MOST_ROWS + 10)]
    rows[-1] = row("bad", state="killed", message="signal 9")
    rows[-2] = row("odd")
    text = page(tmp_path, *rows, outliers={"sub-01/anat/odd": ("Left-Hippocampus",)})
    assert text.count('class="look"') == 2
    assert text.index("sub-01/anat/bad") < text.index("sub-01/anat/s00000")
    assert "Left-Hippocampus" in text
    assert f"shows {MOST_ROWS} of {MOST_ROWS + 10} scans" in text


def test_boxes_lie_on_an_axis_of_percent_of_the_median():
    # eleven values from 0.9 to 1.1 of the median 1000 mm3, one of 1500 (beyond), one unknown
    values = np.array([*np.linspace(900, 1100, 11), 1500, np.nan])
    table = VolumeTable("p", [f"s{n}" for n in range(13)], ["White", "Nobody's"], np.c_[values, np.full(13, np.nan)])
    (box,) = plan_boxes_of(table)
    assert (box["name"], box["n"]) == ("White", 12)
    assert box["median_ml"] == 1.01
    middle = (100 - 40) / 120 * 560
    assert box["middle"] == round(middle, 1)
    np.testing.assert_allclose(box["low"], (900 / 10.1 - 40) / 120 * 560, atol=0.1)
    (point,) = box["points"]
    assert (point["scan"], point["ml"]) == ("s11", 1.5)
    np.testing.assert_allclose(point["x"], (1500 / 10.1 - 40) / 120 * 560, atol=0.1)


def test_the_page_shows_boxes_and_counts(tmp_path: Path):
    table = VolumeTable("p", ["a", "b", "c"], ["White"], np.array([[900.0], [1000.0], [1100.0]]))
    text = page(tmp_path, row("a"), row("b"), row("c", state="missing"), tables=[table])
    assert "<b>2</b> done" in text
    assert "<b>1</b> missing" in text
    assert text.count("<rect") == 1
