import errno
import os
import stat
from pathlib import Path

import pytest

from neuronat.errors import MissingInputError, OutputError, ShapeError
from neuronat.record import (
    Marker,
    broken_outputs,
    differences,
    make_folder,
    marker_path,
    read_marker,
    remove_leftovers,
    sha256_of,
    shown_name,
    stem_of,
    temporary_name,
    write_bytes,
    write_marker,
    write_text,
    write_whole,
    zip_entry,
)

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def make_marker(**changes: object) -> Marker:
    fields = {
        "version": "0.1.0",
        "inputs": {"scan.nii.gz": ABC_SHA256},
        "models": {"deepnat": EMPTY_SHA256},
        "settings": {"crf": True, "protocols": ["deepnat25"]},
        "outputs": {"a.txt": ABC_SHA256},
    }
    return Marker(**{**fields, **changes})


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("sub-01_desc-brain_T1w.nii.gz", "sub-01"),
        ("sub-01_ses-a_acq-x_run-1_T1w.nii", "sub-01_ses-a_acq-x_run-1"),
        ("sub-01_space-MNI_res-2_label-GM_seg-x_T1w.mgz", "sub-01"),
        ("sub-01_desc-brain.nii.gz", "sub-01"),
        ("sub-01.NII.GZ", "sub-01"),
        ("sub-01_T1w_brain.nii.gz", "sub-01_T1w_brain"),
        ("ses-a_T1w.nii.gz", "ses-a_T1w"),
        ("T1w.nii.gz", "T1w"),
        ("my scan.v2.hdr", "my scan.v2"),
        ("a.img.gz", "a"),
        ("brain.nii.gz", "brain"),
        (".nii.gz", ".nii.gz"),
    ],
)
def test_the_stem_keeps_who_and_when_of_a_bids_name_and_all_of_another(tmp_path, name, stem):
    assert stem_of(tmp_path / name) == stem


def test_a_folder_without_a_name_of_its_own_is_called_by_where_it_leads(tmp_path, monkeypatch):
    (tmp_path / "session" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "session" / "inner")
    assert [stem_of(Path(name)) for name in (".", "..", "../inner")] == ["inner", "session", "inner"]


def test_equal_files_make_equal_entries_of_a_zip_file():
    entry = zip_entry("folder/a.txt")
    assert (entry.filename, entry.date_time) == ("folder/a.txt", (1980, 1, 1, 0, 0, 0))
    assert stat.filemode(entry.external_attr >> 16) == "?rw-r--r--"


def test_a_name_for_a_message_stays_on_one_line(tmp_path):
    assert shown_name(tmp_path / "a\nb\tc é") == "a\\nb\\tc é"
    assert shown_name(tmp_path / os.fsdecode(b"x\xff")) == "x\\udcff"


def test_the_hash_is_that_of_the_bytes(tmp_path):
    write_text(tmp_path / "a", "abc")
    write_bytes(tmp_path / "b", b"")
    assert sha256_of(tmp_path / "a") == ABC_SHA256
    assert sha256_of(tmp_path / "b") == EMPTY_SHA256
    with pytest.raises(MissingInputError, match=r"c: cannot be read \(No such file"):
        sha256_of(tmp_path / "c")


def test_a_file_is_written_whole_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "deep" / "folder" / "a.txt"
    for content in ("first", "second"):
        write_text(path, content)
        assert path.read_text() == content
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_link_is_replaced_and_never_written_through(tmp_path):
    write_text(tmp_path / "target", "precious")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "precious"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError, ShapeError])
