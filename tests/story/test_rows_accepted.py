"""Odd inputs that are accepted, by their rows in the specification of bad and odd inputs (1 to 57).

The phantom is no believable brain, so that most tests force it; what is forced says so in a warning of its own.
"""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

import neuronat

pytestmark = pytest.mark.usefixtures("swift_pipeline")

LAS = np.diag([-1.0, 1.0, 1.0, 1.0])


@pytest.fixture
def grey(phantom) -> np.ndarray:
    """Whole grey values of the phantom, 0 outside; a copy to change."""
    return np.rint(phantom[0].values).astype(np.int16)


@pytest.fixture
def segment(run, untrained_folder: Path, tmp_path: Path) -> Callable[..., tuple[nibabel.Nifti1Image, dict]]:
    """Segments a file that must be accepted; returns the label map and the sidecar."""

    def accepted(path: Path, *options: object, force: bool = True) -> tuple[nibabel.Nifti1Image, dict]:
        out = tmp_path / f"out-{path.name}"
        arguments = ("--model", untrained_folder, "--no-crf", "--device", "cpu", "--quiet", *options)
        done = run("segment", path, "-o", out, *arguments, *(("--force",) if force else ()))
        assert done.exit_code == 0, done.stderr
        (sidecar,) = out.glob("*_seg-deepnat25_dseg.json")
        return nibabel.load(sidecar.with_suffix(".nii.gz")), json.loads(sidecar.read_text())

    return accepted


def save(path: Path, array: np.ndarray, affine: np.ndarray = LAS) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def change_header(path: Path, offset: int, kind: str, *numbers: float) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + kind, content, offset, *numbers)
    path.write_bytes(content)
    return path


def ids_of(image: nibabel.Nifti1Image) -> np.ndarray:
    return np.asarray(image.dataobj)


def warned(sidecar: dict, words: str) -> bool:
    return any(words in line for line in (*sidecar["Warnings"], *sidecar["Reasons"]))


def test_row_07_a_name_that_promises_another_compression(segment, grey: np.ndarray, tmp_path: Path):
    plain = save(tmp_path / "a.nii", grey)
    (tmp_path / "b.nii.gz").write_bytes(plain.read_bytes())
    (tmp_path / "c.nii").write_bytes(gzip.compress(plain.read_bytes()))
    expected = ids_of(segment(plain)[0])
    for name, words in (("b.nii.gz", "named as if compressed"), ("c.nii", "compressed, though its name")):
        labels, sidecar = segment(tmp_path / name)
        np.testing.assert_array_equal(ids_of(labels), expected)
        assert warned(sidecar, words)


def test_row_11_a_spacing_of_zero_beside_a_valid_sform(segment, grey: np.ndarray, tmp_path: Path):
    path = change_header(save(tmp_path / "x.nii", grey), 84, "f", 0)
    labels, sidecar = segment(path)
    np.testing.assert_array_equal(labels.affine, LAS)
    assert warned(sidecar, "header spacing 1 x 0 x 1 differs from the affine's 1 x 1 x 1")


def test_row_14_a_fourth_dimension_of_one(segment, grey: np.ndarray, tmp_path: Path):
    labels, sidecar = segment(save(tmp_path / "x.nii", grey[..., None]))
    assert labels.shape == (40, 48, 56)
    assert "Warnings" in sidecar


