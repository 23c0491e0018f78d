import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from neuronat import __version__
from neuronat.errors import MissingInputError, OutputError, UnusableInputError, UsageError
from neuronat.labels import load_scheme
from neuronat.space.files import (
    read_label_map,
    read_mask,
    read_volume,
    write_channels,
    write_label_map,
    write_mask,
    write_volume,
)
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import LabelMap, Volume

OBLIQUE = np.array([[0.9, -0.2, 0.1, 7], [0.3, 1.1, 0.0, -3], [0.0, 0.1, 1.3, 11], [0, 0, 0, 1.0]])
OBLIQUE = OBLIQUE.astype(np.float32).astype(np.float64)
TURNED = np.eye(4)
TURNED[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.diag([0.7, 1.1, -1.3])
SCHEME = load_scheme("deepnat25")
FORCE = ReadOptions(force=True)
OUTPUTS = ("a.nii.gz", "a.nii", "a.mgz", "a.mgh")


def load(path: Path) -> nibabel.spatialimages.SpatialImage:
    """An independent reader; nibabel leaves plain MGH files open, so it gets bytes."""
    if path.suffix == ".mgh":
        return nibabel.MGHImage.from_bytes(path.read_bytes())
    return nibabel.load(path)


@pytest.fixture
def labels() -> LabelMap:
    ids = np.zeros((5, 6, 7), np.int32)
    ids[1, 2:4, 3], ids[2, 3, 4:6], ids[3, 3, 3] = 2, 41, 54
    return LabelMap(ids, OBLIQUE, SCHEME)


@pytest.mark.parametrize("image_class", [nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.MGHImage])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_single_files_are_read(tmp_path, grey, image_class, is_compressed):
    content = image_class(grey, TURNED).to_bytes()
    path = tmp_path / ("a.mgz" if image_class is nibabel.MGHImage else "a.nii.gz")
    if not is_compressed:
        path = path.with_name("a.mgh" if path.name == "a.mgz" else "a.nii")
    path.write_bytes(gzip.compress(content) if is_compressed else content)
    scan = read_volume(path, FORCE)
    np.testing.assert_array_equal(scan.volume.values, grey)
    np.testing.assert_array_equal(scan.volume.affine, load(path).affine)
    assert scan.is_orientation_known


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_either_file_of_a_pair_may_be_named(tmp_path, grey, ending):
    nibabel.Nifti1Pair(grey, TURNED).to_filename(tmp_path / f"a.img{ending}")
    for name in (f"a.img{ending}", f"a.hdr{ending}"):
        scan = read_volume(tmp_path / name, ReadOptions(force=True))
        np.testing.assert_array_equal(scan.volume.values, grey)
    (tmp_path / f"a.img{ending}").unlink()
    with pytest.raises(MissingInputError, match=r"belongs to a pair, and a.img is not beside it"):
        read_volume(tmp_path / f"a.hdr{ending}")


def test_analyze_needs_the_users_word_for_its_orientation(tmp_path, grey):
    image = nibabel.AnalyzeImage(grey, np.diag([-1.0, 2.0, 3.0, 1.0]))
    image.to_filename(tmp_path / "a.img")
    (tmp_path / "a.mat").unlink(missing_ok=True)
    with pytest.raises(UnusableInputError, match=r"Analyze 7.5 file does not say where left is"):
        read_volume(tmp_path / "a.hdr")
    scan = read_volume(tmp_path / "a.hdr", ReadOptions(assume_orientation="LAS"))
    np.testing.assert_array_equal(scan.volume.values, grey)
    np.testing.assert_array_equal(np.diag(scan.volume.affine), [-1, 2, 3, 1])
    assert not scan.is_orientation_known


def test_an_mgh_file_without_its_flag_has_an_unproven_orientation(tmp_path, grey):
    content = bytearray(nibabel.MGHImage(grey, np.eye(4)).to_bytes())
    content[28:90] = bytes(62)
    (tmp_path / "a.mgh").write_bytes(content)
    scan = read_volume(tmp_path / "a.mgh")
    assert "taken as LIA by convention, LEFT AND RIGHT ARE UNPROVEN" in scan.warnings[0]
    assert not scan.is_orientation_known


def test_unsigned_short_mgh_is_read(tmp_path, grey):
    values = grey.astype(np.uint16) + 50_000
    nibabel.MGHImage(values, np.eye(4)).to_filename(tmp_path / "a.mgz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mgz").volume.values, values)