def test_whatever_stops_the_writing_leaves_the_old_file_and_no_other(tmp_path, stop):
    write_text(tmp_path / "a.txt", "old")

    def write(stream):
        stream.write(b"half")
        raise stop

    with pytest.raises(stop, match=r"^$"):
        write_whole(tmp_path / "a.txt", write)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_file_is_verified_under_its_temporary_name_before_it_gets_its_own(tmp_path):
    seen = []

    def verify(temporary):
        seen.append((temporary.read_bytes(), temporary.name.startswith(".neuronat-a-"), (tmp_path / "a").exists()))
        raise OutputError("wrong")

    with pytest.raises(OutputError, match=r"^wrong$"):
        write_whole(tmp_path / "a", lambda stream: stream.write(b"abc") and None, verify)
    assert seen == [(b"abc", True, False)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path, monkeypatch, code):
    def refuse(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("neuronat.record.os.fsync", refuse)
    with pytest.raises(OutputError, match=rf"^a: cannot be written \({os.strerror(code)}\); free space"):
        write_text(tmp_path / "a", "abc")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_cannot_be_written_to(tmp_path):
    write_text(tmp_path / "a", "abc")
    with pytest.raises(OutputError, match=r"^b: cannot be written \("):
        write_text(tmp_path / "a" / "b", "abc")
    with pytest.raises(OutputError, match=r"^b: cannot be written \("):
        make_folder(tmp_path / "a" / "b")


def test_a_folder_is_made_and_left_empty(tmp_path):
    make_folder(tmp_path / "x" / "y")
    make_folder(tmp_path / "x" / "y")
    assert list((tmp_path / "x" / "y").iterdir()) == []


def test_a_marker_comes_back_from_the_disk(tmp_path):
    marker = make_marker(notes={"warnings": ["ä"], "Forced": True})
    path = marker_path(tmp_path, "sub-01")
    assert path == tmp_path / "sub-01_done.json"
    write_marker(path, marker)
    assert read_marker(path) == marker
    assert "ä" in path.read_text(encoding="utf-8"), "people read it, too"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 1}', "null"])
def test_a_marker_that_is_not_whole_is_none(tmp_path, content):
    path = tmp_path / "done.json"
    assert read_marker(path) is None
    path.write_text(content)
    assert read_marker(path) is None
    write_marker(path, make_marker(outputs=["a.txt"]))
    assert read_marker(path) is None


def test_equal_work_has_no_differences():
    other = make_marker(outputs={}, notes={"seconds": 3}, settings={"protocols": ("deepnat25",), "crf": True})
    assert differences(make_marker(), other) == ()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"version": "0.2.0"}, "version: 0.1.0 there, 0.2.0 wanted"),
        ({"settings": {"crf": False, "protocols": ["deepnat25"]}}, "settings crf: True there, False wanted"),
        ({"inputs": {"scan.nii.gz": EMPTY_SHA256}}, "inputs scan.nii.gz: ba7816bf8f01 there, e3b0c44298fc wanted"),
        ({"models": {}}, "models deepnat: e3b0c44298fc there, nothing wanted"),
    ],
)
def test_each_difference_is_one_line(changes, line):
    assert differences(make_marker(), make_marker(**changes)) == (line,)


def test_outputs_that_are_gone_or_changed_are_broken(tmp_path):
    marker = make_marker(outputs={"a.txt": ABC_SHA256, "b.txt": ABC_SHA256, "c.txt": ABC_SHA256})
    write_text(tmp_path / "a.txt", "abc")
    write_text(tmp_path / "b.txt", "abd")
    assert broken_outputs(marker, tmp_path) == ("b.txt", "c.txt")


def test_leftovers_of_a_name_are_removed_and_nobody_elses(tmp_path):
    ours = [tmp_path / temporary_name("sub-01"), tmp_path / temporary_name("sub-01_done.json")]
    others = [tmp_path / temporary_name("sub-01_run-1"), tmp_path / "sub-01", tmp_path / ".neuronat-sub-01.lock"]
    for path in (*ours[1:], *others):
        path.write_text("half")
    ours[0].mkdir()
    (ours[0] / "image").write_text("half")
    remove_leftovers(tmp_path, {"sub-01", "sub-01_done.json"})
    assert sorted(tmp_path.iterdir()) == sorted(others)
    remove_leftovers(tmp_path / "none", {"sub-01"})


def test_a_temporary_name_is_never_too_long_and_its_leftovers_are_still_found(tmp_path):
    path = tmp_path / temporary_name("x" * 250)
    path.write_text("half")
    remove_leftovers(tmp_path, {"x" * 250})
    assert list(tmp_path.iterdir()) == []
