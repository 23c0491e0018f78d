import struct

import nibabel
import numpy as np
import pytest

from neuronat.errors import UnusableInputError
from neuronat.space.files import read_volume
from neuronat.space.header import parse_header


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_claims_of_nifti1_are_read_in_either_byte_order(order):
    fields = nibabel.Nifti1Header(endianness=order)
    fields.set_data_shape((3, 4, 5, 1, 2))
    fields.set_data_dtype(np.float32)
    fields["pixdim"][1:4] = 2, 3, 0.5
    fields["vox_offset"] = 416
    fields["xyzt_units"] = 10
    fields.set_slope_inter(2.5, -7)
    header = parse_header(fields.binaryblock)
    assert (header.file_format, header.is_pair, header.extents) == ("NIfTI-1", False, (3, 4, 5, 1, 2))
    assert (header.dtype, header.offset, header.pixdim) == (np.dtype(order + "f4"), 416, (2.0, 3.0, 0.5))
    assert (header.slope, header.inter, header.unit_code) == (2.5, -7.0, 2)
    assert (header.n_voxels, header.n_frame_voxels, header.n_declared_bytes) == (120, 60, 416 + 480)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_claims_of_nifti2_are_read_in_either_byte_order(order):
    fields = nibabel.Nifti2Header(endianness=order)
    fields.set_data_shape((3, 70_000, 5))
    fields.set_data_dtype(np.int16)
    fields["pixdim"][1:4] = 2, 3, 0.5
    fields["vox_offset"] = 544
    fields["xyzt_units"] = 3
    header = parse_header(fields.binaryblock)
    assert (header.file_format, header.is_pair, header.extents) == ("NIfTI-2", False, (3, 70_000, 5))
    assert (header.dtype, header.offset, header.pixdim) == (np.dtype(order + "i2"), 544, (2.0, 3.0, 0.5))
    assert (header.slope, header.unit_code) == (1.0, 3)


def test_the_claims_of_mgh_are_read():
    content = nibabel.MGHImage(np.zeros((3, 4, 5, 2), np.float32), np.diag([2.0, 3.0, 0.5, 1.0])).to_bytes()
    header = parse_header(content[:560])
    assert (header.file_format, header.extents, header.dtype) == ("MGH", (3, 4, 5, 2), np.dtype(">f4"))
    assert (header.offset, header.pixdim) == (284, (2.0, 3.0, 0.5))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_every_type_of_number_is_known_by_its_code(order, kind):
    for make in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        fields = make(endianness=order)
        fields.set_data_shape((3, 4, 5))
        fields.set_data_dtype(np.dtype(kind))
        fields["vox_offset"] = 544
        assert parse_header(fields.binaryblock).dtype == np.dtype(order + kind)


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4"])
def test_every_type_of_number_of_mgh_is_known_by_its_code(kind):
    content = nibabel.MGHImage(np.zeros((3, 4, 5), np.dtype(">" + kind)), np.eye(4)).to_bytes()
    assert parse_header(content[:560]).dtype == np.dtype(">" + kind)


def test_the_claims_of_nifti2_are_checked_as_those_of_nifti1():
    fields = nibabel.Nifti2Header()
    fields.set_data_shape((3, 4, 5, 1, 2))
    fields["vox_offset"] = 543
    with pytest.raises(UnusableInputError, match=r"begin at byte 543 \(vox_offset\), and they cannot before byte 544"):
        parse_header(fields.binaryblock)
    fields["vox_offset"] = 544
    assert parse_header(fields.binaryblock).n_dimensions == 5
    fields["magic"], fields["vox_offset"] = b"ni2", 0
    assert parse_header(fields.binaryblock).is_pair


@pytest.mark.parametrize("beyond", [0, 7, -1])
def test_what_stands_beyond_the_last_dimension_does_not_count(beyond):
    fields = nibabel.Nifti1Header()
    fields.set_data_shape((3, 4, 5))
    fields["vox_offset"] = 352
    content = bytearray(fields.binaryblock)
    struct.pack_into("<h", content, 48, beyond)
    assert parse_header(bytes(content)).extents == (3, 4, 5)


