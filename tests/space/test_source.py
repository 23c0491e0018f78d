import numpy as np
import pytest

from neuronat.errors import MissingInputError, UnusableInputError
from neuronat.space.files import read_volume
from neuronat.space.source import foreign_type, partner_of, require_file


def test_a_missing_file_is_named_with_near_names(nifti, tmp_path):
    nifti("sub-01_T1w.nii.gz")
    with pytest.raises(MissingInputError, match=r"^sub-01_T1.nii.gz: not found; did you mean sub-01_T1w.nii.gz\?"):
        read_volume(tmp_path / "sub-01_T1.nii.gz")


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(MissingInputError, match="not found; its folder does not exist either"):
        read_volume(tmp_path / "nowhere" / "scan.nii")


def test_a_folder_says_what_it_holds(nifti, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MissingInputError, match="looked for NIfTI and MGZ images and DICOM files in it, found 0"):
        read_volume(empty)
    nifti("a.nii")
    with pytest.raises(MissingInputError, match=r"is a folder with 1 images \(such as a.nii\); name the file"):
        read_volume(tmp_path)


def test_an_empty_file_is_unusable(tmp_path):
    (tmp_path / "scan.nii.gz").touch()
    with pytest.raises(UnusableInputError, match=r"scan.nii.gz: empty file \(0 bytes\)"):
        read_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize(
    "pointer",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        b"/annex/objects/MD5E-s123--abc.nii.gz\n",
    ],
)
def test_a_pointer_tells_to_download_the_content(tmp_path, pointer):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(pointer)
    with pytest.raises(MissingInputError, match=r"content was not downloaded.*run `datalad get`"):
        read_volume(path)


def test_a_link_that_leads_nowhere_tells_to_download_the_content(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.symlink_to("../.git/annex/objects/xx/yy/MD5E")
    with pytest.raises(MissingInputError, match="link that leads nowhere; the content was not downloaded"):
        read_volume(path)


def test_what_is_no_ordinary_file_is_unusable():
    from pathlib import Path

    with pytest.raises(UnusableInputError, match="is not an ordinary file"):
        require_file(Path("/dev/null"))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"%PDF-1.7 ...", "a PDF"),
        (b"PK\x03\x04" + bytes(600), "a zip archive; unpack it, and if it holds DICOM"),
        (b"just some words\n", "text"),
        (b"<html><body>404</body></html>", "XML, HTML or JSON text"),
        (bytes(128) + b"DICM" + bytes(400), "one file of a DICOM series"),
        (bytes(257) + b"ustar" + bytes(400), "a tar archive"),
        (bytes(range(256)) * 3, "of an unknown type"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, name):
    assert foreign_type(content).startswith(name)
    path = tmp_path / "scan.nii"
    path.write_bytes(content)
    with pytest.raises(UnusableInputError, match=f"scan.nii: is no NIfTI or MGZ image but {name}"):
        read_volume(path)


def test_the_partner_of_a_pair_may_be_compressed(tmp_path):
    for name in ("a.hdr", "a.img.gz"):
        (tmp_path / name).touch()
    assert partner_of(tmp_path / "a.hdr", ".img") == tmp_path / "a.img.gz"
    assert partner_of(tmp_path / "a.img.gz", ".hdr") == tmp_path / "a.hdr"
    with pytest.raises(MissingInputError, match=r"belongs to a pair, and b.img is not beside it"):
        partner_of(tmp_path / "b.hdr", ".img")


@pytest.mark.parametrize("name", ["a b.nii.gz", "-x.nii.gz", "naïve 'q\".nii.gz", "two\nlines.nii.gz", "日本.nii.gz"])
def test_odd_names_work_and_errors_stay_on_one_line(nifti, tmp_path, name, grey):
    scan = read_volume(nifti(name))
    np.testing.assert_array_equal(scan.volume.values, grey)
    assert "\n" not in scan.name
    with pytest.raises(MissingInputError, match="not found") as caught:
        read_volume(tmp_path / ("no" + name))
    assert "\n" not in str(caught.value)
