import nibabel
import numpy as np
import pytest

from neuronat.errors import ConfigError, GridError, UnusableInputError
from neuronat.space.files import read_volume
from neuronat.space.geometry import default_mgh_affine, lettered_affine
from neuronat.space.scan import ReadOptions

# what tests/space/conftest.py writes into both forms of every file
AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.0, 0.125, -25], [0, -0.125, 1.0, -20], [0, 0, 0, 1]])
FORCE = ReadOptions(force=True)


def test_the_sform_is_taken_as_it_is(nifti):
    scan = read_volume(nifti())
    np.testing.assert_array_equal(scan.volume.affine, AFFINE)
    assert (scan.warnings, scan.space_code, scan.is_orientation_known) == ((), 1, True)


def test_the_qform_is_taken_where_there_is_no_sform(nifti):
    scan = read_volume(nifti(sform_code=0, qform_code=4))
    np.testing.assert_allclose(scan.volume.affine, AFFINE, atol=1e-5)
    assert (scan.warnings, scan.space_code) == ((), 4)


def test_without_forms_left_and_right_are_unproven(nifti):
    scan = read_volume(nifti(sform_code=0, qform_code=0))
    steps = np.linalg.norm(AFFINE[:3, :3], axis=0)
    np.testing.assert_allclose(scan.volume.affine[:3, :3], np.diag([-1, 1, 1] * steps), atol=1e-6)
    assert "LEFT AND RIGHT ARE UNPROVEN" in scan.warnings[0]
    assert "taken as LAS" in scan.warnings[0]
    assert (scan.space_code, scan.is_orientation_known) == (0, False)


@pytest.mark.parametrize("change", [{"srow_x0": np.nan}, {"srow_x0": 0.0}, {"srow_x3": np.inf}, {"srow_x0": 1e30}])
def test_a_bad_sform_gives_way_to_the_qform(nifti, change):
    scan = read_volume(nifti(**change))
    np.testing.assert_allclose(scan.volume.affine, AFFINE, atol=1e-5)
    assert scan.warnings == ("the sform is singular or not finite: the qform is used",)
    with pytest.raises(GridError, match=r"scan.nii.gz: sform and qform are singular, not finite or not set"):
        read_volume(nifti(**change, qform_code=0))


def test_a_bad_qform_gives_way_to_the_sform(nifti):
    scan = read_volume(nifti(quatern_b=np.nan))
    np.testing.assert_array_equal(scan.volume.affine, AFFINE)
    assert scan.warnings == ("the qform cannot be used: the sform is",)


def test_forms_that_disagree_are_told_and_the_sform_is_used_unless_decided(nifti):
    path = nifti(srow_x3=23.0)
    scan = read_volume(path)
    assert "disagree by up to 3.0 mm and 0.0 degrees: the sform is used" in scan.warnings[0]
    np.testing.assert_allclose(scan.volume.affine[0, 3], 23)
    scan = read_volume(path, ReadOptions(use_form="qform"))
    assert "the qform is used" in scan.warnings[0]
    np.testing.assert_allclose(scan.volume.affine[0, 3], 20)


def test_forms_that_are_turned_against_each_other_disagree_in_degrees(nifti):
    scan = read_volume(nifti(srow_y1=1.2))
    assert "degrees" in scan.warnings[0]
    assert not read_volume(nifti(srow_x3=20.9)).warnings


def test_forms_that_mirror_each_other_are_refused_unless_decided(nifti):
    path = nifti(srow_x0=1.0, srow_x3=-20.0)
    with pytest.raises(GridError, match="mirror images of each other; decide with --use-form"):
        read_volume(path)
    np.testing.assert_allclose(read_volume(path, ReadOptions(use_form="sform")).volume.affine[0, 0], 1)
    np.testing.assert_allclose(read_volume(path, ReadOptions(use_form="qform")).volume.affine[0, 0], -1)


def test_a_form_that_is_not_there_cannot_be_chosen(nifti):
    with pytest.raises(GridError, match="has no usable qform"):
        read_volume(nifti(pixdim1=0.0), ReadOptions(use_form="qform"))
    with pytest.raises(GridError, match="has no usable qform; leave out --use-form qform"):
        read_volume(nifti(qform_code=0), ReadOptions(use_form="qform"))