def test_row_15_one_frame_of_several_can_be_chosen(run, segment, grey: np.ndarray, tmp_path: Path):
    scan = save(tmp_path / "x.nii", np.stack([grey, grey // 2], -1))
    labels, sidecar = segment(scan, "--frame", 1)
    assert labels.shape == (40, 48, 56)
    assert "frame 1 of 2 (counted from 0) was read" in sidecar["Warnings"]
    assert run("check", scan, "--force", "--frame", 2).exit_code == 65


def test_row_18_few_voxels_that_are_no_numbers_are_mended(segment, grey: np.ndarray, tmp_path: Path):
    values = grey.astype(np.float32)
    values[20, 24, 20:23] = np.nan, np.inf, -np.inf
    _, sidecar = segment(save(tmp_path / "x.nii", values))
    assert warned(sidecar, "3 voxels were not a number or infinite: replaced by the median")


def test_row_19_up_to_a_hundredth_is_not_refused(segment, grey: np.ndarray, tmp_path: Path):
    values = grey.astype(np.float32)
    values.ravel()[:1075] = np.nan  # a hundredth of 107,520 voxels is 1075.2
    _, sidecar = segment(save(tmp_path / "x.nii", values))
    assert warned(sidecar, "1075 voxels were not a number or infinite")


def test_row_20_negative_intensities_a_constant_and_a_factor(segment, grey: np.ndarray, tmp_path: Path):
    expected = ids_of(segment(save(tmp_path / "a.nii", grey.astype(np.float32)))[0])
    for name, factor, summand in (("b.nii", 1, -1024), ("c.nii", 0.25, 0), ("d.nii", 4, -512)):
        labels, sidecar = segment(save(tmp_path / name, (grey * factor + summand).astype(np.float32)))
        assert (ids_of(labels) == expected).mean() > 0.9999  # rounding of the scale moves single voxels
        assert warned(sidecar, "negative values (down to") == (summand < 0)


def test_row_22_the_stored_type_changes_no_label(segment, grey: np.ndarray, tmp_path: Path):
    expected = ids_of(segment(save(tmp_path / "float.nii", 16.0 * grey))[0])
    scaled = nibabel.Nifti1Image(grey, LAS)
    scaled.header.set_slope_inter(16, 0)
    big = nibabel.Nifti1Image(grey * 16.0, LAS, nibabel.Nifti1Header(endianness=">"))
    big.set_data_dtype(">f4")
    wide = nibabel.Nifti1Image((40 * grey.astype(np.uint32)).astype(np.uint16), LAS)
    assert np.asarray(wide.dataobj).max() > 32767
    for name, image in (("scaled.nii", scaled), ("big.nii", big), ("wide.nii", wide)):
        image.to_filename(tmp_path / name)
        np.testing.assert_array_equal(ids_of(segment(tmp_path / name)[0]), expected)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("stored", ["i2", "u2"])
@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (300.0, 0.0), (0.25, 2.0**20), (2.0**-20, -(2.0**12))])
def test_row_22_scaled_integers_are_their_float_copy(
    run, grey: np.ndarray, tmp_path: Path, order: str, stored: str, slope: float, inter: float
):
    # 300 times the stored numbers would wrap in 16 bits; so would numbers above 32767 that are taken for signed ones
    numbers = 20 * grey.astype(np.int64) + (30_000 if stored == "u2" else 0)
    assert numbers.max() > 32767 or stored == "i2"
    image = nibabel.Nifti1Image(numbers.astype(order + stored), LAS, nibabel.Nifti1Header(endianness=order))
    image.set_data_dtype(order + stored)
    image.header.set_slope_inter(slope, inter)
    image.to_filename(tmp_path / "x.nii")
    found = neuronat.load(tmp_path / "x.nii").values
    np.testing.assert_allclose(found, numbers * slope + inter, rtol=1e-6)  # float32
    checked = run("check", tmp_path / "x.nii", "--json")
    assert json.loads(checked.stdout)["grey_values"] == [float(found.min()), float(found.max())]


def test_row_23_without_forms_left_and_right_are_unproven(segment, grey: np.ndarray, tmp_path: Path):
    path = change_header(save(tmp_path / "x.nii", grey), 252, "2h", 0, 0)
    labels, sidecar = segment(path)
    assert sidecar["OrientationKnown"] is False
    assert warned(sidecar, "LEFT AND RIGHT ARE UNPROVEN")
    assert nibabel.aff2axcodes(labels.affine) == ("L", "A", "S")


def test_row_24_a_valid_qform_helps_a_singular_sform(segment, grey: np.ndarray, tmp_path: Path):
    image = nibabel.Nifti1Image(grey, LAS)
    image.set_qform(LAS, 1)
    image.to_filename(tmp_path / "x.nii")
    path = change_header(tmp_path / "x.nii", 280, "12f", *[0.0] * 12)
    labels, sidecar = segment(path)
    np.testing.assert_allclose(labels.affine, LAS, atol=1e-6)
    assert warned(sidecar, "the sform is singular or not finite: the qform is used")


def test_row_25_of_two_forms_that_disagree_the_sform_is_used_and_both_are_written(
    segment, grey: np.ndarray, tmp_path: Path
):
    image = nibabel.Nifti1Image(grey, LAS)
    moved = LAS.copy()
    moved[1, 3] = 12
    image.set_qform(moved, 1)
    image.to_filename(tmp_path / "x.nii")
    labels, sidecar = segment(tmp_path / "x.nii")
    assert warned(sidecar, "sform and qform disagree by up to 12.0 mm")
    np.testing.assert_array_equal(labels.header.get_sform(), LAS)
    np.testing.assert_allclose(labels.header.get_qform(), LAS, atol=1e-6)


def turned(degrees: float) -> np.ndarray:
    """LAS, turned about the front-back axis through the middle of the phantom."""
    angle = np.deg2rad(degrees)
    turn, middle = np.eye(4), np.array([-19.5, 23.5, 27.5])
    turn[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    return turn @ LAS


def save_two_forms(path: Path, grey: np.ndarray, qform: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(grey, LAS)
    image.set_qform(qform, 1)
    image.to_filename(path)
    return path


def test_row_25_forms_turned_by_more_than_a_degree_disagree(segment, grey: np.ndarray, tmp_path: Path):
    labels, sidecar = segment(save_two_forms(tmp_path / "x.nii", grey, turned(1.2)))
    assert warned(sidecar, "sform and qform disagree by up to")
    np.testing.assert_allclose(labels.header.get_qform(), LAS, atol=1e-6)


def test_row_25_forms_that_agree_but_for_rounding_are_no_news(segment, grey: np.ndarray, tmp_path: Path):
    _, sidecar = segment(save_two_forms(tmp_path / "x.nii", grey, turned(0.2)))
    assert not warned(sidecar, "disagree")


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_row_25_the_user_decides_for_the_qform_and_it_is_written_twice(
    segment, grey: np.ndarray, tmp_path: Path, is_mirrored: bool
):
    qform = LAS @ np.diag([-1.0, 1, 1, 1]) if is_mirrored else turned(20)
    scan = save_two_forms(tmp_path / "x.nii", grey, qform)
    labels, _ = segment(scan, "--use-form", "qform")
    np.testing.assert_allclose(labels.header.get_qform(), qform, atol=1e-5)  # quaternions of float32
    np.testing.assert_allclose(labels.header.get_sform(), qform, atol=1e-5)


def test_row_26_the_affine_decides_on_the_size_of_a_voxel(segment, grey: np.ndarray, tmp_path: Path):
    path = change_header(save(tmp_path / "x.nii", grey, np.diag([-2.0, 1.0, 1.0, 1.0])), 80, "f", 1.0)
    labels, sidecar = segment(change_header(path, 252, "h", 0))
    assert warned(sidecar, "header spacing 1 x 1 x 1 differs from the affine's 2 x 1 x 1: the affine is used")
    table = (tmp_path / "out-x.nii" / "x_seg-deepnat25_volumes.tsv").read_text().splitlines()[1:]
    total_mm3 = sum(float(line.split("\t")[3]) for line in table)
    np.testing.assert_allclose(total_mm3, 2 * np.count_nonzero(ids_of(labels)), rtol=0.02)


def test_row_28_a_true_mirror_image_cannot_be_known_and_is_accepted(segment, grey: np.ndarray, tmp_path: Path):
    labels, _ = segment(save(tmp_path / "x.nii", grey[::-1]))
    assert len(np.unique(ids_of(labels))) == 26


def test_row_30_sheared_axes(segment, grey: np.ndarray, tmp_path: Path):
    sheared = LAS.copy()
    sheared[0, 1] = 0.125
    labels, sidecar = segment(save(tmp_path / "x.nii", grey, sheared))
    assert warned(sidecar, "voxel axes are sheared by 7.1 degrees")
    np.testing.assert_array_equal(labels.affine, sheared)


def test_row_31_thick_slices_are_less_certain(segment, grey: np.ndarray, tmp_path: Path):
    labels, sidecar = segment(save(tmp_path / "x.nii", grey[:, :, 4:42], np.diag([0.9, 0.9, 5.0, 1.0])))
    assert labels.shape == (40, 48, 38)
    assert warned(sidecar, "thick slices (5 mm): volumes are less certain")


def test_row_31_volumes_of_thick_slices_are_those_of_the_working_grid(segment, grey: np.ndarray, tmp_path: Path):
    affine = np.diag([-0.9, 0.9, 5.0, 1.0])
    volumes, counts = [], []
    for name, space in (("native", "native"), ("working", "working")):
        segment(save(tmp_path / f"{name}.nii", grey[:, :, 4:42], affine), "--space", space)
        table = tmp_path / f"out-{name}.nii" / f"{name}_seg-deepnat25_volumes.tsv"
        rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
        counts.append(np.array([int(row[2]) for row in rows]))
        volumes.append(np.array([float(row[3]) for row in rows]))
    np.testing.assert_allclose(volumes[0], volumes[1], rtol=1e-9)
    np.testing.assert_allclose(volumes[1], counts[1], rtol=1e-9)  # voxels of 1 mm3
    assert np.abs(volumes[0] / (counts[0] * 0.9 * 0.9 * 5) - 1).max() > 0.01


def test_row_32_a_spacing_of_nearly_1_mm_is_1_mm(segment, grey: np.ndarray, tmp_path: Path):
    expected = ids_of(segment(save(tmp_path / "a.nii", grey))[0])
    nearly = segment(save(tmp_path / "b.nii", grey, np.diag([-1.0000001, 0.9999999, 1.0000001, 1.0])))
    np.testing.assert_array_equal(ids_of(nearly[0]), expected)


def test_row_33_half_a_millimetre_is_accepted_where_there_is_memory_and_gets_71_where_not(
    run, segment, grey: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fine = np.kron(grey[4:36:2, ::2, ::2], np.ones((4, 4, 4), np.int16)) + np.int16(0)
    scan = save(tmp_path / "fine.nii", fine, np.diag([-0.625, 0.5, 0.5, 1.0]))
    labels, _ = segment(scan)
    assert labels.shape == fine.shape
    assert "GB of memory" in run("check", scan, "--force").stdout
    monkeypatch.setattr("neuronat.pipeline.memory.free_memory_bytes", lambda: 10**9)
    monkeypatch.setattr("neuronat.pipeline.memory.held_memory_bytes", lambda: 0)
    done = run("segment", scan, "-o", tmp_path / "out", "--force")
    assert (done.exit_code, done.stderr.count("\n")) == (71, 1)
    assert "segmenting needs about 1." in done.stderr
    assert "1.0 GB are free" in done.stderr
    assert not (tmp_path / "out").exists()
    assert run("check", scan, "--force").exit_code == 71


def test_row_34_a_field_of_view_above_256_mm_comes_back_whole(segment, grey: np.ndarray, tmp_path: Path):
    wide = np.zeros((40, 48, 290), np.int16)
    wide[:, :, 200:256] = grey
    labels, sidecar = segment(save(tmp_path / "x.nii.gz", wide))
    assert warned(sidecar, "field of view of 290 mm: more than a head")
    assert labels.shape == wide.shape
    np.testing.assert_array_equal(ids_of(labels)[wide == 0], 0)
    plain, _ = segment(save(tmp_path / "plain.nii.gz", grey))
    assert (ids_of(labels)[:, :, 200:256] == ids_of(plain)).mean() > 0.99


def test_row_35_a_brain_cut_by_the_field_of_view_is_flagged_and_measured(segment, grey: np.ndarray, tmp_path: Path):
    labels, sidecar = segment(save(tmp_path / "x.nii", np.ascontiguousarray(grey[:, :, 12:])))
    assert warned(sidecar, "the field of view cuts the brain: ")
    ids = ids_of(labels)
    cut = set(np.unique(ids[:, :, 0])) - {0}
    rows = [
        line.split("\t")
        for line in (tmp_path / "out-x.nii" / "x_seg-deepnat25_volumes.tsv").read_text().splitlines()[1:]
    ]
    flagged = {int(row[0]) for row in rows if row[4] == "truncated"}
    assert cut
    assert cut <= flagged
    for row in rows:
        if int(row[0]) in cut:
            np.testing.assert_allclose(float(row[3]), np.count_nonzero(ids == int(row[0])))


def test_row_36_a_stripped_scan_is_recognised(run, grey: np.ndarray, tmp_path: Path):
    scan = save(tmp_path / "x.nii", grey, np.diag([-2.5, 2.5, 2.5, 1.0]))  # as large as a brain
    done = run("check", scan, "--json")
    assert done.exit_code == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout)["brain_ml"], np.count_nonzero(grey) * 2.5**3 / 1000, atol=0.1)


def test_row_37_a_removed_face_changes_no_label_inside_the_brain(
    segment, phantom_files, grey: np.ndarray, tmp_path: Path, rng: np.random.Generator
):
    image = nibabel.load(phantom_files.mask)
    inside = np.asarray(image.dataobj) > 0
    head = np.where(inside, grey, rng.integers(1, 900, grey.shape)).astype(np.int16)
    defaced = head.copy()
    defaced[:, 30:, :30][~inside[:, 30:, :30]] = 0
    assert (defaced != head).sum() > 1000
    labels = [
        ids_of(segment(save(tmp_path / name, values, image.affine), "--mask", phantom_files.mask)[0])
        for name, values in (("head.nii", head), ("defaced.nii", defaced))
    ]
    np.testing.assert_array_equal(labels[1], labels[0])


def test_row_40_a_large_lesion_is_processed(segment, grey: np.ndarray, tmp_path: Path):
    grey[8:18, 20:32, 24:38] = 260  # as dark as CSF
    labels, sidecar = segment(save(tmp_path / "x.nii", grey))
    assert np.count_nonzero(ids_of(labels)) > 30_000
    assert sidecar["Verdict"] != "pass"


def test_row_48_nifti_2_pairs_and_analyze(segment, grey: np.ndarray, tmp_path: Path):
    expected = ids_of(segment(save(tmp_path / "a.nii", grey))[0])
    nibabel.save(nibabel.Nifti2Image(grey, LAS), tmp_path / "two.nii.gz")
    nibabel.save(nibabel.Nifti1Pair(grey, LAS), tmp_path / "pair.img")
    nibabel.save(nibabel.AnalyzeImage(grey, LAS), tmp_path / "old.img")
    for name, options in (("two.nii.gz", ()), ("pair.hdr", ()), ("old.img", ("--assume-orientation", "LAS"))):
        labels, _ = segment(tmp_path / name, *options)
        np.testing.assert_array_equal(ids_of(labels), expected)


def test_row_49_mgz_without_its_place_and_with_unsigned_numbers(segment, grey: np.ndarray, tmp_path: Path):
    image = nibabel.MGHImage(grey.astype(np.uint16), LAS)
    image.to_filename(tmp_path / "a.mgz")
    assert not warned(segment(tmp_path / "a.mgz")[1], "UNPROVEN")
    content = bytearray(gzip.decompress((tmp_path / "a.mgz").read_bytes()))
    struct.pack_into(">h", content, 28, 0)
    (tmp_path / "b.mgz").write_bytes(gzip.compress(content))
    _, sidecar = segment(tmp_path / "b.mgz")
    assert warned(sidecar, "LEFT AND RIGHT ARE UNPROVEN")
    assert sidecar["OrientationKnown"] is False


@pytest.mark.parametrize(("unit", "factor", "name"), [("meter", 1e-3, "metres"), ("micron", 1e3, "microns")])
def test_row_50_other_units_are_converted(segment, grey: np.ndarray, tmp_path: Path, unit: str, factor: float, name):
    image = nibabel.Nifti1Image(grey, LAS * [factor, factor, factor, 1])
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "x.nii")
    labels, sidecar = segment(tmp_path / "x.nii")
    assert warned(sidecar, f"header gives lengths in {name}: converted to mm")
    np.testing.assert_allclose(labels.affine, LAS, rtol=1e-6)
