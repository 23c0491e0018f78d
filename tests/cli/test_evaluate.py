import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

AFFINE = np.array([[-1.0, 0, 0, 30], [0, 2.0, 0, -20], [0, 0, 1.5, 30], [0, 0, 0, 1]])
HEADER = "scan\tindex\tname\tdice\thd95_mm\tasd_mm\tvolume_predicted_mm3\tvolume_reference_mm3"


def write(path: Path, ids: np.ndarray, affine: np.ndarray = AFFINE, dtype=np.int16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(ids.astype(dtype), affine), path)
    return path


def drawn(shift: int = 0) -> np.ndarray:
    """Labels of deepnat25 (36, 38, 40): thalami of 4 x 4 x 4 voxels, the left one moved along j; a brain stem."""
    ids = np.zeros((36, 38, 40), np.int16)
    ids[8:12, 10:14, 12:16] = 49
    ids[20:24, 10 + shift : 14 + shift, 12:16] = 10
    ids[14:16, 14:16, 2:8] = 16
    return ids


def rows_of(table: Path) -> dict[tuple[str, int], list[str]]:
    lines = table.read_text().splitlines()
    assert lines[0] == HEADER
    return {(scan, int(index)): rest for scan, index, *rest in (line.split("\t") for line in lines[1:])}


def test_two_files_give_one_row_per_structure_and_one_line(run, tmp_path):
    predicted = write(tmp_path / "sub-01_seg-deepnat25_dseg.nii.gz", drawn(shift=1))
    reference = write(tmp_path / "manual" / "sub-01_dseg.nii.gz", drawn())
    table = tmp_path / "new" / "table.tsv"
    done = run("evaluate", predicted, reference, "-o", table)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{table}: 1 scans, 25 structures, mean Dice 0.917, 22 n/a\n"
    rows = rows_of(table)
    assert len(rows) == 25
    # one of four layers of 2 mm: Dice 3/4; surfaces 2 mm apart at most
    assert rows["sub-01", 10][:3] == ["Left-Thalamus", "0.750000", "2.0000"]
    assert rows["sub-01", 49] == ["Right-Thalamus", "1.000000", "0.0000", "0.0000", "192", "192"]
    assert rows["sub-01", 17] == ["Left-Hippocampus", "n/a", "n/a", "n/a", "0", "0"]


def test_a_fine_reference_is_mapped_by_its_name(run, tmp_path):
    fine = np.zeros((36, 38, 40), np.int16)
    fine[8:12, 10:14, 12:16] = 59  # right thalamus proper
    fine[20:24, 10:14, 12:16] = 60
    fine[14:16, 14:16, 2:8] = 35  # brain stem
    fine[30:32, 30:32, 30:32] = 30  # accumbens: none of the 25
    predicted = write(tmp_path / "sub-01_seg-deepnat25_dseg.nii.gz", drawn())
    reference = write(tmp_path / "sub-01_seg-neuromorphometrics_dseg.nii.gz", fine)
    done = run("evaluate", predicted, reference, "-o", tmp_path / "table.tsv")
    assert done.exit_code == 0
    rows = rows_of(tmp_path / "table.tsv")
    assert {index for (_, index), row in rows.items() if row[1] == "1.000000"} == {10, 49, 16}
    assert run("evaluate", reference, reference, "-o", tmp_path / "fine.tsv").exit_code == 0
    assert rows_of(tmp_path / "fine.tsv")["sub-01", 30][1] == "1.000000"
    assert run("evaluate", reference, reference, "-o", tmp_path / "coarse.tsv", "--scheme", "deepnat25").exit_code == 0
    assert len(rows_of(tmp_path / "coarse.tsv")) == 25


def test_folders_pair_by_scan_and_name_what_is_alone(run, tmp_path):
    for scan in ("01", "02", "04"):
        write(tmp_path / "out" / f"sub-{scan}_seg-deepnat25_dseg.nii.gz", drawn(shift=1))
        write(tmp_path / "out" / f"sub-{scan}_desc-brain_mask.nii.gz", drawn() > 0)
    for scan in ("01", "02", "03"):
        write(tmp_path / "manual" / f"sub-{scan}" / "anat" / f"sub-{scan}_dseg.nii.gz", drawn())
    done = run("evaluate", tmp_path / "out", tmp_path / "manual", "-o", tmp_path / "table.tsv")
    assert done.exit_code == 0
    assert done.stderr == (
        "neuronat: warning: 2 label maps have no partner: sub-04_seg-deepnat25_dseg.nii.gz, sub-03_dseg.nii.gz\n"
    )
    assert [scan for scan, index in rows_of(tmp_path / "table.tsv") if index == 10] == ["sub-01", "sub-02"]


