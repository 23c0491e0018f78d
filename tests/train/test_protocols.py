import re
from pathlib import Path

import pytest

from neuronat.errors import LabelError, MissingInputError, UnusableInputError, UsageError
from neuronat.train.protocols import find_protocol_maps, find_protocol_scans, matching_paths, read_scan_table


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names_of(maps):
    return {protocol: [path.name for path in paths] for protocol, paths in maps.items()}


def test_the_tools_own_names_are_known(tmp_path):
    touch(
        tmp_path,
        "sub-01_T1w.nii.gz",
        "sub-01_T1w_brain_seg.nii.gz",
        "sub-01_T1w_brain_seg_0.nii.gz",
        "sub-01_T1w_brain_pveseg.nii.gz",
        "sub-01_T1w_brain_pve_1.nii.gz",
        "sub-01_T1w_all_fast_firstseg.nii.gz",
        "sub-01_T1w_all_fast_origsegs.nii.gz",
        "c1sub-01_T1w.nii",
        "c2sub-01_T1w.nii",
        "c3sub-01_T1w.nii",
        "c4sub-01_T1w.nii",
        "sub-01_T1w_MALPEM.nii.gz",
        "sub-01_T1w_MALPEM_tissues.nii.gz",
        "sub-01_seg-mine2_dseg.mgz",
        "sub-01_desc-fine_seg-hmrf_res-1_dseg.nii.gz",
        "sub-01_seg-hmrf_dseg.json",
        "sub-01_seg-atropos_probseg.nii.gz",
        "sub-01_desc-brain_mask.nii.gz",
    )
    assert names_of(find_protocol_maps(tmp_path, "sub-01")) == {
        "fslfast": ["sub-01_T1w_brain_seg.nii.gz"],
        "fslfirst": ["sub-01_T1w_all_fast_firstseg.nii.gz"],
        "hmrf": ["sub-01_desc-fine_seg-hmrf_res-1_dseg.nii.gz"],
        "malpem": ["sub-01_T1w_MALPEM.nii.gz"],
        "malpemtissue": ["sub-01_T1w_MALPEM_tissues.nii.gz"],
        "mine2": ["sub-01_seg-mine2_dseg.mgz"],
        "spmtissue": ["c1sub-01_T1w.nii", "c2sub-01_T1w.nii", "c3sub-01_T1w.nii"],
    }


def test_second_names_count_where_the_first_is_not_there(tmp_path):
    touch(tmp_path, "head 7_pveseg.nii.gz", "head 7-L_Puta_firstseg.nii.gz", "head 7_firstseg.nii")
    assert names_of(find_protocol_maps(tmp_path, "head 7")) == {
        "fslfast": ["head 7_pveseg.nii.gz"],
        "fslfirst": ["head 7_firstseg.nii"],
    }


def test_our_own_name_goes_before_a_tools(tmp_path):
    touch(tmp_path, "sub-01_seg-fslfast_dseg.nii.gz", "sub-01_seg.nii.gz")
    assert names_of(find_protocol_maps(tmp_path, "sub-01")) == {"fslfast": ["sub-01_seg-fslfast_dseg.nii.gz"]}


def test_files_of_other_scans_are_left_alone(tmp_path):
    touch(tmp_path, "sub-010_seg.nii.gz", "sub-01_ses-b_T1w_seg.nii.gz", "sub-01_ses-b_seg-hmrf_dseg.nii.gz")
    touch(tmp_path, "xsub-01_seg.nii.gz", "deeper/sub-01_seg.nii.gz", "c1sub-011.nii")
    assert find_protocol_maps(tmp_path, "sub-01") == {}
    assert find_protocol_maps(tmp_path / "nowhere", "sub-01") == {}


def test_several_files_of_one_protocol_and_half_of_spm_are_errors(tmp_path):
    touch(tmp_path / "a", "sub-01_T1w_seg.nii.gz", "sub-01_T1w_brain_seg.nii.gz")
    with pytest.raises(UsageError, match=r"sub-01: several files could be its fslfast \(.*brain_seg.*, .*keep one"):
        find_protocol_maps(tmp_path / "a", "sub-01")
    touch(tmp_path / "b", "c1sub-01.nii", "c3sub-01.nii")
    with pytest.raises(MissingInputError, match=r"^c1sub-01.nii: c2sub-01.nii not found"):
        find_protocol_maps(tmp_path / "b", "sub-01")


def test_a_folder_of_scans_brings_the_maps_beside_each_and_from_other_folders(tmp_path):
    scans, more = tmp_path / "scans", tmp_path / "more"
    for name in ("sub-02", "sub-01"):
        touch(scans / name, f"{name}_desc-brain_T1w.nii.gz", f"{name}_seg-tissue_dseg.nii.gz")
    touch(more, "sub-01_seg-hmrf_dseg.nii.gz")
    found = find_protocol_scans(scans, scans="*/*_T1w.nii.gz", label_folders=[more])
    assert [(scan.name, sorted(scan.maps)) for scan in found] == [
        ("sub-01", ["hmrf", "tissue"]),
        ("sub-02", ["tissue"]),
    ]
    assert found[0].maps["hmrf"] == (more / "sub-01_seg-hmrf_dseg.nii.gz",)
    assert found[1].scan == scans / "sub-02" / "sub-02_desc-brain_T1w.nii.gz"
    touch(more, "sub-02_seg-tissue_dseg.nii.gz")
    with pytest.raises(UsageError, match="sub-02: tissue is in two folders"):
        find_protocol_scans(scans, scans="*/*_T1w.nii.gz", label_folders=[more])


