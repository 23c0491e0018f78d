import os
from pathlib import Path

import pytest

from neuronat.cohort.group import collect_group
from neuronat.cohort.locks import lock_path, take_lock
from neuronat.errors import BusyError, MissingInputError
from neuronat.record import Marker, sha256_of, write_marker, write_text


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for number in range(12):
        name = f"s{number}_seg-p_volumes.tsv"
        write_text(tmp_path / name, f"index\tname\tn_voxels\tvolume_mm3\treason\n2\tWhite\t9\t{1000 + number}.0\tn/a\n")
        outputs = {name: sha256_of(tmp_path / name)}
        marker = Marker(version="1", inputs={}, models={}, settings={}, outputs=outputs, notes={"verdict": "plausible"})
        write_marker(tmp_path / f"s{number}_done.json", marker)
    return tmp_path


def test_a_page_that_fails_leaves_the_tables_whole(out: Path, monkeypatch: pytest.MonkeyPatch):
    said = []
    monkeypatch.setattr("neuronat.cohort.page.plan_boxes_of", lambda _: 1 / 0)
    assert collect_group(out, lambda line, _: said.append(line)) == 1
    assert said[-1] == "the page failed (ZeroDivisionError: division by zero); the tables are whole"
    assert not (out / "group.html").exists()
    assert len((out / "group_seg-p_volumes.tsv").read_text().splitlines()) == 13
    assert len((out / "status.tsv").read_text().splitlines()) == 13


def test_results_whose_names_are_not_utf_8_are_collected_too(out: Path):
    for name in ("s0_done.json", "s0_seg-p_volumes.tsv"):
        (out / name).rename(out / os.fsdecode(b"M\xfc" + name.removeprefix("s0").encode()))
    (out / os.fsdecode(b"M\xfc.html")).write_text("page")
    said = []
    assert collect_group(out, lambda line, _: said.append(line)) == 0
    assert said[0].startswith("12 scans: 12 done")
    assert "M\\xfc\t1000.0\n" in (out / "group_seg-p_volumes.tsv").read_text()
    assert "M\\xfc\tdone\t0\t" in (out / "status.tsv").read_text()
    assert '<a href="M%FC.html">' in (out / "group.html").read_text()


def test_a_folder_without_results_stays_as_it_is(tmp_path: Path):
    with pytest.raises(MissingInputError, match="holds no results of a cohort"):
        collect_group(tmp_path, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_one_run_collects_at_a_time(out: Path):
    (out / "logs").mkdir()
    assert take_lock(lock_path(out / "logs", "group"), "another")
    with pytest.raises(BusyError, match="another run is collecting in it"):
        collect_group(out, lambda *_: None)


def test_collecting_twice_says_the_same(out: Path):
    said = []
    assert [collect_group(out, lambda line, _: said.append(line)) for _ in range(2)] == [0, 0]
    assert said[:2] == said[2:]
    assert said[0].startswith("12 scans: 12 done; 0 with unusual volumes")
