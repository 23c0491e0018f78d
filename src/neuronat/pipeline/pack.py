"""The results of a scan in one file, for file systems that thousands of small ones slow down."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from neuronat.errors import MissingInputError, OutputError
from neuronat.record import shown_name, write_whole, zip_entry
from neuronat.space.source import COMPRESSED_ENDINGS

__all__ = ["pack_path", "read_result_file", "write_pack"]

MOST_TEXT_BYTES = 64 * 2**20


def pack_path(folder: Path, stem: str) -> Path:
    """Return where the pack of a scan's results lies."""
    return folder / f"{stem}_results.zip"


def write_pack(path: Path, files: Sequence[Path]) -> None:
    """Write files as one zip file, whole or not at all, each under its own name; compressed, but for images that are.

    Raises
    ------
    OutputError
        If it cannot be written, or does not read back.

    Notes
    -----
    Source: ours. Any program that opens zip files restores the files of `neuronat segment` from it.
    """

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w") as pack:
            for file in files:
                entry = zip_entry(file.name)
                entry.compress_type = zipfile.ZIP_STORED if file.suffix in COMPRESSED_ENDINGS else zipfile.ZIP_DEFLATED
                with file.open("rb") as content, pack.open(entry, "w", force_zip64=True) as member:
                    while chunk := content.read(2**20):
                        member.write(chunk)

    def verify(temporary: Path) -> None:
        with zipfile.ZipFile(temporary) as pack:
            if pack.testzip() is not None:
                raise OutputError(f"{shown_name(path)}: does not read back as it was written; check the disk")

    write_whole(path, write, verify)


def read_result_file(folder: Path, stem: str, name: str) -> str:
    """Read a text among the results of a scan, from its folder or from its pack.

    Raises
    ------
    MissingInputError
        If it is in neither, or cannot be read.

    Notes
    -----
    Source: ours.
    """
    path = folder / name
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
        with zipfile.ZipFile(pack_path(folder, stem)) as pack:
            if pack.getinfo(name).file_size > MOST_TEXT_BYTES:
                raise MissingInputError(f"{shown_name(path)}: is no text of ours in the pack of {stem}; run again")
            return pack.read(name).decode("utf-8")
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, UnicodeDecodeError) as error:
        raise MissingInputError(f"{shown_name(path)}: cannot be read ({error}); run again") from error