def test_a_cut_mgh_file_is_cut_off(tmp_path, grey):
    (tmp_path / "a.mgh").write_bytes(nibabel.MGHImage(grey, np.eye(4)).to_bytes()[:9000])
    with pytest.raises(UnusableInputError, match=f"expected {284 + grey.nbytes} bytes, got 9000"):
        read_volume(tmp_path / "a.mgh")


def test_a_file_without_permission_is_named(nifti, monkeypatch):
    path = nifti("scan.nii")

    def refuse(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("neuronat.space.stream.Path.open", refuse)
    with pytest.raises(MissingInputError, match=r"^scan.nii: cannot be read \(Permission denied\); check path"):
        read_volume(path)


@pytest.mark.parametrize("name", OUTPUTS)
def test_labels_come_back_from_the_disk_bit_for_bit(tmp_path, labels, name):
    write_label_map(tmp_path / name, labels)
    image = load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(image.dataobj), labels.ids)
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=0 if "nii" in name else 1e-5)
    np.testing.assert_array_equal(read_label_map(tmp_path / name, SCHEME).ids, labels.ids)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("largest", "kind"), [(255, np.uint8), (2035, np.int16), (99_999, np.int32)])
def test_labels_take_the_smallest_type_that_holds_the_scheme(tmp_path, labels, largest, kind):
    labels.ids[0, 0, 0] = largest
    write_label_map(tmp_path / "a.nii.gz", labels)
    image = load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == kind
    np.testing.assert_array_equal(np.asarray(image.dataobj)[0, 0, 0], largest)


def test_the_header_is_fresh_and_both_forms_are_set(tmp_path, labels):
    write_label_map(tmp_path / "a.nii", labels, space_code=4)
    content = (tmp_path / "a.nii").read_bytes()
    header = load(tmp_path / "a.nii").header
    assert header["descrip"].item().decode() == f"neuronat {__version__}"
    assert (header["sform_code"], header.get_xyzt_units()[0]) == (4, "mm")
    assert np.frombuffer(content, "<f4", 2, 112).tolist() == [1.0, 0.0]
    assert int(np.frombuffer(content, "<f4", 1, 108)[0]) == 352
    for field in ("aux_file", "db_name", "intent_name"):
        assert header[field].item() == b""


def test_a_rigid_affine_is_written_into_both_forms(tmp_path):
    affine = TURNED.astype(np.float32).astype(np.float64)
    write_mask(tmp_path / "a.nii.gz", np.ones((3, 4, 5), bool), affine, space_code=2)
    header = load(tmp_path / "a.nii.gz").header
    assert (header["sform_code"], header["qform_code"]) == (2, 2)
    np.testing.assert_array_equal(header.get_sform(), affine)
    np.testing.assert_allclose(header.get_qform(), affine, atol=1e-6)


def test_the_affine_of_a_scan_with_a_qform_alone_comes_back_bit_for_bit(tmp_path, grey):
    image = nibabel.Nifti1Image(grey, None)
    image.header.set_qform(TURNED, 1)
    content = bytearray(nibabel.Nifti1Image(grey, None, image.header).to_bytes())
    content[252:256] = b"\1\0\0\0"
    (tmp_path / "scan.nii").write_bytes(content)
    exact = load(tmp_path / "scan.nii").affine
    scan = read_volume(tmp_path / "scan.nii", ReadOptions(force=True))
    write_mask(tmp_path / "mask.nii.gz", grey > 9, scan.volume.affine, space_code=scan.space_code)
    np.testing.assert_array_equal(load(tmp_path / "mask.nii.gz").affine, exact)


