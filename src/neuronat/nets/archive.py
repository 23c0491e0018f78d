"""Models that travel: a folder or a zip file in, a zip file out.

There is one way in, whatever the source: only names that a model folder may hold, in bounded number and size,
read into memory, written to a temporary folder, verified there, renamed. Nothing from an archive is executed,
and no name from it is used as a path before it is known to be one of ours.
"""

import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from neuronat.errors import MissingInputError, ModelError, OutputError
from neuronat.nets.card import read_card
from neuronat.nets.folder import find_model, is_model_file, require_size, shipped_models, verified_contents
from neuronat.nets.store import place_model, read_model_card
from neuronat.record import shown_name, write_bytes, zip_entry

__all__ = ["export_model", "import_model"]

MAX_MEMBERS = 100
MAX_EXPANDED_BYTES = 2**30
MAX_RATIO = 200
PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".joblib")


def import_model(source: Path, models_folder: Path) -> Path:
    """Import a model from a zip file or a folder.

    Parameters
    ----------
    source : Path
        Zip file made by `export_model`, or a model folder.
    models_folder : Path
        Folder that models live in, one folder each; the new one is named as its card says.

    Returns
    -------
    Path
        The model's new folder.

    Raises
    ------
    MissingInputError
        If the source is not there.
    ModelError
        If it is no model, too large, damaged, a pickle, or named like a shipped model.
    OutputError
        If a model of that name is there already, or the folder cannot be written.

    Notes
    -----
    Source: ours (decision 0009).
    """
    if not source.exists():
        raise MissingInputError(f"{shown_name(source)}: not found; name a zip file or a folder of a model")
    contents = _folder_contents(source) if source.is_dir() else _archive_contents(source)
    name = _name_on_card(contents)
    if name in shipped_models():
        raise ModelError(f"a model called {name} comes with neuronat; the imported one needs another name")
    target = models_folder / name
    if target.exists():
        raise OutputError(f"a model called {name} was imported before; remove its folder first")
    place_model(contents, target)
    return target


def export_model(name: str, archive: Path) -> None:
    """Write a model as one zip file, uncompressed, in a folder of the model's name.

    Parameters
    ----------
    name : str
        Name or folder of the model.
    archive : Path
        The zip file to write; the same model gives the same bytes.

    Raises
    ------
    ModelError
        If the model is unknown or damaged.
    OutputError
        If the file exists already, or cannot be written.

    Notes
    -----
    Source: ours (decision 0009).
    """
    if archive.exists():
        raise OutputError(f"{shown_name(archive)} exists already; choose another file")
    contents = verified_contents(find_model(name))
    folder = read_model_card(name).name
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as opened:
        for member in sorted(contents):
            opened.writestr(zip_entry(f"{folder}/{member}"), contents[member])
    write_bytes(archive, stream.getvalue())


def _archive_contents(path: Path) -> dict[str, bytes]:
    """Read the files of a model from a zip file, checking every claim before and after reading."""
    if path.suffix.lower() in PICKLES:
        raise ModelError(f"{shown_name(path)} is a pickle by its name, which could run code; neuronat reads none")
    try:
        with zipfile.ZipFile(path) as opened:
            members = [entry for entry in opened.infolist() if not entry.is_dir()]
            _require_harmless(path, members)
            prefix = _common_folder(members)
            return {entry.filename.removeprefix(prefix): _member_bytes(opened, entry) for entry in members}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{shown_name(path)} is no zip file that can be read ({error})") from error


def _require_harmless(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise ModelError unless an archive claims only known names, each once, and few enough bytes."""
    shown = shown_name(path)
    if len(members) > MAX_MEMBERS:
        raise ModelError(f"{shown} holds {len(members)} files; a model has at most {MAX_MEMBERS}")
    prefix = _common_folder(members)
    names = [entry.filename.removeprefix(prefix) for entry in members]
    for name in names:
        if name.endswith(PICKLES):
            raise ModelError(f"{shown} holds a pickle, {name!r}, which could run code; neuronat reads none")
        if not is_model_file(name):
            raise ModelError(f"{shown} holds {name!r}, which is no file of a model")
    if len(set(names)) != len(names):
        raise ModelError(f"{shown} holds a file twice; it is no model that neuronat wrote")
    if any(stat.S_ISLNK(entry.external_attr >> 16) for entry in members):
        raise ModelError(f"{shown} holds a link; a model holds files only")
    expanded, packed = sum(e.file_size for e in members), sum(e.compress_size for e in members)
    if expanded > MAX_EXPANDED_BYTES or expanded > MAX_RATIO * max(packed, 1):
        raise ModelError(f"{shown} claims {expanded} bytes from {packed}; that is no model")


def _common_folder(members: list[zipfile.ZipInfo]) -> str:
    """Return the one folder, with `/`, that holds `card.json`; empty where it lies on top."""
    cards = [entry.filename for entry in members if entry.filename.rpartition("/")[2] == "card.json"]
    folder = cards[0].rpartition("/")[0] if cards else ""
    return f"{folder}/" if folder and "/" not in folder else ""


def _member_bytes(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read one member, never more than it claims."""
    require_size(entry.filename, entry.file_size)
    with opened.open(entry) as stream:
        content = stream.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise ModelError(f"{entry.filename!r} holds other than the {entry.file_size} bytes it claims")
    return content


def _folder_contents(folder: Path) -> dict[str, bytes]:
    """Read the files of a model from a folder; other files there stay behind, links are refused."""
    for path in folder.rglob("*"):
        if path.is_symlink() and is_model_file(path.relative_to(folder).as_posix()):
            raise ModelError(f"{shown_name(path)} is a link; a model holds files only")
    return verified_contents(folder)


def _name_on_card(contents: Mapping[str, bytes]) -> str:
    """Return the name that the card claims, checked to be a name and no path."""
    if "card.json" not in contents:
        raise ModelError("the archive holds no card.json; it is no model of neuronat")
    try:
        return read_card(contents["card.json"].decode("utf-8")).name
    except UnicodeDecodeError as error:
        raise ModelError("card.json is not UTF-8 text") from error
