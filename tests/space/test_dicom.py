import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import UnavailableError, UnusableInputError, UsageError
from neuronat.space.dicom import _only_image, choose_series, converted, require_neutral_name
from neuronat.space.series import list_series

AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])
VALUES = np.arange(10 * 12 * 14, dtype=np.int16).reshape(10, 12, 14)


@pytest.fixture
def session(dicom_writer, tmp_path: Path) -> Path:
    """A folder with a localizer, a T1 and a T2."""
    folder = tmp_path / "session"
    for number, text, kind in ((1, "localizer", "2D"), (2, "t1_mprage", "3D"), (3, "t2_space", "3D")):
        tags = {"SeriesDescription": text, "MRAcquisitionType": kind, "SeriesInstanceUID": f"1.2.{number}"}
        dicom_writer(folder, VALUES, AFFINE, name=f"{number}_{{}}", SeriesNumber=number, **tags)
    return folder


def test_the_one_t1_is_taken_and_said(session: Path):
    choice = choose_series(list_series(session), None)
    assert choice.series.uid == "1.2.2"
    assert (choice.note, choice.faults) == ("DICOM series 2 (t1 mprage, 14 images) of 3 series was taken", ())


def test_a_series_can_be_chosen_by_uid_or_number(session: Path):
    found = list_series(session)
    assert [choose_series(found, wanted).series.number for wanted in ("1.2.3", "3", "1.2.1")] == [3, 3, 1]


def test_several_or_no_t1_are_listed(session: Path, dicom_writer):
    dicom_writer(session, VALUES, AFFINE, name="4_{}", SeriesNumber=4, SeriesInstanceUID="1.2.4")
    with pytest.raises(UsageError, match=r"^4 series, 2 of them T1-weighted 3D by their headers: 1 \(localizer, .*"):
        choose_series(list_series(session), None)
    others = tuple(series for series in list_series(session) if not series.is_t1)
    with pytest.raises(UsageError, match=r"2 series, 0 .*; 3 \(t2 space, T2, 3D, 14 images, 1.2.3\); choose one with"):
        choose_series(others, None)
    with pytest.raises(UsageError, match="4 series, 0 of them called 9: 1"):
        choose_series(list_series(session), "9")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Modality": "CT"}, "its modality is CT, not MR"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "it was derived from other images"),
        ({"BurnedInAnnotation": "YES"}, "its images carry burned-in text"),
    ],
)
def test_what_is_no_scan_is_refused_even_when_wanted_unless_forced(dicom_writer, tmp_path: Path, tags, words):
    dicom_writer(tmp_path, VALUES, AFFINE, **tags)
    found = list_series(tmp_path)
    with pytest.raises(UnusableInputError, match=f"series 7 cannot be used: {words}"):
        choose_series(found, "7")
    assert words in choose_series(found, "7", force=True).faults[0]


def test_missing_slices_are_refused(session: Path):
    (session / "2_5").unlink()
    with pytest.raises(UnusableInputError, match=r"1 slices are missing .*; image 5 of 14 is missing; export it again"):
        choose_series(list_series(session), None)


def test_the_converted_image_vanishes(session: Path):
    with converted(choose_series(list_series(session), None), session) as (image, said):
        assert image.name == "session"
        assert image.stat().st_size == 352 + 2 * VALUES.size
        assert image.parent.parent.stat().st_mode & 0o077 == 0
        assert said == ()
    assert not image.parent.parent.exists()


def test_what_dcm2niix_says_against_the_series_is_heard(session: Path, monkeypatch: pytest.MonkeyPatch):
    choice = choose_series(list_series(session), None)
    real = subprocess.run

    def complaining(*arguments, **options):
        done = real(*arguments, **options)
        assert isinstance(arguments[0], list)
        assert not options.get("shell")
        done.stdout += b"Warning: Interslice distance varies in " + os.fsencode(session) + b"/x\n"
        done.stderr += b"Warning: odd thing for Winterbottom\n"
        return done

    monkeypatch.setattr(subprocess, "run", complaining)
    with (
        pytest.raises(UnusableInputError, match=r"dcm2niix: Interslice distance varies in a file\); export it"),
        converted(choice, session),
    ):
        pass
    with converted(choice, session, force=True) as (_, said):
        assert said == ("dcm2niix: Interslice distance varies in a file", "dcm2niix: odd thing for ...")


def test_what_dcm2niix_cannot_convert_is_refused(session: Path):
    for path in session.glob("2_*"):
        path.write_bytes(path.read_bytes()[: -VALUES[:, :, 0].nbytes // 2])
    with (
        pytest.raises(UnusableInputError, match="session: the series became 0 images"),
        converted(choose_series(list_series(session), None), session),
    ):
        pass


def test_a_folder_called_after_the_patient_is_refused_without_saying_the_name(dicom_writer, tmp_path: Path):
    for name in ("WINTERBOTTOM_2020", "x-ermintrude"):
        folder = dicom_writer(tmp_path / name, VALUES, AFFINE)
        with pytest.raises(UsageError, match="rename the folder") as caught:
            require_neutral_name(folder, list_series(folder))
        assert name not in str(caught.value)
    for name, patient in (("phantom1", "Phantom^QA"), ("R571", "d2n_R571"), ("dicom", "Winterbottom"), ("b", "Al^B")):
        folder = dicom_writer(tmp_path / name, VALUES, AFFINE, PatientName=patient)
        require_neutral_name(folder, list_series(folder))


def test_without_dcm2niix_one_line_says_what_to_install(session: Path, monkeypatch: pytest.MonkeyPatch):
    choice = choose_series(list_series(session), None)
    monkeypatch.setitem(sys.modules, "dcm2niix", None)
    with pytest.raises(UnavailableError, match=r"session: .*extra `dicom`"), converted(choice, session):
        pass


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["scan.nii", "scan_ph.nii"], None),
        (["scan_e1.nii", "scan_e2.nii"], "became 2 images.*: one per echo; convert it with dcm2niix, and give one"),
        (["scan.nii", "scana.nii"], "became 2 images.*; export it again, or convert it with dcm2niix"),
        ([], "became 0 images"),
    ],
)
def test_of_a_series_with_phases_the_magnitude_is_taken_and_echoes_are_named(
    tmp_path: Path, names: list[str], said: str
):
    for name in names:
        (tmp_path / name).touch()
    if said is None:
        assert _only_image(tmp_path, (), force=False).name == "scan.nii"
    else:
        with pytest.raises(UnusableInputError, match=said):
            _only_image(tmp_path, (), force=False)
