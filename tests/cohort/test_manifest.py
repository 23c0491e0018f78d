import os
from pathlib import Path

import numpy as np
import pytest

from neuronat.cohort.entry import Selection, parse_part
from neuronat.cohort.manifest import find_cohort, require_other_folder, write_manifest_text
from neuronat.errors import ConfigError, MissingInputError, UsageError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def keys(source: Path, out: Path, **selection: object) -> list[str]:
    return [entry.key for entry in find_cohort(source, out, Selection(**selection)).entries]


def test_results_of_a_folder_mirror_it_and_only_scans_count(tmp_path: Path):
    source = tmp_path / "in"
    touch(source / "b.nii", source / "site" / "x" / "a.mgz", source / "site" / "x" / "a2.nii.gz")
    touch(source / "b_mask.nii.gz", source / ".cache" / "c.nii", source / "notes.txt", source / "res" / "b.nii")
    assert keys(source, source / "res") == ["b", "site/x/a", "site/x/a2"]


def test_names_that_are_not_utf_8_are_failed_gaps_and_the_others_go_on(tmp_path: Path):
    source = tmp_path / "in"
    touch(source / "ok.nii.gz", source / os.fsdecode(b"M\xfcller.nii.gz"), source / os.fsdecode(b"\xe9") / "a.nii")
    cohort = find_cohort(source, tmp_path / "out", Selection())
    assert write_manifest_text(cohort) == "folder\tstem\n\tok\n"
    assert [(gap.folder, gap.stem) for gap in cohort.gaps] == [("", "M\\xfcller"), ("\\xe9", "a")]
    assert {(gap.message, gap.is_failure) for gap in cohort.gaps} == {("its name is not UTF-8; rename it", True)}


def test_a_list_names_scans_relative_to_itself(tmp_path: Path):
    (tmp_path / "scans.txt").write_text("# two\na/T1.nii.gz\n\nb/other.nii.gz\n")
    found = find_cohort(tmp_path / "scans.txt", tmp_path / "out", Selection()).entries
    assert [(entry.key, entry.scan) for entry in found] == [
        ("T1", tmp_path / "a/T1.nii.gz"),
        ("other", tmp_path / "b/other.nii.gz"),
    ]


def test_a_table_gives_masks_and_folders(tmp_path: Path):
    (tmp_path / "scans.tsv").write_text("scan\tmask\tfolder\na/T1.mgz\tm.nii\ta\nb/T1.mgz\tn/a\tb/c\n")
    first, second = find_cohort(tmp_path / "scans.tsv", tmp_path / "out", Selection()).entries
    assert (first.key, first.mask) == ("a/T1", tmp_path / "m.nii")
    assert (second.key, second.mask) == ("b/c/T1", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("scan\nx/T1.mgz\ny/T1.mgz\n", r"T1\.mgz, T1\.mgz: their results would share the name T1; give a table"),
        ("path\nx\n", "has no column scan"),
        ("scan\tfolder\nx.nii\t\n\tb\n", r"scans\.tsv: line 3 names no scan"),
        ("folder\tscan\na\tx.nii\n\nb\n", r"scans\.tsv: line 4 names no scan"),
        ("scan\tfolder\n  \tb\n", r"scans\.tsv: line 2 names no scan"),
        ("scan\tmask\nx.nii\ta\0b\n", r"scans\.tsv: line 2 holds a zero byte"),
        ("scan\nx.nii\n" + 140000 * "y" + "\n", r"scans\.tsv: line 3 cannot be read \(field larger than"),
        (140000 * "y" + "\n", r"scans\.tsv: line 1 cannot be read \(field larger than"),
        ("scan\tfolder\nx.nii\t../out\n", r"folder '\.\./out' would leave the results"),
        ("scan\tfolder\nx.nii\t/etc\n", "folder '/etc' would leave the results"),
    ],
)
def test_a_table_that_cannot_work_is_refused(tmp_path: Path, content: str, message: str):
    (tmp_path / "scans.tsv").write_text(content)
    with pytest.raises(UsageError, match=message):
        find_cohort(tmp_path / "scans.tsv", tmp_path / "out", Selection())


def test_a_zero_byte_in_a_list_is_refused(tmp_path: Path):
    (tmp_path / "scans.txt").write_text("# mine\nx.nii\ny\0.nii\n")
    with pytest.raises(UsageError, match=r"scans\.txt: line 3 holds a zero byte"):
        find_cohort(tmp_path / "scans.txt", tmp_path / "out", Selection())


