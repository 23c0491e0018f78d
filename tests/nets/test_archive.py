import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import MissingInputError, ModelError, OutputError
from neuronat.nets.archive import export_model, import_model
from neuronat.nets.store import load_model


@pytest.fixture
def members(untrained_folder: Path) -> dict[str, bytes]:
    """The content of an honest archive."""
    files = (path for path in untrained_folder.rglob("*") if path.is_file())
    return {f"untrained/{p.relative_to(untrained_folder).as_posix()}": p.read_bytes() for p in files}


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def require_nothing_left(folder: Path) -> None:
    assert [p.name for p in folder.iterdir() if p.suffix != ".zip"] == []


def test_a_model_travels_through_a_zip_file(untrained_folder: Path, tmp_path: Path):
    export_model(str(untrained_folder), tmp_path / "travel.zip")
    placed = import_model(tmp_path / "travel.zip", tmp_path / "models")
    assert placed == tmp_path / "models" / "untrained"
    for path in untrained_folder.rglob("*"):
        if path.is_file():
            found = (placed / path.relative_to(untrained_folder)).read_bytes()
            np.testing.assert_equal(found, path.read_bytes())
    assert load_model(placed).sha256 == load_model(untrained_folder).sha256


def test_the_same_model_gives_the_same_archive_and_an_archive_is_never_replaced(untrained_folder: Path, tmp_path: Path):
    for name in ("a.zip", "b.zip"):
        export_model(str(untrained_folder), tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with pytest.raises(OutputError, match=r"a\.zip exists already"):
        export_model(str(untrained_folder), tmp_path / "a.zip")


def test_a_folder_is_imported_under_the_name_on_its_card_and_other_files_stay_behind(
    untrained_folder: Path, tmp_path: Path
):
    source = Path(shutil.copytree(untrained_folder, tmp_path / "downloads"))
    (source / "run.py").write_text("raise SystemExit")
    placed = import_model(source, tmp_path / "models")
    assert placed.name == "untrained"
    assert not (placed / "run.py").exists()
    with pytest.raises(OutputError, match="untrained was imported before"):
        import_model(source, tmp_path / "models")


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil", "untrained/../../evil", "untrained/run.py", "labels/x.tsv/y"]
)
def test_names_that_a_model_does_not_hold_are_refused(members: dict[str, bytes], tmp_path: Path, name: str):
    path = write_zip(tmp_path / "bad.zip", members | {name: b"x"})
    with pytest.raises(ModelError, match=r"bad\.zip holds .*, which is no file of a model"):
        import_model(path, tmp_path)
    require_nothing_left(tmp_path)


def test_pickles_are_refused_by_name_and_inside_an_archive(tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"\x80\x02.")
    with pytest.raises(ModelError, match=r"model\.pt is a pickle by its name"):
        import_model(tmp_path / "model.pt", tmp_path)
    path = write_zip(tmp_path / "torch.zip", {"archive/data.pkl": b"\x80\x02."})
    with pytest.raises(ModelError, match=r"holds a pickle, 'archive/data.pkl', which could run code"):
        import_model(path, tmp_path)


def test_bombs_and_crowds_are_refused(members: dict[str, bytes], tmp_path: Path):
    bomb = members | {"untrained/labels/zero.tsv": bytes(2**21)}
    small = {"untrained/card.json": members["untrained/card.json"], "untrained/LICENSE": bytes(2**22)}
    crowd = members | {f"untrained/labels/{i}.tsv": b"" for i in range(100)}
    with pytest.raises(ModelError, match=r"claims .* bytes from .*; that is no model"):
        import_model(write_zip(tmp_path / "ratio.zip", small, zipfile.ZIP_DEFLATED), tmp_path)
    with pytest.raises(ModelError, match="holds 105 files; a model has at most 100"):
        import_model(write_zip(tmp_path / "crowd.zip", crowd), tmp_path)
    with pytest.raises(ModelError, match=r"zero\.tsv has 2097152 bytes; a model\'s may have"):
        import_model(write_zip(tmp_path / "bomb.zip", bomb, zipfile.ZIP_DEFLATED), tmp_path)
    require_nothing_left(tmp_path)


def test_a_file_that_the_sums_do_not_list_is_refused(members: dict[str, bytes], tmp_path: Path):
    path = write_zip(tmp_path / "more.zip", members | {"untrained/labels/more.tsv": b"index"})
    with pytest.raises(ModelError, match=r"SHA256SUMS does not list labels/more\.tsv"):
        import_model(path, tmp_path)
    require_nothing_left(tmp_path)


def test_links_in_archives_and_folders_are_refused(members: dict[str, bytes], untrained_folder: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as opened:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o120777 if name.endswith("LICENSE") else 0o100644) << 16
            opened.writestr(entry, content)
    with pytest.raises(ModelError, match=r"link\.zip holds a link"):
        import_model(tmp_path / "link.zip", tmp_path / "models")
    source = Path(shutil.copytree(untrained_folder, tmp_path / "linked"))
    (source / "LICENSE").rename(tmp_path / "outside")
    (source / "LICENSE").symlink_to(tmp_path / "outside")
    with pytest.raises(ModelError, match="LICENSE is a link"):
        import_model(source, tmp_path / "models")


def test_a_damaged_model_leaves_nothing_behind(members: dict[str, bytes], tmp_path: Path):
    members["untrained/LICENSE"] += b"!"
    with pytest.raises(ModelError, match="LICENSE is damaged"):
        import_model(write_zip(tmp_path / "damaged.zip", members), tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(40)])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.zip is no zip file"):
        import_model(tmp_path / "x.zip", tmp_path)
    with pytest.raises(MissingInputError, match=r"y\.zip: not found"):
        import_model(tmp_path / "y.zip", tmp_path)


def test_an_archive_cut_short_is_refused(members: dict[str, bytes], tmp_path: Path):
    path = write_zip(tmp_path / "cut.zip", members)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ModelError, match=r"cut\.zip is no zip file"):
        import_model(path, tmp_path)
