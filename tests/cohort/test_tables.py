import numpy as np

from neuronat.cohort.entry import Row
from neuronat.cohort.tables import gather_volumes, write_failures, write_status, write_volumes

HEAD = "index\tname\tn_voxels\tvolume_mm3\treason\n"


def done(stem: str) -> Row:
    return Row(folder="", stem=stem, state="done", verdict="plausible", protocols=("p",), duration_s=61.25)


def test_volumes_of_scans_with_different_structures_are_joined_by_name(tmp_path):
    (tmp_path / "a_seg-p_volumes.tsv").write_text(f"{HEAD}2\tWhite\t3\t4.5\tn/a\n3\tGrey\tn/a\tn/a\tnot found\n")
    (tmp_path / "b_seg-p_volumes.tsv").write_text(f"{HEAD}3\tGrey\t7\t10.5\tn/a\n4\tFluid\t1\t1.5\ttruncated\n")
    (tmp_path / "c_seg-p_volumes.tsv").write_text("something else\n1\n")
    (table,) = gather_volumes(tmp_path, [done("a"), done("b"), done("c"), done("gone")])
    assert (table.protocol, table.scans, table.structures) == ("p", ["a", "b"], ["White", "Grey", "Fluid"])
    np.testing.assert_array_equal(table.volumes_mm3, [[4.5, np.nan, np.nan], [np.nan, 10.5, 1.5]])
    write_volumes(tmp_path / "group.tsv", table)
    assert (tmp_path / "group.tsv").read_text() == "scan\tWhite\tGrey\tFluid\na\t4.5\tn/a\tn/a\nb\tn/a\t10.5\t1.5\n"


def test_status_and_failures_say_one_line_per_scan_and_leave_nothing_empty(tmp_path):
    rows = [
        done("a"),
        Row(folder="x", stem="b", state="killed", code=71, message="two\nlines\tand a tab"),
        Row(folder="", stem="c", state="missing"),
    ]
    write_status(tmp_path / "status.tsv", rows, {"a": ("Grey", "White")})
    lines = [line.split("\t") for line in (tmp_path / "status.tsv").read_text().splitlines()]
    first = dict(zip(lines[0], lines[1], strict=True))
    assert (first["scan"], first["outliers"], first["duration_s"], first["message"]) == (
        "a", "Grey, White", "61.25", "n/a",
    )  # fmt: skip
    assert lines[2][0] == "x/b"
    assert lines[2][-1] == "two lines and a tab"
    write_failures(tmp_path / "failures.tsv", rows)
    assert (tmp_path / "failures.tsv").read_text() == (
        "scan\tstate\tcode\tmessage\nx/b\tkilled\t71\ttwo lines and a tab\nc\tmissing\t0\tn/a\n"
    )
