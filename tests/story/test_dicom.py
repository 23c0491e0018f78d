"""A DICOM folder as it comes from a hospital, through the command line."""

import json
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("swift_pipeline")

SECRETS = ("winterbottom", "ermintrude", "mrn0815", "1901", "20200102", "nowhere")
AFFINE = np.diag([-1.0, 1.0, 1.0, 1.0])


def values(phantom) -> np.ndarray:
    return np.rint(phantom[0].values).astype(np.int16)


@pytest.fixture
def session(dicom_writer, phantom, tmp_path: Path) -> Path:
    """A T1 of the phantom without suffixes, a T2, a sheet of paper and a stray image file, all in one folder."""
    folder = dicom_writer(tmp_path / "visit 1", values(phantom), AFFINE, name="IM_{:03d}")
    other = {"SeriesDescription": "t2_tse", "SeriesNumber": 8, "SeriesInstanceUID": "1.2.3.8"}
    dicom_writer(folder / "sub", values(phantom)[:, :, ::-1], AFFINE, name="I.{}", **other)
    (folder / "README.txt").write_text("Winterbottom's scan")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(30))
    return folder


def segment(run, model: Path, *arguments: object):
    return run("segment", *arguments, "--model", model, "--force", "--no-crf", "--quiet", "--device", "cpu")


def test_row_51_the_t1_of_a_folder_is_segmented_on_its_own_grid(
    run, untrained_folder: Path, session: Path, tmp_path: Path
):
    done = segment(run, untrained_folder, session, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    labels = nibabel.load(tmp_path / "out" / "visit 1_seg-deepnat25_dseg.nii.gz")
    assert sorted(labels.shape) == [40, 48, 56]
    sidecar = json.loads((tmp_path / "out" / "visit 1_seg-deepnat25_dseg.json").read_text())
    assert sidecar["Sources"] == ["visit 1"]
    assert "DICOM series 7 (t1 mprage, 56 images) of 2 series was taken" in sidecar["Warnings"]
    again = segment(run, untrained_folder, session, "-o", tmp_path / "out")
    assert again.stdout.startswith("visit 1: already done and verified")
    other = segment(run, untrained_folder, session, "-o", tmp_path / "out", "--series", "1.2.3.8")
    assert (other.exit_code, "inputs visit 1: " in other.stderr) == (2, True)


def test_nothing_tells_who_the_patient_is(run, untrained_folder: Path, session: Path, tmp_path: Path):
    out = tmp_path / "out"
    shown = run("segment", session, "-o", out, "--model", untrained_folder, "--force", "--no-crf", "--probabilities")
    checked = run("check", session, "--force", "--json")
    refused = run("segment", session, "-o", out, "--series", "99")
    (session / "IM_009").unlink()
    broken = run("segment", session, "-o", out)
    assert [done.exit_code for done in (shown, checked, refused, broken)] == [0, 0, 2, 65]
    texts = [done.output.lower() for done in (shown, checked, refused, broken)]
    texts += [path.name.lower() for path in out.iterdir()]
    for path in out.iterdir():
        if path.suffix == ".gz":
            image = nibabel.load(path)
            texts.append(bytes(image.header.binaryblock).decode("latin-1").lower())
            assert len(image.header.extensions) == 0
        else:
            texts.append(path.read_text().lower())
    for log in Path.home().rglob("*.log"):
        texts.append(log.read_text().lower())
    assert len(texts) > 12
    assert [(secret, text) for secret in SECRETS for text in texts if secret in text] == []


def test_row_51_several_t1_series_are_listed_and_one_can_be_chosen(
    run, dicom_writer, phantom, untrained_folder: Path, session: Path, tmp_path: Path
):
    dicom_writer(session, values(phantom), AFFINE, name="B{}", SeriesNumber=9, SeriesInstanceUID="1.2.3.9")
    done = segment(run, untrained_folder, session, "-o", tmp_path / "out")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(
        "neuronat: visit 1: 3 series, 2 of them T1-weighted 3D by their headers: 7 (t1 mprage, "
    )
    assert run("check", session).exit_code == 2
    assert not (tmp_path / "out").exists()
    chosen = segment(run, untrained_folder, session, "-o", tmp_path / "out", "--series", "1.2.3.9")
    assert chosen.exit_code == 0, chosen.stderr


def test_row_52_missing_slices_are_refused_and_leave_nothing(
    run, untrained_folder: Path, session: Path, tmp_path: Path
):
    (session / "IM_020").unlink()
    done = run("segment", session, "-o", tmp_path / "out", "--model", untrained_folder)
    assert (done.exit_code, done.stderr.count("\n")) == (65, 1)
    assert "1 slices are missing (gaps of 2 mm, usual are 1)" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_and_a_file_that_would_share_a_name_are_refused(run, session: Path, tmp_path: Path):
    shutil.copy(session / "IM_001", tmp_path / "visit 1.dcm")
    done = run("segment", session, tmp_path / "visit 1.dcm", "-o", tmp_path / "out")
    assert (done.exit_code, "would share the name visit 1" in done.stderr) == (2, True)


def test_row_47_nothing_is_written_into_the_folder_of_a_scan(run, session: Path):
    for out in (session, session / "out"):
        done = run("segment", session, "-o", out)
        assert (done.exit_code, "outputs would lie inside the folder of the scan" in done.stderr) == (2, True)
    assert not (session / "out").exists()


def test_one_file_of_a_series_points_to_its_folder(run, session: Path):
    done = run("check", session / "IM_001")
    assert (done.exit_code, "one file of a DICOM series; give its folder" in done.stderr) == (65, True)


@pytest.mark.parametrize("package", ["pydicom", "dcm2niix"])
def test_without_the_extra_there_is_one_line_and_69(run, session: Path, monkeypatch: pytest.MonkeyPatch, package: str):
    monkeypatch.setitem(sys.modules, package, None)
    done = run("check", session)
    assert (done.exit_code, done.stderr.count("\n")) == (69, 1)
    assert "pip install 'neuronat[dicom]'" in done.stderr


def test_a_viewer_shows_labels_over_the_series_they_were_made_from(
    run, untrained_folder: Path, session: Path, phantom, tmp_path: Path, monkeypatch
):
    assert segment(run, untrained_folder, session, "-o", tmp_path / "out").exit_code == 0
    shown = {}

    def look(server):
        (result,) = server.show.results
        path = server.show.files[result["background"]["address"]]
        shown.update(name=path.name, values=np.asarray(nibabel.load(path).dataobj), folder=path.parent)

    monkeypatch.setattr("neuronat.report.serve.ViewerServer.serve_forever", look)
    done = run("view", tmp_path / "out", "--scan", session, "--no-browser")
    assert done.exit_code == 0, done.stderr
    assert shown["name"] == "visit 1.nii.gz"
    assert sorted(shown["values"].shape) == [40, 48, 56]
    assert shown["values"].sum() == values(phantom).sum()
    assert not shown["folder"].exists(), "what was converted goes when the viewer ends"
    done = run("view", tmp_path / "out", "--scan", session, "--series", "99", "--no-browser")
    assert (done.exit_code, "2 series, 0 of them called 99" in done.stderr) == (2, True)