def test_spaces_around_the_fields_of_a_table_are_no_part_of_them(tmp_path: Path):
    (tmp_path / "scans.tsv").write_text("scan\tmask\tfolder\nT1 w.mgz \t m.nii\ta \nT1.mgz\tn/a \t\n")
    found = find_cohort(tmp_path / "scans.tsv", tmp_path / "out", Selection()).entries
    assert [(entry.key, entry.scan, entry.mask) for entry in found] == [
        ("T1", tmp_path / "T1.mgz", None),
        ("a/T1 w", tmp_path / "T1 w.mgz", tmp_path / "m.nii"),
    ]


def test_the_mark_that_excel_writes_before_a_list_is_no_part_of_it(tmp_path: Path):
    (tmp_path / "scans.tsv").write_text("scan\nx.nii\n", encoding="utf-8-sig")
    (tmp_path / "scans.txt").write_text("x.nii\n", encoding="utf-8-sig")
    for name in ("scans.tsv", "scans.txt"):
        (entry,) = find_cohort(tmp_path / name, tmp_path / "out", Selection()).entries
        assert entry.scan == tmp_path / "x.nii"


def test_what_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(MissingInputError, match="none: not found; name a BIDS data set, a folder, or a list"):
        find_cohort(tmp_path / "none", tmp_path / "out", Selection())
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="looked for T1-weighted images, found 0"):
        find_cohort(tmp_path / "empty", tmp_path / "out", Selection())
    with pytest.raises(UsageError, match="is the folder of the scans"):
        find_cohort(tmp_path / "empty", tmp_path / "empty", Selection())
    (tmp_path / "noise").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is neither a folder nor a list of scans"):
        find_cohort(tmp_path / "noise", tmp_path / "out", Selection())
    touch(tmp_path / "plain" / "a.nii")
    with pytest.raises(UsageError, match="is no BIDS data set"):
        find_cohort(tmp_path / "plain", tmp_path / "out", Selection(participants=("01",)))


def test_parts_are_disjoint_and_together_whole(tmp_path: Path):
    touch(*(tmp_path / "in" / f"s{number}.nii" for number in range(7)))
    parts = [keys(tmp_path / "in", tmp_path / "out", part=(number, 3)) for number in (1, 2, 3)]
    assert parts == [["s0", "s3", "s6"], ["s1", "s4"], ["s2", "s5"]]


@pytest.mark.parametrize("text", ["0/3", "4/3", "a", "1/0", "1", "-1/2"])
def test_impossible_parts_are_refused(text: str):
    with pytest.raises(ConfigError, match="part must be i/n"):
        Selection(part=parse_part(text))


def test_masks_come_from_a_folder_laid_out_alike(tmp_path: Path):
    touch(tmp_path / "in" / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    (tmp_path / "masks").mkdir()
    (entry,) = find_cohort(tmp_path / "in", tmp_path / "out", Selection(masks=tmp_path / "masks")).entries
    assert entry.mask == tmp_path / "masks/sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    with pytest.raises(MissingInputError, match="nowhere: no folder of masks"):
        find_cohort(tmp_path / "in", tmp_path / "out", Selection(masks=tmp_path / "nowhere"))


def test_the_manifest_names_no_place_of_this_machine(tmp_path: Path):
    touch(tmp_path / "in" / "a" / "b.nii")
    text = write_manifest_text(find_cohort(tmp_path / "in", tmp_path / "out", Selection()))
    assert text == "folder\tstem\na\tb\n"


@pytest.mark.parametrize("place", ["sub-01", "sub-01/ses-a/out", "sourcedata/x"])
def test_results_do_not_go_among_raw_data(tmp_path: Path, place: str):
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    with pytest.raises(UsageError, match="lies among the raw data; choose another folder"):
        require_other_folder(tmp_path, tmp_path / place)
    require_other_folder(tmp_path, tmp_path / "derivatives" / "neuronat")


def test_a_dicom_folder_called_after_its_patient_is_refused_without_the_name(dicom_writer, phantom, tmp_path: Path):
    values = np.rint(phantom[0].values[:, :, :3]).astype(np.int16)
    dicom_writer(tmp_path / "Winterbottom_mprage", values, np.diag([-1.0, 1.0, 1.0, 1.0]))
    (tmp_path / "list.txt").write_text("Winterbottom_mprage\n")
    with pytest.raises(UsageError, match=r"^list\.txt, line 1: a DICOM folder is called after its patient") as refused:
        find_cohort(tmp_path / "list.txt", tmp_path / "out", Selection())
    assert "winterbottom" not in str(refused.value).lower()
    (tmp_path / "Winterbottom_mprage").rename(tmp_path / "visit1")
    (tmp_path / "list.txt").write_text("visit1\n")
    (entry,) = find_cohort(tmp_path / "list.txt", tmp_path / "out", Selection()).entries
    assert entry.key == "visit1"
