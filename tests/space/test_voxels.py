import nibabel
import numpy as np
import pytest

from neuronat.errors import LabelError, UnusableInputError
from neuronat.labels import load_scheme
from neuronat.space.files import read_label_map, read_mask, read_volume
from neuronat.space.scan import ReadOptions
from neuronat.space.voxels import count_ids, grey_values, inside_mask, is_label_like, largest_part, mend, whole_ids

SCHEME = load_scheme("deepnat25")


@pytest.fixture
def ids(grey) -> np.ndarray:
    """Three labels and background, in blocks."""
    ids = np.zeros(grey.shape, np.int16)
    ids[5:15, 6:20, 7:30] = 2
    ids[15:25, 6:20, 7:30] = 41
    ids[10:20, 20:30, 10:20] = 53
    return ids


@pytest.mark.parametrize("kind", ["<u1", ">i2", "<u2", ">i4", "<i8", ">f4", "<f8"])
def test_the_stored_type_does_not_change_the_values(tmp_path, grey, kind):
    values = np.clip(grey // 8, 0, 255)
    path = tmp_path / "scan.nii"
    header = nibabel.Nifti1Header(endianness=kind[0])
    header.set_data_dtype(kind[1:])
    nibabel.Nifti1Image(values.astype(kind), np.eye(4), header, dtype=kind[1:]).to_filename(path)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.volume.values, values.astype(np.float32))
    assert scan.stored_dtype == np.dtype(kind[1:])
    assert scan.volume.values.flags.c_contiguous


@pytest.mark.parametrize(("slope", "inter"), [(0.25, -100.0), (1e-4, 0.0), (1e6, 12.0)])
def test_scaling_is_applied_in_double_precision(nifti, grey, slope, inter):
    scan = read_volume(nifti(scl_slope=slope, scl_inter=inter))
    exact = grey.astype(np.float64) * float(np.float32(slope)) + float(np.float32(inter))
    np.testing.assert_array_equal(scan.volume.values, exact.astype(np.float32))


def test_large_unsigned_numbers_are_kept(nifti, grey):
    values = grey.astype(np.uint16) + 60_000
    np.testing.assert_array_equal(read_volume(nifti(values=values)).volume.values, values)


def test_a_scaling_beyond_float32_is_refused(nifti):
    with pytest.raises(UnusableInputError, match="too large for 32-bit floats"):
        read_volume(nifti(scl_slope=3e38))


@pytest.mark.parametrize("level", [0, 7])
def test_a_constant_image_is_refused(nifti, grey, level):
    with pytest.raises(UnusableInputError, match=f"^scan.nii.gz: every voxel is {level}: no contrast"):
        read_volume(nifti(values=np.full_like(grey, level)))


def test_few_broken_voxels_are_mended_by_the_median_around_them_and_counted(nifti, grey):
    values = grey.astype(np.float32)
    values[3, 4, 5], values[20, 21, 22], values[0, 0, 0] = np.nan, np.inf, -np.inf
    scan = read_volume(nifti(values=values))
    around = np.delete(grey[19:22, 20:23, 21:24].ravel(), 13)
    np.testing.assert_allclose(scan.volume.values[20, 21, 22], np.median(around))
    corner = grey[:2, :2, :2].ravel()[1:]
    np.testing.assert_allclose(scan.volume.values[0, 0, 0], np.median(corner))
    assert scan.warnings == ("3 voxels were not a number or infinite: replaced by the median around them",)


def test_a_broken_voxel_among_broken_ones_becomes_zero():
    values = np.ones((20, 21, 22), np.float32)
    values[4:7, 4:7, 4:7] = np.nan
    mended, n_mended = mend(values)
    assert n_mended == 27
    np.testing.assert_array_equal(mended[5, 5, 5], 0)
    np.testing.assert_array_equal(mended[4, 4, 4], 1)


