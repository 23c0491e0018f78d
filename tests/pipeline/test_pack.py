"""Results of a scan in one file."""

import zipfile
from pathlib import Path

import pytest

from neuronat.errors import MissingInputError, OutputError
from neuronat.pipeline.pack import pack_path, read_result_file, write_pack


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "loose").mkdir()
    paths = [tmp_path / "loose" / name for name in ("s_seg-p_volumes.tsv", "s_seg-p_dseg.nii.gz")]
    paths[0].write_text("index\tname\n" * 1000)
    paths[1].write_bytes(bytes(range(256)) * 40)
    return paths


def test_a_pack_holds_every_file_and_is_the_same_each_time(files: list[Path], tmp_path: Path):
    packs = [pack_path(tmp_path, stem) for stem in "ab"]
    for pack in packs:
        write_pack(pack, files)
    assert packs[0].read_bytes() == packs[1].read_bytes()
    with zipfile.ZipFile(packs[0]) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == {p.name: p.read_bytes() for p in files}
        assert [entry.compress_type for entry in opened.infolist()] == [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]


def test_a_text_is_read_from_the_folder_or_from_the_pack(files: list[Path], tmp_path: Path):
    name = files[0].name
    write_pack(pack_path(tmp_path, "s"), files)
    assert read_result_file(tmp_path, "s", name) == read_result_file(tmp_path / "loose", "s", name)


def test_what_is_not_there_or_damaged_is_an_error(files: list[Path], tmp_path: Path):
    with pytest.raises(MissingInputError, match="No such file"):
        read_result_file(tmp_path, "s", "x.tsv")
    pack = pack_path(tmp_path, "s")
    write_pack(pack, files)
    with pytest.raises(MissingInputError, match=r"x\.tsv: cannot be read"):
        read_result_file(tmp_path, "s", "x.tsv")
    whole = bytearray(pack.read_bytes())
    whole[len(files[0].name) + 70] ^= 255
    pack.write_bytes(whole)
    with pytest.raises(MissingInputError, match="cannot be read"):
        read_result_file(tmp_path, "s", files[0].name)
    pack.write_bytes(whole[:500])
    with pytest.raises(MissingInputError, match="cannot be read"):
        read_result_file(tmp_path, "s", files[0].name)


def test_a_pack_that_cannot_be_written_leaves_nothing(files: list[Path], tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_pack(tmp_path / "file" / "s_results.zip", files)
    files[1].unlink()
    with pytest.raises(OutputError, match="No such file"):
        write_pack(pack_path(tmp_path, "s"), files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loose"]
