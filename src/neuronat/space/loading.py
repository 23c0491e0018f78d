"""From a path to the stored numbers of one 3D frame and their place, with every check on the way."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import MemoryShortError, MissingInputError, NeuronatError, UnusableInputError
from neuronat.record import shown_name
from neuronat.space.geometry import Forms, Placement, choose_affine, lettered_affine
from neuronat.space.header import HEAD_BYTES, RawHeader, parse_header
from neuronat.space.limits import pick_frame, require_readable_size
from neuronat.space.memory import free_memory_bytes
from neuronat.space.scan import ReadOptions
from neuronat.space.source import COMPRESSED_ENDINGS, partner_of, require_file
from neuronat.space.stream import is_gzip, read_head, read_range

__all__ = ["FormReader", "Stored", "files_of", "load", "naming"]

FormReader = Callable[[bytes, RawHeader], tuple[Forms, tuple[str, ...]]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Stored:
    """One frame as stored (not scaled), the header's claims, its place, and warnings and notes about the file."""

    numbers: NDArray[Any]
    header: RawHeader
    placement: Placement
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Begin every error with the name of the file; turn the system's errors into ours."""
    name = shown_name(path)
    try:
        yield
    except NeuronatError as error:
        raise type(error)(f"{name}: {error}") from error
    except MemoryError as error:
        raise MemoryShortError(f"{name}: memory ran out; close other programs, or crop the scan") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise MissingInputError(f"{name}: cannot be read ({reason}); check path and permissions") from error


def load(path: Path, options: ReadOptions, read_forms: FormReader, *, is_scan: bool = True) -> Stored:
    """Load one 3D frame.

    Parameters
    ----------
    path : Path
        The file, or either file of a pair.
    options : ReadOptions
        Frame, form and limits.
    read_forms : callable
        Takes the header's bytes and claims; returns its matrices and the lines that the reader logged.
    is_scan : bool
        Grey values; else a mask or a label map, of which no option picks a frame.

    Returns
    -------
    Stored
        A 3D frame, all of whose bytes have been checked.

    Raises
    ------
    MissingInputError, UnusableInputError, MemoryShortError
        As `read_volume` says.

    Notes
    -----
    Source: ours.
    """
    head_path, image_path = files_of(path)
    head = read_head(head_path, HEAD_BYTES)
    header = parse_header(head)
    _require_orientation(header, options)
    if header.is_pair and head_path == image_path:
        image_path = partner_of(path, ".img")
    elif not header.is_pair:
        image_path = head_path
    frame = pick_frame(header.extents, options.frame, is_scan=is_scan)
    shape = (header.extents[0], header.extents[1], header.extents[2])
    require_readable_size(
        header,
        n_stored_bytes=image_path.stat().st_size,
        is_compressed=is_gzip(image_path),
        n_free_bytes=free_memory_bytes(),
        max_voxels=options.max_voxels,
    )
    with np.errstate(all="ignore"):  # a matrix may hold anything; choose_affine looks
        forms, logged = _analyze_forms(header, options) or read_forms(head, header)
        placement = choose_affine(
            forms, shape, pixdim=header.pixdim, unit_code=header.unit_code, use_form=options.use_form
        )
    n_frame_bytes = header.n_frame_voxels * header.dtype.itemsize
    start = header.offset + frame * n_frame_bytes
    content = read_range(image_path, start, stop=start + n_frame_bytes, n_declared=header.n_declared_bytes)
    if head_path != image_path:
        read_range(head_path, 0, stop=0, n_declared=len(head))
    return Stored(
        numbers=np.frombuffer(content, header.dtype).reshape(shape, order="F"),
        header=header,
        placement=placement,
        warnings=(*_name_warnings(image_path), *logged, *placement.warnings),
        notes=_frame_notes(header, frame),
    )


def files_of(path: Path) -> tuple[Path, Path]:
    """Return the files that hold header and voxels, which are one unless the image is a pair.

    Raises
    ------
    MissingInputError, UnusableInputError
        If one is not there, or none that can be read.

    Notes
    -----
    Source: ours.
    """
    require_file(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".img"):
        return partner_of(path, ".hdr"), path
    if name.endswith(".hdr"):
        image_path = path
        if parse_header(read_head(path, HEAD_BYTES)).is_pair:
            image_path = partner_of(path, ".img")
            require_file(image_path)
        return path, image_path
    return path, path


def _require_orientation(header: RawHeader, options: ReadOptions) -> None:
    """Raise UnusableInputError for an Analyze 7.5 file of which the user does not say how it lies."""
    if header.file_format == "Analyze 7.5" and options.assume_orientation is None:
        raise UnusableInputError(
            "has no NIfTI magic bytes: an Analyze 7.5 file does not say where left is; "
            "convert it to NIfTI, or give --assume-orientation LAS (or what it is)"
        )


def _analyze_forms(header: RawHeader, options: ReadOptions) -> tuple[Forms, tuple[str, ...]] | None:
    """Return the forms of an Analyze 7.5 file, which has none, as the user says how it lies."""
    if header.file_format != "Analyze 7.5" or options.assume_orientation is None:
        return None
    shape = (header.extents[0], header.extents[1], header.extents[2])
    fallback = lettered_affine(options.assume_orientation, shape, header.pixdim)
    return Forms(sform=None, sform_code=0, qform=None, qform_code=0, fallback=fallback), ()


def _name_warnings(path: Path) -> tuple[str, ...]:
    """Say whether the name promises another compression than the bytes have."""
    is_promised = path.name.lower().endswith(COMPRESSED_ENDINGS)
    if is_promised == is_gzip(path):
        return ()
    return ("named as if compressed, and is not",) if is_promised else ("compressed, though its name does not say so",)


def _frame_notes(header: RawHeader, frame: int) -> tuple[str, ...]:
    """Say which of several frames was read, or that there was a fourth dimension of 1."""
    n_frames = math.prod(header.extents[3:])
    if n_frames > 1:
        return (f"frame {frame} of {n_frames} (counted from 0) was read",)
    n = header.n_dimensions
    return (f"has {n} dimensions, those after the third of extent 1: read as 3D",) if n > 3 else ()