def test_one_bad_pair_of_several_is_named_and_the_rest_is_scored(run, tmp_path):
    moved = AFFINE + np.array([[0, 0, 0, 5.0], [0] * 4, [0] * 4, [0] * 4])
    for scan, affine in (("01", AFFINE), ("02", moved)):
        write(tmp_path / "out" / f"sub-{scan}_seg-deepnat25_dseg.nii.gz", drawn(), affine)
        write(tmp_path / "manual" / f"sub-{scan}_dseg.nii.gz", drawn())
    done = run("evaluate", tmp_path / "out", tmp_path / "manual", "-o", tmp_path / "table.tsv")
    assert done.exit_code == 1
    assert "sub-02_seg-deepnat25_dseg.nii.gz and sub-02_dseg.nii.gz: predicted labels lie on" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout.endswith("; 1 scans failed\n")
    assert {scan for scan, _ in rows_of(tmp_path / "table.tsv")} == {"sub-01"}


def test_folders_without_a_common_scan_are_a_usage_error(run, tmp_path):
    write(tmp_path / "out" / "sub-01_dseg.nii.gz", drawn())
    write(tmp_path / "manual" / "sub-02_dseg.nii.gz", drawn())
    done = run("evaluate", tmp_path / "out", tmp_path / "manual", "-o", tmp_path / "table.tsv")
    assert done.exit_code == 2
    assert "no label map in out belongs to a scan in manual (sub-01_dseg.nii.gz, sub-02_dseg.nii.gz)" in done.stderr
    assert not (tmp_path / "table.tsv").exists()


def test_row_43_other_grids_are_refused_and_other_orders_of_the_axes_are_not(run, tmp_path):
    predicted = write(tmp_path / "sub-01_seg-deepnat25_dseg.nii.gz", drawn())
    turned = AFFINE.copy()
    turned[0] = [1.0, 0, 0, 30 - 35]
    same = write(tmp_path / "same" / "sub-01_dseg.nii.gz", drawn()[::-1], turned)
    assert run("evaluate", predicted, same, "-o", tmp_path / "table.tsv").exit_code == 0
    assert rows_of(tmp_path / "table.tsv")["sub-01", 10][1] == "1.000000"
    turned[2, 3] += 1.5  # the same extents, one voxel higher
    other = write(tmp_path / "other" / "sub-01_dseg.nii.gz", drawn()[::-1], turned)
    done = run("evaluate", predicted, other, "-o", tmp_path / "table.tsv")
    assert done.exit_code == 65
    assert "36 x 38 x 40 voxels of 1 x 2 x 1.5 mm, LAS" in done.stderr


@pytest.mark.parametrize(
    ("grey", "complaint"),
    [
        (np.linspace(0, 1, 36 * 38 * 40), "hold no whole number"),
        (np.arange(36 * 38 * 40), "different values; a label map has at most 512"),
    ],
)
def test_row_42_an_image_is_no_label_map(run, tmp_path, grey, complaint):
    predicted = write(tmp_path / "sub-01_seg-deepnat25_dseg.nii.gz", drawn())
    image = write(tmp_path / "sub-01_T1w.nii.gz", grey.reshape(36, 38, 40), dtype=np.float32)
    done = run("evaluate", predicted, image, "-o", tmp_path / "table.tsv")
    assert done.exit_code == 65
    assert "sub-01_T1w.nii.gz: " in done.stderr
    assert complaint in done.stderr


def test_ids_tell_the_scheme_and_where_they_do_not_the_other_file_does(run, tmp_path):
    # 4 and 11 are in all schemes; of deepnat25 they are the left lateral ventricle and caudate
    ids = np.zeros((36, 38, 40), np.int16)
    ids[8:12, 10:14, 12:16] = 4
    ids[20:24, 10:14, 12:16] = 11
    nameless, other = write(tmp_path / "a.nii.gz", ids), write(tmp_path / "b.nii.gz", ids)
    done = run("evaluate", nameless, other, "-o", tmp_path / "table.tsv")
    assert done.exit_code == 2
    assert "the ids fit deepnat25 and neuromorphometrics alike; give --scheme" in done.stderr
    for scheme, name in (("deepnat25", "Left-Lateral-Ventricle"), ("neuromorphometrics", "3rd Ventricle")):
        assert run("evaluate", nameless, other, "-o", tmp_path / "t.tsv", "--scheme", scheme).exit_code == 0
        assert rows_of(tmp_path / "t.tsv")["b", 4][:2] == [name, "1.000000"]
    named = write(tmp_path / "b_seg-neuromorphometrics_dseg.nii.gz", ids)
    assert run("evaluate", nameless, named, "-o", tmp_path / "t.tsv").exit_code == 0
    assert rows_of(tmp_path / "t.tsv")["b", 4][0] == "3rd Ventricle"