def test_an_unproven_orientation_stays_unproven(tmp_path, nifti, grey):
    scan = read_volume(nifti(sform_code=0, qform_code=0))
    write_mask(tmp_path / "mask.nii", grey > 9, scan.volume.affine, space_code=scan.space_code)
    image = load(tmp_path / "mask.nii")
    assert (image.header["sform_code"], image.header["qform_code"]) == (0, 0)
    np.testing.assert_allclose(image.affine, scan.volume.affine, atol=1e-6)


@pytest.mark.parametrize("name", OUTPUTS)
def test_grey_values_and_masks_come_back(tmp_path, rng, name):
    values = rng.normal(size=(40, 44, 46)).astype(np.float32)
    write_volume(tmp_path / name, Volume(values, OBLIQUE))
    np.testing.assert_array_equal(read_volume(tmp_path / name, FORCE).volume.values, values)
    write_mask(tmp_path / name, values > 0, OBLIQUE)
    mask = read_mask(tmp_path / name)
    np.testing.assert_array_equal(mask.values, values > 0)
    assert load(tmp_path / name).get_data_dtype() == np.uint8


@pytest.mark.parametrize("name", OUTPUTS)
def test_probabilities_are_one_frame_per_class(tmp_path, rng, name):
    values = rng.dirichlet(np.ones(26), (3, 4, 5)).astype(np.float32).transpose(3, 0, 1, 2)
    write_channels(tmp_path / name, values, OBLIQUE, n_channels=26)
    image = load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.moveaxis(values, 0, -1))


def test_channels_that_do_not_come_leave_no_file(tmp_path):
    with pytest.raises(UnusableInputError, match="frames hold 832 bytes"):
        write_channels(tmp_path / "a.nii", iter(np.zeros((2, 3, 4, 5), np.float32)), OBLIQUE, n_channels=3)
    assert list(tmp_path.iterdir()) == []


def test_equal_content_is_equal_bytes_whatever_the_time_and_name(tmp_path, labels, monkeypatch):
    for name in OUTPUTS:
        monkeypatch.setattr("gzip.time.time", lambda: 1e9)
        write_label_map(tmp_path / name, labels)
        monkeypatch.setattr("gzip.time.time", lambda: 2e9)
        write_label_map(tmp_path / f"other_{name}", labels)
        assert (tmp_path / name).read_bytes() == (tmp_path / f"other_{name}").read_bytes()


def test_a_name_of_no_image_is_a_wrong_usage(tmp_path, labels):
    with pytest.raises(UsageError, match=r"^a.txt: images end in .nii.gz, .nii, .mgz, .mgh"):
        write_label_map(tmp_path / "a.txt", labels)


def test_very_long_volumes_are_written_as_nifti2(tmp_path):
    mask = np.zeros((1, 2, 40_000), bool)
    mask[0, 1, 39_999] = True
    write_mask(tmp_path / "a.nii.gz", mask, OBLIQUE)
    image = load(tmp_path / "a.nii.gz")
    assert isinstance(image, nibabel.Nifti2Image)
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask)


def test_what_does_not_read_back_as_written_gets_no_name(tmp_path, labels, monkeypatch):
    sync = os.fsync

    def spoil(descriptor: int) -> None:
        sync(descriptor)
        if os.fstat(descriptor).st_size > 400:
            os.pwrite(descriptor, b"\x55", 400)

    monkeypatch.setattr("neuronat.record.os.fsync", spoil)
    with pytest.raises(OutputError, match=r"a.nii: does not read back as written; check the disk"):
        write_label_map(tmp_path / "a.nii", labels)
    assert list(tmp_path.iterdir()) == []