def test_neighbours_beyond_the_border_do_not_count():
    values = np.zeros((20, 21, 22), np.float32)
    values[1, 0, 0] = values[0, 1, 0] = values[0, 0, 1] = 100
    values[0, 0, 0] = np.nan
    mended, _ = mend(values)
    np.testing.assert_array_equal(mended[0, 0, 0], 0)  # three of seven neighbours are 100
    assert np.isnan(values[0, 0, 0]), "the values given stay as they were"
    mended, _ = mend(values[::-1, ::-1, ::-1])
    np.testing.assert_array_equal(mended[-1, -1, -1], 0)


def test_many_broken_voxels_are_refused(nifti, grey):
    values = grey.astype(np.float32)
    values[0] = np.nan
    with pytest.raises(UnusableInputError, match=r"2288 of 91520 voxels are not a number or infinite"):
        read_volume(nifti(values=values))


def test_negative_values_and_a_negative_factor_are_warnings(nifti, grey):
    lines = read_volume(nifti(values=grey - 500)).warnings
    assert len(lines) == 1
    assert lines[0].startswith("negative values (down to -")
    assert "the contrast may be inverted" in read_volume(nifti(scl_slope=-2.0)).warnings[0]


def test_a_label_map_is_no_scan_unless_forced(nifti, ids):
    for values in (ids, ids.astype(np.float32), ids > 0):
        path = nifti(values=values.astype(values.dtype if values.dtype != bool else np.uint8))
        with pytest.raises(UnusableInputError, match="is a label map or a mask; give the T1-weighted scan"):
            read_volume(path)
        assert "looks like a label map" in read_volume(path, ReadOptions(force=True)).warnings[-1]