def test_a_protocol_of_ones_own_is_read_from_its_table(run, tmp_path):
    ids = drawn()
    ids[ids == 16] = 700
    (tmp_path / "seg-mine_dseg.tsv").write_text("index\tname\n0\tnone\n10\tA\n49\tB\n700\tC\n")
    mine = write(tmp_path / "sub-01" / "anat" / "sub-01_seg-mine_dseg.nii.gz", ids)
    done = run("evaluate", mine, mine, "-o", tmp_path / "table.tsv")
    assert (done.exit_code, done.stderr) == (0, "")
    assert rows_of(tmp_path / "table.tsv")["sub-01", 700][:2] == ["C", "1.000000"]


def test_unknown_ids_and_schemes_are_named(run, tmp_path):
    ids = drawn()
    ids[0, 0, :3] = 9999
    predicted = write(tmp_path / "sub-01_seg-deepnat25_dseg.nii.gz", ids)
    done = run("evaluate", predicted, predicted, "-o", tmp_path / "table.tsv")
    assert done.exit_code == 65
    assert "sub-01_seg-deepnat25_dseg.nii.gz: ids 9999 (3 voxels) are not in the scheme deepnat25" in done.stderr
    done = run("evaluate", predicted, predicted, "-o", tmp_path / "table.tsv", "--scheme", "mine")
    assert done.exit_code == 2
    assert "--scheme mine: not known; known are atropos, brain, deepnat25, freesurfer" in done.stderr


def test_of_schemes_with_the_same_ids_the_general_one_is_taken(run, tmp_path):
    ids = drawn()
    ids[:] = np.arange(ids.size).reshape(ids.shape) % 4
    nameless = write(tmp_path / "b.nii.gz", ids)
    assert run("evaluate", nameless, nameless, "-o", tmp_path / "t.tsv").exit_code == 0
    assert rows_of(tmp_path / "t.tsv")["b", 2][:2] == ["Grey-Matter", "1.000000"]
    named = write(tmp_path / "b_seg-hmrf_dseg.nii.gz", ids)
    assert run("evaluate", named, nameless, "-o", tmp_path / "t.tsv").exit_code == 0
    assert rows_of(tmp_path / "t.tsv")["b", 3][:2] == ["White-Matter", "1.000000"]


def test_what_is_missing_or_unfit_is_named(run, tmp_path):
    labels = write(tmp_path / "labels" / "sub-01_dseg.nii.gz", drawn())
    (tmp_path / "empty").mkdir()
    table = tmp_path / "table.tsv"
    for arguments, code, complaint in (
        ((labels, tmp_path / "nothing.nii.gz", "-o", table), 66, "nothing.nii.gz: not found"),
        ((labels.parent, tmp_path / "nothing", "-o", table), 66, "nothing: not found"),
        ((labels.parent, tmp_path / "empty", "-o", table), 66, "empty: looked for NIfTI and MGZ images, found 0"),
        ((labels.parent, labels, "-o", table), 2, "sub-01_dseg.nii.gz: is a file, and the other a folder"),
        ((labels, labels, "-o", labels), 2, "sub-01_dseg.nii.gz: is an input"),
        ((labels, labels, "-o", tmp_path / "empty"), 2, "empty: is a folder; name a file"),
    ):
        done = run("evaluate", *arguments)
        assert (done.exit_code, done.stdout) == (code, "")
        assert complaint in done.stderr
        assert done.stderr.count("\n") == 1
    assert not table.exists()


@pytest.mark.data
def test_manual_labels_agree_with_themselves_at_both_levels(run, tmp_path):
    data = os.environ.get("NEURONAT_DATA")
    if not data:
        pytest.skip("NEURONAT_DATA names no folder of scans")
    anat = Path(data) / "malc" / "sub-1000" / "anat"
    fine = anat / "sub-1000_seg-neuromorphometrics_dseg.nii.gz"
    n_fine = len(np.unique(np.asarray(nibabel.load(fine).dataobj))) - 1
    for scheme, n_known in (("deepnat25", 25), ("neuromorphometrics", n_fine)):
        done = run("evaluate", fine, fine, "-o", tmp_path / "table.tsv", "--scheme", scheme)
        assert done.exit_code == 0
        rows = rows_of(tmp_path / "table.tsv")
        assert sum(row[1:4] == ["1.000000", "0.0000", "0.0000"] for row in rows.values()) == n_known
        assert all(row[1] == "n/a" for row in rows.values() if row[1] != "1.000000")