def test_seven_dimensions_are_the_most():
    fields = nibabel.Nifti1Header()
    fields.set_data_shape((3, 4, 5, 1, 1, 1, 2))
    fields["vox_offset"] = 352
    assert parse_header(fields.binaryblock).extents == (3, 4, 5, 1, 1, 1, 2)
    content = bytearray(fields.binaryblock)
    struct.pack_into("<h", content, 40, 8)
    with pytest.raises(UnusableInputError, match="impossible dimensions"):
        parse_header(bytes(content))


def test_extents_of_one_after_the_third_fall_away():
    fields = nibabel.Nifti1Header()
    fields.set_data_shape((3, 4, 1, 1, 1))
    fields["vox_offset"] = 352
    assert parse_header(fields.binaryblock).extents == (3, 4, 1)
    fields.set_data_shape((3, 4, 5, 1))
    assert parse_header(fields.binaryblock).extents == (3, 4, 5)


@pytest.mark.parametrize(("slope", "inter"), [(0.0, 5.0), (np.nan, 5.0), (np.nan, np.inf)])
def test_a_slope_of_zero_or_nan_means_no_scaling(nifti, grey, slope, inter):
    scan = read_volume(nifti(scl_slope=slope, scl_inter=inter))
    np.testing.assert_array_equal(scan.volume.values, grey)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dim1": -5}, r"impossible dimensions \(-5, 44, 52"),
        ({"dim2": 0}, "impossible dimensions"),
        ({"dim0": 0}, "impossible dimensions"),
        ({"dim0": 9}, "impossible dimensions"),
        ({"datatype": 9999}, "holds voxels of the unknown type 9999"),
        ({"datatype": 128}, r"holds colours \(RGB\)"),
        ({"datatype": 32}, "complex numbers; give the magnitude image"),
        ({"datatype": 1792}, "complex numbers; give the magnitude image"),
        ({"datatype": 2048}, "complex numbers; give the magnitude image"),
        ({"datatype": 2304}, r"holds colours \(RGBA\)"),
        ({"datatype": 1536}, "holds 128-bit floats; save it as float32"),
        ({"datatype": 1}, "single bits"),
        ({"vox_offset": 0}, r"voxels begin at byte 0 \(vox_offset\), and they cannot before byte 352"),
        ({"vox_offset": 348}, "cannot before byte 352"),
        ({"vox_offset": np.nan}, "voxels begin at byte nan"),
        ({"vox_offset": 1e9}, r"voxels begin at byte 1e\+09"),
        ({"scl_slope": 1.0, "scl_inter": np.inf}, "adds inf"),
        ({"scl_slope": np.inf}, "scales values by inf"),
        ({"magic": b"abc"}, "no NIfTI magic bytes: an Analyze 7.5 file does not say where left is"),
    ],
)
def test_impossible_claims_are_refused(nifti, changes, words):
    with pytest.raises(UnusableInputError, match=f"^scan.nii.gz: .*{words}"):
        read_volume(nifti(**changes))


def test_an_offset_beyond_the_file_is_refused(nifti):
    with pytest.raises(UnusableInputError, match="file is cut off: expected 1183040 bytes"):
        read_volume(nifti("scan.nii", vox_offset=1_000_000))


def test_nifti2_without_its_magic_is_refused():
    with pytest.raises(UnusableInputError, match="NIfTI-2 header without its magic bytes"):
        parse_header(struct.pack("<i", 540) + bytes(556))


@pytest.mark.parametrize(("field", "value", "words"), [(4, -3, "impossible dimensions"), (20, 9, "MGH type 9")])
def test_impossible_claims_of_mgh_are_refused(field, value, words):
    content = bytearray(nibabel.MGHImage(np.zeros((3, 4, 5), np.float32), np.eye(4)).to_bytes())
    struct.pack_into(">i", content, field, value)
    with pytest.raises(UnusableInputError, match=words):
        parse_header(bytes(content[:560]))
