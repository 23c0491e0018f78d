import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from neuronat.errors import GridError, MissingInputError, UnusableInputError, UsageError
from neuronat.space.affine import ijk_to_xyz_mm, xyz_mm_to_ijk
from neuronat.space.reading import hash_of_scan, read_scan
from neuronat.space.scan import ReadOptions

DATA = Path(os.environ.get("NEURONAT_DATA", "/nowhere"))
TURN = np.deg2rad(12)
AFFINE = np.array(
    [
        [0, 0, -1.25, 30],
        [np.cos(TURN), -0.875 * np.sin(TURN), 0, -20],
        [np.sin(TURN), 0.875 * np.cos(TURN), 0, 11],
        [0, 0, 0, 1],
    ]
)
"""Sagittal slices of 1 x 0.875 mm, 1.25 mm apart, tilted by 12 degrees."""


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(6).permutation(44 * 52 * 60).reshape(44, 52, 60).astype(np.int16)


def test_every_voxel_of_a_series_keeps_its_place_in_the_world(dicom_writer, tmp_path: Path, values: np.ndarray):
    scan = read_scan(dicom_writer(tmp_path / "study", values, AFFINE))
    ijk = np.array([[3, 7, 11], [40, 0, 59], [20, 51, 0]])
    found = np.rint(xyz_mm_to_ijk(scan.volume.affine, ijk_to_xyz_mm(AFFINE, ijk))).astype(int)
    np.testing.assert_array_equal(scan.volume.values[tuple(found.T)], values[tuple(ijk.T)])
    assert (scan.name, scan.file_format) == ("study", "DICOM")
    assert scan.notes[0] == "DICOM series 7 (t1 mprage, 60 images) of 1 series was taken"


def test_errors_of_the_image_bear_the_name_of_the_folder(dicom_writer, tmp_path: Path, values: np.ndarray):
    thin = dicom_writer(tmp_path / "thin", values[:, :, :8], AFFINE)
    with pytest.raises(UnusableInputError, match=r"^thin: [^:]*: field of view too small"):
        read_scan(thin)
    with pytest.raises((GridError, UnusableInputError), match=r"^flat: every voxel is 0: no contrast"):
        read_scan(dicom_writer(tmp_path / "flat", 0 * values, AFFINE))


def test_the_hash_is_that_of_the_series_whatever_its_files_are_called(dicom_writer, tmp_path: Path, values: np.ndarray):
    small = values[:, :, :4]
    first = hash_of_scan(dicom_writer(tmp_path / "first", small, AFFINE))
    second = dicom_writer(tmp_path / "second" / "deep", small, AFFINE, name="{:02d}.ima")
    for number, path in enumerate(sorted(second.iterdir())):
        path.rename(second / f"{9 - number}.ima")  # in the opposite order
    other = dicom_writer(tmp_path / "second", small, AFFINE, SeriesInstanceUID="1.2.9", SeriesDescription="t2")
    assert hash_of_scan(other) == first
    (second / "9.ima").write_bytes((second / "9.ima").read_bytes()[:-2] + b"\x01\x01")
    assert hash_of_scan(other) != first
    assert hash_of_scan(other, ReadOptions(series="1.2.9")) != first


def test_a_series_is_chosen_in_dicom_folders_only(tmp_path: Path):
    (tmp_path / "scan.nii").write_bytes(b"1234")
    for path in (tmp_path, tmp_path / "scan.nii"):
        with pytest.raises(UsageError, match="holds no DICOM series to choose from; leave out --series"):
            read_scan(path, ReadOptions(series="1"))


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path):
    for read in (read_scan, hash_of_scan):
        with pytest.raises(MissingInputError, match="looked for NIfTI and MGZ images and DICOM files in it, found 0"):
            read(tmp_path)


@pytest.mark.data
def test_a_real_series_becomes_a_scan():
    folder = DATA / "heads" / "philips" / "dicom"
    if not folder.is_dir():
        pytest.skip("NEURONAT_DATA holds no heads/philips/dicom")
    scan = read_scan(folder)
    assert scan.volume.values.shape == (170, 256, 256)
    assert (scan.warnings, scan.notes) == (
        (),
        ("DICOM series 1301 (ADNI Sag3D MPRAGE, 170 images) of 1 series was taken",),
    )
    stripped = read_scan(folder.parent / "brain.nii.gz")
    inside = np.argwhere(stripped.volume.values > 0)[::5000]
    places = np.rint(xyz_mm_to_ijk(scan.volume.affine, ijk_to_xyz_mm(stripped.volume.affine, inside))).astype(int)
    pairs = scan.volume.values[tuple(places.T)], stripped.volume.values[tuple(inside.T)]
    assert np.corrcoef(*pairs)[0, 1] > 0.9


def test_the_hash_of_a_pair_is_that_of_both_files_whichever_is_named(tmp_path: Path, values: np.ndarray):
    nibabel.Nifti1Pair(values, AFFINE).to_filename(tmp_path / "a.img")
    first = hash_of_scan(tmp_path / "a.hdr")
    assert hash_of_scan(tmp_path / "a.img") == first
    for changed in (
        nibabel.Nifti1Pair(values[::-1], AFFINE),
        nibabel.Nifti1Pair(values, AFFINE @ np.diag([-1, 1, 1, 1])),
    ):
        changed.to_filename(tmp_path / "a.img")
        assert hash_of_scan(tmp_path / "a.hdr") == hash_of_scan(tmp_path / "a.img") != first
