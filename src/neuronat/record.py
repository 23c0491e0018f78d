"""Write files whole or not at all, and remember how they were made.

A file gets its final name only after its bytes are on the disk and have been read back. A **marker** is the
file written last of all; it holds the hashes of everything, and what has no marker is not done.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from neuronat.errors import MissingInputError, NeuronatError, OutputError

__all__ = [
    "DERIVATIVE_ENTITIES",
    "EXTENSIONS",
    "LONGEST_NAME",
    "Marker",
    "broken_outputs",
    "counted",
    "differences",
    "is_telling",
    "make_folder",
    "marker_path",
    "read_marker",
    "remove_leftovers",
    "sha256_of",
    "shown_name",
    "stem_of",
    "temporary_name",
    "write_bytes",
    "write_marker",
    "write_text",
    "write_whole",
    "zip_entry",
]

TEMPORARY_PREFIX = ".neuronat-"
LONGEST_NAME = 150
"""In bytes, so that what is made of a name is none too long for a file system."""
EXTENSIONS = re.compile(r"(\.nii|\.mgh|\.hdr|\.img)(\.gz)?$|\.mgz$|\.dcm$|\.zip$", re.IGNORECASE)
ENTITY = re.compile(r"([a-zA-Z]+)-([0-9a-zA-Z+]+)")
DERIVATIVE_ENTITIES = frozenset({"desc", "space", "res", "den", "seg", "label", "atlas"})


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts, which takes an s where it is not one.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> counted(1, "scan"), counted(0, "scan")
    ('1 scan', '0 scans')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shown_name(path: Path) -> str:
    r"""Return the file's own name, fit for a message of one line: what cannot be printed is escaped.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> shown_name(Path("folder/two\nlines é.nii"))
    'two\\nlines é.nii'
    """
    name = path.name or path.resolve().name or str(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def is_telling(name: str) -> bool:
    """Tell whether a name looks as if it told who was scanned when: a date, or seven digits and more.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> [is_telling(name) for name in ("sub-01_T1w.nii", "mri_2021-03-09.nii", "scan 20210309", "A12345678")]
    [False, True, True, True]
    """
    return bool(re.search(r"(19|20)\d\d[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)|\d{7}", name))


def stem_of(path: Path) -> str:
    """Return the stem that the outputs of a scan share.

    Of a BIDS name the entities stay, except those that describe a derivative (desc, space, res, ...); the
    suffix falls away. Any other name, that of a folder too, keeps its base name, without the extension.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> stem_of(Path("in/sub-01_ses-a_desc-brain_T1w.nii.gz"))
    'sub-01_ses-a'
    >>> stem_of(Path("in/my scan.v2.nii.gz"))
    'my scan.v2'
    """
    name = path.name if path.name not in ("", "..") else path.resolve().name
    base = EXTENSIONS.sub("", name) or name
    *parts, last = base.split("_")
    if ENTITY.fullmatch(last):
        parts.append(last)
    elif not re.fullmatch(r"[0-9a-zA-Z]+", last):
        return base
    entities = [ENTITY.fullmatch(part) for part in parts]
    if not parts or not parts[0].startswith("sub-") or not all(entities):
        return base
    kept = [part for part in parts if part.split("-")[0] not in DERIVATIVE_ENTITIES]
    return "_".join(kept)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits; MissingInputError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MissingInputError(f"{shown_name(path)}: cannot be read ({reason}); check path and permissions") from error
    return digest.hexdigest()


def make_folder(folder: Path) -> None:
    """Make `folder` with its parents, and show by writing that it can be written to.

    Raises
    ------
    OutputError
        If it cannot be made, or nothing can be written into it.

    Notes
    -----
    Source: ours.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _open_temporary(folder, "probe") as stream:
            Path(stream.name).unlink()
    except OSError as error:
        raise _output_error(folder, error) from error


