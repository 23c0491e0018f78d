from pathlib import Path

import numpy as np
import pytest

HEADER = "scan\tindex\tname\tdice\thd95_mm\tasd_mm\tvolume_predicted_mm3\tvolume_reference_mm3\n"
NAMES = {10: "Left-Thalamus", 49: "Right-Thalamus", 16: "Brain-Stem"}
FILES = [
    *(f"boxplots_{metric}.{ending}" for metric in ("asd", "dice", "hd95") for ending in ("pdf", "png", "svg")),
    *("summary.md", "summary.tsv", "tests.tsv"),
]


def write(path: Path, dice: np.ndarray, first_scan: int = 0) -> Path:
    """A table of rows (scans) by three structures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"s{first_scan + row}\t{index}\t{name}\t{value:.6f}\t{10 - value:.4f}\t{1 - value:.4f}\t10\t11\n"
        for row, values in enumerate(dice)
        for (index, name), value in zip(NAMES.items(), values, strict=True)
    ]
    path.write_text(HEADER + "".join(lines))
    return path


@pytest.fixture
def dice(rng) -> np.ndarray:
    return rng.uniform(0.5, 0.8, (8, 3))


@pytest.fixture
def no_figures(monkeypatch) -> None:
    """Save the time that the files of the box plots take."""
    monkeypatch.setattr("neuronat.report.figures.FORMATS", ())


def test_two_tables_give_figures_tables_and_a_page(run, tmp_path, dice):
    better, worse = write(tmp_path / "spectral.tsv", dice + 0.1), write(tmp_path / "none.tsv", dice)
    done = run("compare", better, worse, "-o", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (0, "")
    means = f"spectral {dice.mean() + 0.1:.3f}, none {dice.mean():.3f}"
    assert done.stdout == f"{tmp_path / 'out'}: 8 scans, mean Dice {means}; read {tmp_path / 'out' / 'summary.md'}\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    tests = [line.split("\t") for line in (tmp_path / "out" / "tests.tsv").read_text().splitlines()]
    # eight differences of one sign: 2 / 2^8; one test over all, three by structure
    assert [row[:5] for row in tests[1:3]] == [
        ["spectral", "none", "n/a", "all structures", "8"],
        ["spectral", "none", "10", "Left-Thalamus", "8"],
    ]
    np.testing.assert_allclose([float(row[7]) for row in tests[1:]], [2 / 256] * 4, rtol=1e-5)
    np.testing.assert_allclose([float(row[8]) for row in tests[1:]], [2 / 256] + [6 / 256] * 3, rtol=1e-5)
    assert "| spectral | none | all structures | 0.1 |" in (tmp_path / "out" / "summary.md").read_text()
    assert len((tmp_path / "out" / "summary.tsv").read_text().splitlines()) == 1 + 3 * 4 * 2


@pytest.mark.usefixtures("no_figures")
def test_the_correction_can_be_chosen(run, tmp_path, dice):
    tables = write(tmp_path / "a.tsv", dice + 0.1), write(tmp_path / "b.tsv", dice)
    run("compare", *tables, "-o", tmp_path / "out", "--correction", "benjamini-hochberg")
    tests = [line.split("\t") for line in (tmp_path / "out" / "tests.tsv").read_text().splitlines()]
    np.testing.assert_allclose([float(row[8]) for row in tests[1:]], [2 / 256] * 4, rtol=1e-5)
    assert {row[9] for row in tests[1:]} == {"benjamini-hochberg"}


@pytest.mark.usefixtures("no_figures")
def test_one_table_is_summarized_without_tests(run, tmp_path, dice):
    done = run("compare", write(tmp_path / "a.tsv", dice[:1]), "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert len((tmp_path / "out" / "tests.tsv").read_text().splitlines()) == 1
    assert "Differences" not in (tmp_path / "out" / "summary.md").read_text()


@pytest.mark.usefixtures("no_figures")
def test_scans_that_one_table_lacks_are_left_out_with_a_warning(run, tmp_path, dice):
    tables = write(tmp_path / "a.tsv", dice), write(tmp_path / "b.tsv", dice, first_scan=2)
    done = run("compare", *tables, "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert "warning: a: 2 scans without a partner in every table left out (s0, s1)" in done.stderr
    assert "6 scans, mean Dice" in done.stdout


@pytest.mark.usefixtures("no_figures")
def test_tables_of_one_name_are_called_by_their_folders(run, tmp_path, dice):
    tables = write(tmp_path / "a" / "table.tsv", dice), write(tmp_path / "b" / "table.tsv", dice)
    done = run("compare", *tables, "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert "a/table" in done.stdout
    assert "b/table" in done.stdout
    done = run("compare", tables[0], tables[0], "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "several tables are called a/table" in done.stderr


def test_what_is_no_table_is_named(run, tmp_path, dice):
    good = write(tmp_path / "good.tsv", dice)
    strange = write(tmp_path / "strange.tsv", dice, first_scan=100)
    (tmp_path / "text.tsv").write_text("hello\n")
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\x00\x01")
    for table, code, complaint in (
        (tmp_path / "missing.tsv", 66, "missing.tsv: cannot be read (No such file or directory)"),
        (tmp_path, 66, f"{tmp_path.name}: cannot be read (Is a directory)"),
        (tmp_path / "text.tsv", 65, "text.tsv: has no column scan"),
        (tmp_path / "bytes.tsv", 65, "bytes.tsv: is no text"),
        (strange, 65, "good, strange have no scan in common"),
    ):
        done = run("compare", good, table, "-o", tmp_path / "out")
        assert (done.exit_code, done.stdout) == (code, "")
        assert complaint in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_table_is_not_written_over(run, tmp_path: Path):
    (tmp_path / "a.tsv").write_text("scan\n")
    done = run("compare", tmp_path / "a.tsv", tmp_path / "b.tsv", "-o", tmp_path / "a.tsv")
    assert done.exit_code == 2
    assert done.stderr == "neuronat: a.tsv: is one of the tables; name a folder for what comes out\n"
