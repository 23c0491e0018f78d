import sys
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import MissingInputError, UnavailableError
from neuronat.space.series import dicom_files, list_series

AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])
VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def test_a_series_is_known_by_its_header_not_by_its_name(dicom_writer, tmp_path: Path):
    dicom_writer(tmp_path / "a" / "b", VALUES, AFFINE, name="{}")
    (tmp_path / "notes.dcm").write_text("no DICOM at all")
    (tmp_path / "scan.nii").write_bytes(bytes(400))
    (series,) = list_series(tmp_path)
    assert (series.number, series.n_slices, series.contrast, series.is_3d, series.is_t1) == (7, 6, "T1", True, True)
    assert sorted(image.path.name for image in series.images) == list("123456")
    assert series.images[1].positions == ((0.0, 0.0, 3.0),)
    assert series.images[0].orientation == (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def test_only_words_that_scanners_speak_are_shown(dicom_writer, tmp_path: Path):
    dicom_writer(tmp_path, VALUES, AFFINE, SeriesDescription="Winterbottom 3D T1w MPRAGE p2 MRN0815")
    (series,) = list_series(tmp_path)
    assert series.words == "3D T1w MPRAGE p2"
    assert "interbottom" not in series.describe()
    assert series.name_words == {"winterbottom", "ermintrude"}


@pytest.mark.parametrize(
    ("tags", "contrast", "is_t1"),
    [
        ({"SeriesDescription": "t2_space"}, "T2", False),
        ({"SeriesDescription": "t1_tse", "MRAcquisitionType": "2D"}, "T1", False),
        ({"SeriesDescription": "t1", "MRAcquisitionType": ""}, "T1", False),
        ({"SeriesDescription": "ABC"}, "T1", True),
        ({"SeriesDescription": "ABC", "EchoTime": 20.0}, None, False),
        ({"SeriesDescription": "ABC", "ScanningSequence": "SE"}, None, False),
        ({"SeriesDescription": "ABC", "FlipAngle": 3.0}, None, False),
        ({"SeriesDescription": "ABC", "InversionTime": None}, None, False),
        ({"SeriesDescription": "ABC", "InversionTime": None, "RepetitionTime": 20.0}, "T1", True),
        ({"SeriesDescription": "ABC", "AcquisitionContrast": "FLUID_ATTENUATED"}, "FLAIR", False),
        ({"SeriesDescription": "ABC", "AcquisitionContrast": "UNKNOWN"}, "T1", True),
        ({"SeriesDescription": "ABC", "SequenceName": "*tse3d T2"}, "T2", False),
        ({"SeriesDescription": "ABC", "ProtocolName": "PD study, epilepsy"}, "T1", True),
        ({"SeriesDescription": "ABC", "ProtocolName": "t1_mprage", "ScanningSequence": "SE"}, "T1", True),
        ({"Modality": "CT"}, "T1", False),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "T1", False),
        ({"BurnedInAnnotation": "YES"}, "T1", False),
        ({"ImageType": ["DERIVED", "PRIMARY", "M"]}, "T1", True),
    ],
)
def test_what_counts_as_a_t1_weighted_3d_scan(dicom_writer, tmp_path: Path, tags: dict, contrast: str, is_t1: bool):
    dicom_writer(tmp_path, VALUES, AFFINE, **tags)
    (series,) = list_series(tmp_path)
    assert (series.contrast, series.is_t1) == (contrast, is_t1)


def test_many_slices_are_3d_where_the_header_does_not_say(dicom_writer, tmp_path: Path):
    dicom_writer(tmp_path, np.zeros((4, 5, 64), np.int16), AFFINE, MRAcquisitionType="")
    assert list_series(tmp_path)[0].is_t1


def test_a_file_that_is_there_twice_counts_once(dicom_writer, tmp_path: Path):
    dicom_writer(tmp_path / "one", VALUES, AFFINE)
    dicom_writer(tmp_path / "copy", VALUES, AFFINE)
    assert [series.n_slices for series in list_series(tmp_path)] == [6]


def test_series_come_by_number(dicom_writer, tmp_path: Path):
    for number in (12, 3):
        folder = tmp_path / str(number)
        dicom_writer(folder, VALUES, AFFINE, SeriesNumber=number, SeriesInstanceUID=f"1.2.{number}")
    assert [(series.number, series.uid) for series in list_series(tmp_path)] == [(3, "1.2.3"), (12, "1.2.12")]


def test_an_enhanced_file_holds_the_places_of_its_frames(dicom_writer, tmp_path: Path):
    pydicom = pytest.importorskip("pydicom")
    dicom_writer(tmp_path, VALUES[:, :, :1], AFFINE)
    path = next(tmp_path.iterdir())
    image = pydicom.dcmread(path)
    turned, frames = pydicom.Dataset(), []
    turned.ImageOrientationPatient = list(image.ImageOrientationPatient)
    shared = pydicom.Dataset()
    shared.PlaneOrientationSequence = [turned]
    for k in range(6):
        place, frame = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = [0.0, 0.0, 3.0 * k]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    del image.ImageOrientationPatient, image.ImagePositionPatient
    image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = [shared], frames
    image.NumberOfFrames, image.PixelData = 6, image.PixelData * 6
    image.save_as(path, enforce_file_format=True)
    (series,) = list_series(tmp_path)
    assert series.images[0].positions == tuple((0.0, 0.0, 3.0 * k) for k in range(6))
    assert series.images[0].orientation == (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def test_an_old_file_without_preamble_is_found_and_a_damaged_one_skipped(dicom_writer, tmp_path: Path):
    dicom_writer(tmp_path, VALUES, AFFINE)
    first, second, *_ = sorted(tmp_path.iterdir())
    content = first.read_bytes()
    start = content.index(b"\x08\x00\x08\x00CS")  # the image type, where the data set begins
    first.write_bytes(content[start:])
    second.write_bytes(second.read_bytes()[:140])
    assert len(list(dicom_files(tmp_path))) == 6
    assert list_series(tmp_path)[0].n_slices == 5


def test_a_folder_of_damaged_files_holds_no_image(dicom_writer, tmp_path: Path):
    dicom_writer(tmp_path, VALUES[:, :, :1], AFFINE)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:140])
    with pytest.raises(MissingInputError, match="none of them an image"):
        list_series(tmp_path)


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UnavailableError, match=r"need the extra `dicom`; pip install 'neuronat\[dicom\]'"):
        list_series(tmp_path)