def test_scans_of_few_or_whole_values_are_no_label_maps(grey):
    assert not is_label_like((grey // 30).astype(np.float32))
    assert not is_label_like(grey.astype(np.float32))
    assert not is_label_like(grey.astype(np.float32) + 0.5)


def test_whole_values_beyond_32_bits_are_told_apart_as_others(grey, ids):
    beyond = np.float32(2**33)  # where float32 knows multiples of 1024 alone
    assert not is_label_like((grey // 30).astype(np.float32) * 1024 + beyond)
    assert is_label_like(ids.astype(np.float32) * 1024 + beyond)


def test_a_label_map_is_read_exactly(nifti, ids):
    labels = read_label_map(nifti(values=ids), SCHEME)
    np.testing.assert_array_equal(labels.ids, ids)
    assert (labels.ids.dtype, labels.scheme) == (np.int32, SCHEME)
    labels = read_label_map(nifti(values=ids.astype(np.float64)), SCHEME)
    np.testing.assert_array_equal(labels.ids, ids)


def test_whole_scaling_of_ids_stays_exact():
    stored = np.array([2**24 + 1, 3, 0], np.int32).reshape(3, 1, 1)
    np.testing.assert_array_equal(whole_ids(stored, 2.0, inter=1.0).ravel(), [2**25 + 3, 7, 1])


def test_an_image_is_no_label_map(nifti, grey):
    with pytest.raises(LabelError, match="different values; a label map has at most 512"):
        read_label_map(nifti(values=grey), SCHEME)
    with pytest.raises(LabelError, match=r"\d+ of 91520 voxels hold no whole number"):
        read_label_map(nifti(scl_slope=0.3), SCHEME)
    values = np.zeros(grey.shape, np.float32)
    values[1, 2, 3] = np.nan
    with pytest.raises(LabelError, match="1 of 91520 voxels hold no whole number"):
        read_label_map(nifti(values=values), SCHEME)


def test_row_44_unknown_ids_are_listed_with_their_counts(nifti, ids):
    ids[0, 0, :7] = 9
    ids[1, 0, :3] = 2035
    with pytest.raises(
        LabelError, match=r"scan.nii.gz: ids 9 \(7 voxels\), 2035 \(3 voxels\) are not in the scheme deepnat25"
    ):
        read_label_map(nifti(values=ids), SCHEME)


def test_ids_beyond_32_bits_are_refused():
    with pytest.raises(LabelError, match="do not fit 32 bits"):
        whole_ids(np.array([[[0, 2**40]]]), 1.0, inter=0.0)
    stored = np.array([[[0, 2**62]]])
    with pytest.raises(LabelError, match=f"ids from 0 to {2**64} do not fit 32 bits"):  # 0 in 64 bits that wrap around
        whole_ids(stored, 4.0, inter=0.0)


@pytest.mark.parametrize(("slope", "inter"), [(1e20, 0.0), (-1e20, 0.0), (1.0, 1e20), (2.0**31, 0.0), (0.5, -1e20)])
def test_a_scaling_beyond_32_bits_is_refused(nifti, slope, inter):
    with pytest.raises(LabelError, match=r"^scan\.nii\.gz: header scales ids by .* more than 32 bits hold; repair"):
        read_label_map(nifti(values=np.zeros((4, 5, 6), np.uint8), scl_slope=slope, scl_inter=inter), SCHEME)


def test_ids_are_counted_alike_whether_they_lie_close_or_far_apart():
    for far in (7, 10**8):
        ids = np.array([-3, far, far, 0, -3, far], np.int32).reshape(3, 2, 1)
        found, counts = count_ids(ids)
        np.testing.assert_array_equal(found, [-3, 0, far])
        np.testing.assert_array_equal(counts, [2, 1, 3])


@pytest.mark.parametrize(
    ("kind", "inside", "stored_as"),
    [("u1", 255, "u1"), ("f4", 1, "u1"), ("f4", 1, "i2"), ("f8", 1, "i4"), ("f4", 0.5, "f4"), ("i2", -1, "i2")],
)
def test_a_mask_holds_zero_and_one_other_value(tmp_path, ids, kind, inside, stored_as):
    image = nibabel.Nifti1Image((ids > 0).astype(kind) * np.array(inside, kind), np.diag([1.0, 2, 3, 1]))
    image.set_data_dtype(stored_as)  # floats under a header of integers get a factor, and 0 or 1 is rounded
    image.to_filename(tmp_path / "mask.nii")
    mask = read_mask(tmp_path / "mask.nii").values
    np.testing.assert_array_equal(mask, ids > 0)
    assert mask.flags.c_contiguous


@pytest.mark.parametrize(("level", "expected"), [(0, 0), (3, 1)])
def test_a_mask_of_one_value_is_empty_or_full(nifti, ids, level, expected):
    mask = read_mask(nifti(values=np.full_like(ids, level))).values
    np.testing.assert_array_equal(mask, np.full(ids.shape, expected))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ids: ids, "holds more than two values"),
        (lambda ids: np.where(ids > 0, 2, 1).astype(np.uint8), "holds 1 and 2"),
        (lambda ids: np.where(ids > 0, 1, 1e-3).astype(np.float32), "holds 0.001 and 1"),
        (lambda ids: np.where(ids > 0, np.nan, 0).astype(np.float32), "holds more than two values"),
    ],
)
def test_any_other_mask_is_refused(nifti, ids, change, words):
    with pytest.raises(LabelError, match=f"{words}; a mask holds 0 outside and one other value inside; give a mask"):
        read_mask(nifti(values=change(ids)))


def test_every_neighbour_counts_for_a_broken_voxel():
    values = np.zeros((20, 21, 22), np.float32)
    values[4:7, 4:7, 4:7] = np.arange(27, dtype=np.float32).reshape(3, 3, 3) ** 2
    values[5, 5, 5] = np.nan
    mended, _ = mend(values)
    assert mended[5, 5, 5] == (12**2 + 14**2) / 2  # the middle two of 26: 13 squared was the broken one
    values[4:7, 4:7, 4:7] = values[4:7, 4:7, 4:7][::-1]
    values[5, 5, 5], values[6, 4, 4] = np.nan, 1000  # 0 became large: 14 is the middle but one
    mended, _ = mend(values)
    assert mended[5, 5, 5] == (14**2 + 15**2) / 2


def test_very_many_broken_voxels_are_mended_to_the_last():
    values = np.ones((150, 160, 170), np.float32)
    values.reshape(-1)[::102] = np.nan  # 40,000, more than are mended at once
    mended, n_mended = mend(values)
    assert n_mended == 40_000
    np.testing.assert_array_equal(mended, np.ones_like(values))


def test_a_hundredth_of_broken_voxels_is_too_much():
    values = np.ones((10, 20, 30), np.float32)
    values.reshape(-1)[:60] = np.nan
    with pytest.raises(UnusableInputError, match="60 of 6000 voxels are not a number or infinite"):
        mend(values)
    values[0, 0, 0] = 1
    assert mend(values)[1] == 59


@pytest.mark.parametrize(("n_equal", "expected"), [(60, False), (61, True)])
def test_three_fifths_of_equal_neighbours_make_a_label_map(n_equal: int, expected: bool):
    values = np.zeros((2, 20, 30), np.float32)  # 100 pairs along the first axis lie inside
    values[:, :4, :25] = np.arange(1, 101).reshape(4, 25)
    values[1].reshape(-1)[np.flatnonzero(values[1])[n_equal:]] += 100
    assert is_label_like(values) == expected


def test_a_mask_of_one_slice_is_like_labels_and_values_far_apart_are_not():
    slab = np.zeros((3, 20, 30), np.float32)
    slab[1, 4:9, 5:20] = 1
    assert is_label_like(slab)
    for beyond in (65536, 1.5):
        slab[1, 4, 5] = beyond
        assert not is_label_like(slab)


def test_what_is_nearly_zero_beside_the_other_value_is_outside():
    stored = np.array([[[0, 255]]], np.uint8)
    np.testing.assert_array_equal(inside_mask(stored, 1.0, inter=1e-4), stored > 0)
    with pytest.raises(LabelError, match=r"holds 0.001 and 255.001; a mask holds 0 outside"):
        inside_mask(stored, 1.0, inter=1e-3)


def test_ids_are_whole_up_to_32_bits_and_512_of_them():
    ends = np.array([[[2**31 - 1, 0, -(2**31)]]])
    np.testing.assert_array_equal(whole_ids(ends, 1.0, inter=0.0), ends)
    for beyond in (2**31, -(2**31) - 1):
        with pytest.raises(LabelError, match=rf"{beyond}\b.* do not fit 32 bits"):
            whole_ids(np.array([[[0, beyond]]]), 1.0, inter=0.0)
    np.testing.assert_array_equal(whole_ids(np.array([[[0.5, 3.0, -2.0]]]), 4.0, inter=1.0), [[[3, 13, -7]]])
    many = np.arange(512).reshape(8, 8, 8)
    np.testing.assert_array_equal(whole_ids(many, 1.0, inter=0.0), many)
    with pytest.raises(LabelError, match="513 different values; a label map has at most 512"):
        whole_ids(np.arange(513).reshape(9, 57, 1), 1.0, inter=0.0)


def test_the_largest_part_hangs_together_by_faces():
    mask = np.zeros((6, 7, 8), bool)
    mask[0, 0, :3] = mask[1, 1, :2] = mask[4, 5, 3:7] = True  # 3 and 2 touch by an edge: 5, but two parts
    expected = np.zeros_like(mask)
    expected[4, 5, 3:7] = True
    np.testing.assert_array_equal(largest_part(mask), expected)
    np.testing.assert_array_equal(largest_part(np.zeros_like(mask)), np.zeros_like(mask))


def test_numbers_too_large_for_single_precision_are_said_to_be_so():
    stored = np.full((3, 3, 3), 1e300)
    for values, slope in ((stored, 1.0), (np.full((3, 3, 3), 30000, np.int16), 1e35)):
        with pytest.raises(UnusableInputError, match="too large for 32-bit floats; divide them by a constant"):
            grey_values(values, slope, inter=0.0)
    stored = np.zeros((3, 3, 3))
    stored[1, 1, 1] = np.inf
    assert np.isinf(grey_values(stored, 1.0, inter=0.0)).sum() == 1