def test_a_spacing_of_zero_needs_an_sform(nifti):
    scan = read_volume(nifti(pixdim1=0.0))
    np.testing.assert_array_equal(scan.volume.affine, AFFINE)
    assert any("header spacing 0 x" in line for line in scan.warnings)
    assert any(line.startswith("header: pixdim") for line in scan.warnings)
    with pytest.raises(GridError, match=r"pixdim.* of 0 x 1.* and has no usable sform"):
        read_volume(nifti(pixdim1=0.0, sform_code=0))


@pytest.mark.parametrize("spacing", [-1.0, np.nan, np.inf])
def test_an_impossible_spacing_is_refused(nifti, spacing):
    with pytest.raises(GridError, match=r"voxel spacing \(pixdim\)"):
        read_volume(nifti(pixdim3=spacing))


def test_the_affine_decides_on_the_voxel_size(nifti):
    scan = read_volume(nifti(pixdim1=2.0, qform_code=0))
    np.testing.assert_array_equal(scan.volume.affine, AFFINE)
    assert scan.warnings == (
        "header spacing 2 x 1.008 x 1.008 differs from the affine's 1 x 1.008 x 1.008: the affine is used",
    )
    assert not read_volume(nifti(pixdim1=1.005, qform_code=0)).warnings


def test_an_unknown_form_code_is_a_warning(nifti):
    scan = read_volume(nifti(sform_code=77))
    assert any("sform_code 77 not valid" in line for line in scan.warnings)


@pytest.mark.parametrize(("unit", "factor", "name"), [(1, 1000, "metres"), (3, 0.001, "microns")])
def test_other_units_are_converted(nifti, tmp_path, grey, unit, factor, name):
    with pytest.raises(UnusableInputError, match=r"more than a metre|field of view too small"):
        read_volume(nifti(xyzt_units=unit))
    image = nibabel.Nifti1Image(grey, np.diag([1 / factor] * 3 + [1.0]))
    image.header.set_xyzt_units(name.rstrip("s").replace("metre", "meter"))
    image.to_filename(tmp_path / "unit.nii")
    scan = read_volume(tmp_path / "unit.nii")
    np.testing.assert_allclose(scan.volume.affine, np.eye(4), atol=1e-6)
    assert scan.warnings == (f"header gives lengths in {name}: converted to mm",)


@pytest.mark.parametrize(("unit", "per_mm"), [("meter", 0.001), ("mm", 1.0), ("micron", 1000.0)])
def test_forms_disagree_by_millimetres_whatever_the_unit_of_the_header(tmp_path, grey, unit, per_mm):
    def disagreements(apart_mm: float) -> list[str]:
        sform = np.diag([-per_mm, per_mm, per_mm, 1.0])
        qform = sform.copy()
        qform[1, 3] = apart_mm * per_mm
        image = nibabel.Nifti1Image(grey, sform)
        image.set_sform(sform, 1)
        image.set_qform(qform, 1)
        image.header.set_xyzt_units(unit)
        image.to_filename(tmp_path / "unit.nii")
        return [line for line in read_volume(tmp_path / "unit.nii").warnings if "disagree" in line]

    assert disagreements(0.9) == []
    (told,) = disagreements(1.1)
    assert told.startswith("sform and qform disagree by up to 1.1 mm and 0.0 degrees: the sform is used")


def test_forms_disagree_where_they_are_furthest_apart(tmp_path, grey):
    sform = np.diag([-1.0, 1.0, 1.0, 1.0])
    image = nibabel.Nifti1Image(grey, sform)
    image.set_sform(sform, 1)
    image.set_qform(np.diag([-1.0, 1.04, 1.0, 1.0]), 1)  # alike at the first voxel, 43 x 0.04 mm apart at the last
    image.to_filename(tmp_path / "scaled.nii")
    lines = [line for line in read_volume(tmp_path / "scaled.nii").warnings if "disagree" in line]
    assert [line.split(" and 0")[0] for line in lines] == ["sform and qform disagree by up to 1.7 mm"]


@pytest.mark.parametrize(("spacing", "is_told"), [(2.019, False), (2.021, True)])
def test_a_hundredth_of_the_spacing_may_be_rounding(tmp_path, grey, spacing, is_told):
    image = nibabel.Nifti1Image(grey, np.diag([2.0, 2.0, 2.0, 1.0]))
    image.header.set_zooms((2.0, spacing, 2.0))
    image.set_sform(np.diag([2.0, 2.0, 2.0, 1.0]), 1)
    image.set_qform(None, 0)
    image.header["pixdim"][2] = spacing
    image.to_filename(tmp_path / "spacing.nii")
    assert [line[:14] for line in read_volume(tmp_path / "spacing.nii").warnings] == ["header spacing"] * is_told


