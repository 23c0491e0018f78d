"""The bytes of an image file: all of them checked, and only those kept that are wanted.

A gzip stream is read to its end, so that its checksum is compared, and never beyond what the header declares.
Errors name no file; `space.files` adds the name.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from neuronat.errors import UnusableInputError

__all__ = ["chunks_of", "is_gzip", "read_head", "read_range"]

CHUNK_BYTES = 1 << 20
SLACK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"


def is_gzip(path: Path) -> bool:
    """Tell from its first bytes whether a file is compressed by gzip."""
    with path.open("rb") as stream:
        return stream.read(2) == GZIP_MAGIC


def chunks_of(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in pieces of at most 1 MiB, decompressed if it is a gzip file.

    Raises
    ------
    EOFError
        If a gzip stream ends before its time.
    UnusableInputError
        If a gzip stream is damaged, or followed by something else.

    Notes
    -----
    Source: ours.
    """
    with path.open("rb") as stream:
        if stream.read(2) != GZIP_MAGIC:
            stream.seek(0)
            yield from iter(lambda: stream.read(CHUNK_BYTES), b"")
            return
        stream.seek(0)
        try:
            yield from _gunzip(stream)
        except zlib.error as error:
            if "incorrect" in str(error) and "check" in str(error) and "header" not in str(error):
                reason = "checksum of the compressed stream does not match"
            else:
                reason = f"the compressed stream is damaged ({str(error).rpartition(': ')[2]})"
            raise UnusableInputError(f"{reason}; copy or download the file again") from error


def read_head(path: Path, n_bytes: int) -> bytes:
    """Return the first `n_bytes` of the content, or less where there is less."""
    head = b""
    chunks = chunks_of(path)
    try:
        for chunk in chunks:
            head += chunk
            if len(head) >= n_bytes:
                break
    except EOFError as error:
        raise UnusableInputError(
            "file is cut off: the compressed stream ends inside the header; copy or download it again"
        ) from error
    finally:
        chunks.close()  # type: ignore[attr-defined]
    return head[:n_bytes]


def read_range(path: Path, start: int, *, stop: int, n_declared: int) -> bytearray:
    """Return bytes `start` to `stop` of the content, after checking all of it.

    Parameters
    ----------
    path : Path
        The file; a gzip stream is read to its end.
    start, stop : int
        The bytes wanted.
    n_declared : int
        How many bytes the header says there are, from the beginning of the content.

    Returns
    -------
    bytearray
        `stop - start` bytes.

    Raises
    ------
    UnusableInputError
        If there are fewer bytes than declared, or in a gzip stream over 1 MiB more, or if it is damaged.

    Notes
    -----
    Source: ours.
    """
    if not is_gzip(path):
        return _read_plain(path, start, stop=stop, n_declared=n_declared)
    kept = bytearray()
    position = 0
    is_complete = True
    chunks = chunks_of(path)
    try:
        for chunk in chunks:
            kept += chunk[max(start - position, 0) : max(stop - position, 0)]
            position += len(chunk)
            if position > n_declared + SLACK_BYTES:
                raise UnusableInputError(
                    f"the compressed stream goes on after the {n_declared} bytes that the header declares; "
                    "the header is damaged, or this is no image"
                )
    except EOFError:
        is_complete = False
    finally:
        chunks.close()  # type: ignore[attr-defined]
    if position < n_declared or not is_complete:
        raise UnusableInputError(_cut_off(n_declared, position))
    return kept


def _gunzip(stream: BinaryIO) -> Iterator[bytes]:
    """Decompress all members of a gzip file; zeros may follow the last one."""
    decompressor = zlib.decompressobj(wbits=31)
    while pending := stream.read(CHUNK_BYTES):
        while pending:
            if decompressor.eof:
                pending = pending.lstrip(b"\0")
                if not pending:
                    break
                decompressor = zlib.decompressobj(wbits=31)
            yield decompressor.decompress(pending, CHUNK_BYTES)
            pending = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
    if not decompressor.eof:
        raise EOFError


def _read_plain(path: Path, start: int, *, stop: int, n_declared: int) -> bytearray:
    """Read part of a file that is not compressed; it must be as long as declared."""
    n_bytes = path.stat().st_size
    if n_bytes < n_declared:
        raise UnusableInputError(_cut_off(n_declared, n_bytes))
    kept = bytearray(stop - start)
    with path.open("rb") as stream:
        stream.seek(start)
        n_read = stream.readinto(kept)
    if n_read != len(kept):
        raise UnusableInputError(_cut_off(n_declared, start + n_read))
    return kept


def _cut_off(expected: int, found: int) -> str:
    if found >= expected:
        return "file is cut off: the end of the compressed stream is missing; copy or download it again"
    return f"file is cut off: expected {expected} bytes, got {found}; copy or download it again"