def test_a_folder_without_scans_and_scans_of_one_name_are_errors(tmp_path):
    with pytest.raises(MissingInputError, match="nowhere: folder not found"):
        find_protocol_scans(tmp_path, scans="*", label_folders=[tmp_path / "nowhere"])
    with pytest.raises(MissingInputError, match=r"no scans match \*_T1w\.nii\.gz"):
        find_protocol_scans(tmp_path, scans="*_T1w.nii.gz")
    touch(tmp_path, "a/sub-01_T1w.nii.gz", "b/sub-01_T1w.nii.gz")
    with pytest.raises(UsageError, match="several scans have the name sub-01; rename them"):
        find_protocol_scans(tmp_path, scans="*/*_T1w.nii.gz")


@pytest.mark.parametrize("pattern", ["", "/data/*.nii"])
def test_a_pattern_that_cannot_be_looked_for_is_refused(tmp_path, pattern):
    with pytest.raises(UsageError, match=f"^{re.escape(repr(pattern))}: is no pattern of names in a folder"):
        matching_paths(tmp_path, pattern)
    with pytest.raises(UsageError, match="is no pattern of names in a folder"):
        find_protocol_scans(tmp_path, scans=pattern)


def test_a_table_lists_scans_with_any_subset_of_the_protocols(tmp_path):
    touch(tmp_path, "s/sub-01_T1w.nii.gz", "s/sub-02_T1w.nii.gz", "f/x.nii.gz", "c1y.nii", "c2y.nii", "c3y.nii")
    table = tmp_path / "scans.tsv"
    table.write_text(
        "fslfast\tscan\tspmtissue\nn/a\ts/sub-02_T1w.nii.gz\tc1y.nii\n\nf/x.nii.gz\ts/sub-01_T1w.nii.gz\t\n"
    )
    found = read_scan_table(table)
    assert [scan.name for scan in found] == ["sub-02", "sub-01"]
    assert found[0].scan == tmp_path / "s" / "sub-02_T1w.nii.gz"
    assert names_of(found[0].maps) == {"spmtissue": ["c1y.nii", "c2y.nii", "c3y.nii"]}
    assert dict(found[1].maps) == {"fslfast": (tmp_path / "f" / "x.nii.gz",)}


def test_the_mark_that_excel_writes_before_a_table_is_no_part_of_it(tmp_path):
    touch(tmp_path, "a.nii", "b.nii")
    (tmp_path / "scans.tsv").write_text("scan\thmrf\na.nii\tb.nii\n", encoding="utf-8-sig")
    (scan,) = read_scan_table(tmp_path / "scans.tsv")
    assert (scan.scan, dict(scan.maps)) == (tmp_path / "a.nii", {"hmrf": (tmp_path / "b.nii",)})


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("scan\thmrf\thmrf\na.nii\ta.nii\ta.nii\n", LabelError, "the columns hmrf stand there more than once"),
        ("scan\thmrf\na\t" + "b" * 140_000 + "\n", UnusableInputError, "cannot be read"),
        ("", UnusableInputError, "needs a column scan, at least one protocol's, and rows"),
        ("scan\thmrf\n", UnusableInputError, "needs a column scan"),
        ("scan\na.nii\n", UnusableInputError, "needs a column scan"),
        ("hmrf\ttissue\na.nii\ta.nii\n", UnusableInputError, "needs a column scan"),
        ("scan\thmrf\na.nii\n", UnusableInputError, "the rows a.nii have more or fewer fields"),
        ("scan\thmrf\na.nii\tb.nii\n", MissingInputError, "b.nii not found"),
        ("scan\thmrf\nb.nii\t\n", MissingInputError, "b.nii not found"),
        ("scan\thmrf\na.nii\t\na.nii\t\n", UsageError, "several scans have the name a"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, text, error, words):
    touch(tmp_path, "a.nii")
    (tmp_path / "scans.tsv").write_text(text)
    with pytest.raises(error, match=f"^scans.tsv: .*{re.escape(words)}"):
        read_scan_table(tmp_path / "scans.tsv")


def test_a_table_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"none\.tsv: cannot be read"):
        read_scan_table(tmp_path / "none.tsv")
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnusableInputError, match=r"binary\.tsv: is no text"):
        read_scan_table(tmp_path / "binary.tsv")


def test_a_label_map_belongs_to_the_scan_with_the_longest_fitting_name(tmp_path):
    scans, maps = tmp_path / "t1", tmp_path / "maps"
    touch(scans, "subj1.nii.gz", "subj1_followup.nii.gz")
    touch(maps, "subj1_followup_seg-mine_dseg.nii.gz", "subj1_brain_seg.nii.gz")
    alone = find_protocol_maps(maps, "subj1")
    assert set(alone) == {"fslfast", "mine"}, "of one scan alone nobody knows better"
    found = find_protocol_scans(scans, scans="*.nii.gz", label_folders=[maps])
    assert {scan.name: names_of(scan.maps) for scan in found} == {
        "subj1": {"fslfast": ["subj1_brain_seg.nii.gz"]},
        "subj1_followup": {"mine": ["subj1_followup_seg-mine_dseg.nii.gz"]},
    }