def test_fewer_than_32_voxels_are_too_few_however_large_they_are(tmp_path, grey):
    for n_voxels in (31, 32):
        path = tmp_path / f"few{n_voxels}.nii"
        nibabel.save(nibabel.Nifti1Image(grey[:n_voxels], np.diag([-1.5, 1.0, 1.0, 1.0])), path)
    with pytest.raises(UnusableInputError, match="field of view too small for a brain"):
        read_volume(tmp_path / "few31.nii")
    assert read_volume(tmp_path / "few32.nii").warnings == ()


@pytest.mark.parametrize(("n_slices", "is_enough"), [(20, True), (24, True), (19, False), (15, False)])
def test_thick_slices_may_be_few_where_they_show_most_of_a_brain(tmp_path, grey, n_slices, is_enough):
    thick = 6.0 if n_slices > 15 else 7.0
    path = tmp_path / "thick.nii"
    nibabel.save(nibabel.Nifti1Image(grey[:, :, :n_slices], np.diag([-4.0, 4.0, thick, 1.0])), path)
    if is_enough:
        assert [line[:12] for line in read_volume(path).warnings] == ["thick slices"]
    else:
        with pytest.raises(UnusableInputError, match="field of view too small for a brain"):
            read_volume(path)


def test_without_its_flag_an_mgh_file_lies_as_freesurfer_puts_it():
    # FreeSurfer: 1 mm, voxel (I/2, J/2, K/2) in the world's origin; i to the left, j down, k to the front
    affine = default_mgh_affine((40, 44, 52, 1))
    np.testing.assert_array_equal(affine @ [20, 22, 26, 1], [0, 0, 0, 1])
    np.testing.assert_array_equal(affine[:3, :3], [[-1, 0, 0], [0, 0, 1], [0, -1, 0]])


def test_a_small_field_of_view_is_refused_unless_forced(nifti, grey):
    path = nifti(values=grey[:31])
    with pytest.raises(UnusableInputError, match=r"31 x 44 x 52 voxels of .* mm: field of view too small for a brain"):
        read_volume(path)
    assert "field of view too small" in read_volume(path, FORCE).warnings[0]
    assert not read_volume(nifti(values=grey)).warnings


def test_thick_slices_are_a_warning_and_very_thick_ones_refused(tmp_path, grey):
    path = tmp_path / "thick.nii"
    for thickness, words in ((5.0, "thick slices"), (8.0, "slices thicker than 7 mm")):
        nibabel.save(nibabel.Nifti1Image(grey, np.diag([1.0, 1.0, thickness, 1.0])), path)
        scan = read_volume(path, FORCE)
        assert any(words in line for line in scan.warnings)
    with pytest.raises(
        UnusableInputError, match=r"slices thicker than 7 mm hide most structures; give a whole 3D scan"
    ):
        read_volume(path)


def test_a_wide_field_of_view_and_shear_are_warnings(tmp_path, grey):
    affine = np.diag([1.0, 1.0, 6.0, 1.0])
    affine[0, 1] = 0.2
    path = tmp_path / "odd.nii"
    nibabel.save(nibabel.Nifti1Image(grey, affine), path)
    lines = "; ".join(read_volume(path).warnings)
    assert "field of view of 312 mm: more than a head" in lines
    assert "sheared by 11.3 degrees" in lines


def test_lettered_axes_grow_towards_their_letters_about_the_centre():
    affine = lettered_affine("PSR", (3, 5, 7), (2.0, 1.0, 0.5))
    np.testing.assert_allclose(affine[:3, :3], [[0, 0, 0.5], [-2, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(affine @ [1, 2, 3, 1], [0, 0, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frame": -1}, "frame must be 0 or above"),
        ({"use_form": "bform"}, "use_form must be sform or qform"),
        ({"max_voxels": 0}, "max_voxels must be above 0"),
        ({"assume_orientation": "LLS"}, "three letters such as LAS"),
        ({"assume_orientation": "LAX"}, "three letters such as LAS"),
    ],
)
def test_impossible_options_are_refused_before_any_file_is_read(options, words):
    with pytest.raises(ConfigError, match=words):
        ReadOptions(**options)