def write_whole(path: Path, write: Callable[[BinaryIO], None], verify: Callable[[Path], None] | None = None) -> None:
    """Write a file so that it is there whole, or not at all.

    Parameters
    ----------
    path : Path
        Final name. Its folder is made if need be. A link is replaced, never written through.
    write : callable
        Takes the open binary file and writes into it.
    verify : callable, optional
        Takes the path of the temporary file, closed and synchronized; raises if its content is wrong.

    Raises
    ------
    OutputError
        If the system refuses (no space, no permission, ...). The temporary file is removed on any failure.

    Notes
    -----
    Source: ours.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open_temporary(path.parent, path.name) as stream:
            temporary = Path(stream.name)
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if verify is not None:
            verify(temporary)
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except NeuronatError:
        raise
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all (see `write_whole`)."""
    write_whole(path, lambda stream: _write_all(stream, content))


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all (see `write_whole`)."""
    write_bytes(path, content.encode("utf-8"))


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What was made from what: hashes of inputs, models and outputs by name, version and settings."""

    version: str
    inputs: Mapping[str, str]
    models: Mapping[str, str]
    settings: Mapping[str, Any]
    outputs: Mapping[str, str]
    notes: Mapping[str, Any] = field(default_factory=dict)


def marker_path(folder: Path, stem: str) -> Path:
    """Return where the marker of a scan lies, beside its results."""
    return folder / f"{stem}_done.json"


def write_marker(path: Path, marker: Marker) -> None:
    """Write a marker as JSON, whole or not at all; call it after every output is in place."""
    write_text(path, json.dumps(asdict(marker), indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_marker(path: Path) -> Marker | None:
    """Read a marker; None where there is none, or where it is not whole: then nothing is done."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        marker = Marker(**fields)
    except (OSError, ValueError, TypeError):
        return None
    parts = (marker.inputs, marker.models, marker.settings, marker.outputs)
    return marker if all(isinstance(part, dict) for part in parts) else None


def differences(marker: Marker, wanted: Marker) -> tuple[str, ...]:
    """Name what differs between a marker found and the work wanted (outputs and notes do not count).

    Returns
    -------
    tuple of str
        One line per difference, such as `settings crf: False there, True wanted`; empty where none.

    Notes
    -----
    Source: ours.
    """
    lines = []
    if marker.version != wanted.version:
        lines.append(f"version: {marker.version} there, {wanted.version} wanted")
    for part in ("inputs", "models", "settings"):
        there, asked = getattr(marker, part), json.loads(json.dumps(dict(getattr(wanted, part))))
        for key in sorted(there.keys() | asked.keys()):
            if there.get(key) != asked.get(key):
                lines.append(f"{part} {key}: {_short(there.get(key))} there, {_short(asked.get(key))} wanted")
    return tuple(lines)


def broken_outputs(marker: Marker, folder: Path) -> tuple[str, ...]:
    """Name the outputs of a marker that are missing from `folder`, or whose bytes have changed."""
    return tuple(
        name
        for name, digest in sorted(marker.outputs.items())
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    )


def zip_entry(name: str) -> zipfile.ZipInfo:
    """Return the entry of a file in a zip file: readable by all, and without a date, so that equal files stay equal."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    return entry


def temporary_name(name: str) -> str:
    """Return a name that nobody else uses for unfinished work that shall once be called `name`."""
    return f"{TEMPORARY_PREFIX}{_shortened(name)}-{secrets.token_hex(6)}.part"


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Remove what a killed run left unfinished under these names, which nobody else is working on now."""
    pattern = re.compile(f"{re.escape(TEMPORARY_PREFIX)}(.*)-[0-9a-f]{{12}}\\.part", re.DOTALL)
    wanted = {_shortened(name) for name in names}
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        found = pattern.fullmatch(path.name)
        if found and found[1] in wanted:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _shortened(name: str) -> str:
    """Cut a name to as many bytes as a temporary one may repeat of it, and no character in two."""
    return os.fsencode(name)[:LONGEST_NAME].decode("utf-8", "ignore")


def _open_temporary(folder: Path, name: str) -> BinaryIO:
    """Open a new file of a name that nobody else uses, in the same folder (and so the same disk)."""
    return (folder / temporary_name(name)).open("xb")


def _write_all(stream: BinaryIO, content: bytes) -> None:
    stream.write(content)


def _sync_folder(folder: Path) -> None:
    """Ask the system to keep the new name, too; not every file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _output_error(path: Path, error: OSError) -> OutputError:
    """Say in one line why `path` cannot be written."""
    reason = error.strerror or str(error)
    return OutputError(f"{shown_name(path)}: cannot be written ({reason}); free space, or choose another folder")


def _short(value: Any) -> str:
    """Show a value in a message; of a hash the beginning is enough."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value[:12]
    return "nothing" if value is None else str(value)
