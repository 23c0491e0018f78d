"""The bytes of an image on their way to the disk: deterministic, whole, and read back before they count."""

import gzip
import hashlib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import OutputError, ShapeError, UsageError
from neuronat.record import shown_name, write_whole
from neuronat.space.header import parse_header
from neuronat.space.source import COMPRESSED_ENDINGS, IMAGE_ENDINGS
from neuronat.space.stream import chunks_of

__all__ = ["output_format", "smallest_type", "write_image"]


def output_format(path: Path) -> str:
    """Return `nifti` or `mgh` by the ending of the name; UsageError for any other."""
    for ending in IMAGE_ENDINGS:
        if path.name.endswith(ending):
            return "nifti" if ending.startswith(".nii") else "mgh"
    raise UsageError(f"{shown_name(path)}: images end in {', '.join(IMAGE_ENDINGS)}; choose one of these names")


def smallest_type(least: int, most: int) -> str:
    """Return the smallest of `u1`, `i2` and `i4` that holds ids from `least` to `most`.

    Notes
    -----
    Source: ours. These three are what both NIfTI and MGH know.

    Examples
    --------
    >>> [smallest_type(0, most) for most in (255, 256, 2035, 40000)]
    ['u1', 'i2', 'i2', 'i4']
    """
    for name in ("u1", "i2"):
        limits = np.iinfo(name)
        if limits.min <= least and most <= limits.max:
            return name
    return "i4"


def write_image(path: Path, head: bytes, frames: Iterable[NDArray[Any]]) -> None:
    """Write a header and the voxels that follow it.

    Parameters
    ----------
    path : Path
        Final name; `.gz` and `.mgz` are compressed, with no time stamp: equal content, equal bytes.
    head : bytes
        The header, up to the first voxel; it decides on the stored type and on how many frames must come.
    frames : iterable of (I, J, K) arrays
        One 3D volume after the other; on the disk the first index runs fastest.

    Raises
    ------
    OutputError
        If the system refuses, or the bytes do not read back as they were written; no file is left then.
    ShapeError
        If the frames are not what the header declares; no file is left then.

    Notes
    -----
    Source: ours.
    """
    header = parse_header(head)
    written = hashlib.sha256()

    def write(stream: BinaryIO) -> None:
        pieces = chain([head], (frame.astype(header.dtype, copy=False).tobytes(order="F") for frame in frames))
        if path.name.endswith(COMPRESSED_ENDINGS):
            level = 6 if header.dtype.kind in "iu" else 1  # floats hardly shrink, and take long
            with gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=stream, mtime=0) as packed:
                n_written = _copy(pieces, packed, written)
        else:
            n_written = _copy(pieces, stream, written)
        if n_written != header.n_declared_bytes:
            raise ShapeError(
                f"{shown_name(path)}: frames hold {n_written} bytes, and a header of {header.extents} voxels "
                f"needs {header.n_declared_bytes}"
            )

    def verify(temporary: Path) -> None:
        found = hashlib.sha256()
        for chunk in chunks_of(temporary):
            found.update(chunk)
        if found.digest() != written.digest():
            raise OutputError(f"{shown_name(path)}: does not read back as written; check the disk")

    write_whole(path, write, verify)


def _copy(pieces: Iterable[bytes], stream: Any, digest: Any) -> int:
    """Copy pieces into a stream and a digest; return how many bytes they were."""
    n_bytes = 0
    for piece in pieces:
        digest.update(piece)
        stream.write(piece)
        n_bytes += len(piece)
    return n_bytes
