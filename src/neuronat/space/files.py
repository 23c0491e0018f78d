"""Images into and out of files: NIfTI-1, NIfTI-2, pairs and MGH, compressed or not.

The only module that knows nibabel. Reading checks all bytes before it believes the header; every error begins
with the name of the file. Writing makes a fresh header: nothing is inherited from the scan.
"""

import struct
from collections.abc import Iterable
from io import BytesIO
from itertools import chain
from logging import CRITICAL, WARNING
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel import imageglobals
from nibabel.freesurfer.mghformat import MGHHeader, MGHImage
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from neuronat import __version__
from neuronat.errors import UnusableInputError
from neuronat.labels.scheme import LabelScheme
from neuronat.record import shown_name
from neuronat.space.geometry import Forms, default_mgh_affine, grid_warnings
from neuronat.space.header import RawHeader
from neuronat.space.loading import load, naming
from neuronat.space.output import output_format, smallest_type, write_image
from neuronat.space.scan import ReadOptions, Scan
from neuronat.space.volume import LabelMap, Volume
from neuronat.space.voxels import (
    grey_values,
    inside_mask,
    intensity_warnings,
    is_label_like,
    mend,
    require_contrast,
    require_known,
    whole_ids,
)

__all__ = [
    "read_label_map",
    "read_mask",
    "read_volume",
    "write_channels",
    "write_label_map",
    "write_mask",
    "write_volume",
]

DEFAULT_OPTIONS = ReadOptions()
HEADER_CLASSES: dict[tuple[str, bool], Any] = {
    ("NIfTI-1", False): nibabel.Nifti1Header,
    ("NIfTI-1", True): nibabel.nifti1.Nifti1PairHeader,
    ("NIfTI-2", False): nibabel.Nifti2Header,
    ("NIfTI-2", True): nibabel.nifti2.Nifti2PairHeader,
}
MOST_NIFTI1_EXTENT = 32767
MGH_HEADER_BYTES = 284


def read_volume(path: Path, options: ReadOptions = DEFAULT_OPTIONS) -> Scan:
    """Read the grey values of a scan, and everything about its file that the user should hear.

    Parameters
    ----------
    path : Path
        NIfTI-1 or -2, `.hdr`/`.img` pair or MGH, compressed or not.
    options : ReadOptions
        Frame, form, limits; whether to accept what does not look like a scan of a head.

    Returns
    -------
    Scan
        Its volume is float32, finite and 3D, with the file's own affine in mm, RAS+.

    Raises
    ------
    MissingInputError
        If there is no file, or only a pointer to one.
    UnusableInputError
        If the file is damaged, is no image, or is no scan that could show a brain (GridError: of its affine).
    MemoryShortError
        If reading takes more than a quarter of the free memory.

    Notes
    -----
    Source: ours.
    """
    with naming(path):
        stored = load(path, options, _read_forms)
        header, placement = stored.header, stored.placement
        require_contrast(stored.numbers)
        values, n_mended = mend(grey_values(stored.numbers, header.slope, inter=header.inter))
        require_contrast(values)
        warnings = [*stored.warnings, *grid_warnings(placement.affine, values.shape, force=options.force)]
        warnings += intensity_warnings(values, header.slope, n_mended=n_mended)
        if is_label_like(values):
            if not options.force:
                raise UnusableInputError("is a label map or a mask; give the T1-weighted scan, or use --force")
            warnings.append("looks like a label map or a mask, not like a scan")
    return Scan(
        name=shown_name(path),
        volume=Volume(values, placement.affine),
        warnings=tuple(warnings),
        file_format=header.file_format,
        stored_dtype=header.dtype.newbyteorder("="),
        stored_shape=header.extents,
        is_orientation_known=placement.is_orientation_known,
        space_code=placement.space_code,
        notes=stored.notes,
        echo_ms=header.echo_ms,
    )


def read_label_map(path: Path, scheme: LabelScheme, options: ReadOptions = DEFAULT_OPTIONS) -> LabelMap:
    """Read a label map; ids stored as integers never pass through floating point.

    Parameters
    ----------
    path : Path
        An image of whole numbers.
    scheme : LabelScheme
        What the ids mean.
    options : ReadOptions
        As for `read_volume`.

    Returns
    -------
    LabelMap
        Ids as int32.

    Raises
    ------
    MissingInputError, UnusableInputError
        As for `read_volume`.
    LabelError
        If the file holds fractions, too many different values, or ids that the scheme does not know.

    Notes
    -----
    Source: ours.
    """
    with naming(path):
        stored = load(path, options, _read_forms, is_scan=False)
        ids = whole_ids(stored.numbers, stored.header.slope, inter=stored.header.inter)
        require_known(ids, scheme)
    return LabelMap(ids, stored.placement.affine, scheme)


def read_mask(path: Path, options: ReadOptions = DEFAULT_OPTIONS) -> Volume:
    """Read a mask as a volume of 0 and 1; LabelError unless the file holds 0 and one other value."""
    with naming(path):
        stored = load(path, options, _read_forms, is_scan=False)
        mask = inside_mask(stored.numbers, stored.header.slope, inter=stored.header.inter)
    return Volume(mask.astype(np.float32), stored.placement.affine)


def write_volume(path: Path, volume: Volume, *, space_code: int = 1) -> None:
    """Write grey values as float32 (see `write_channels`)."""
    head = _head(path, volume.values.shape, "f4", volume.affine, space_code=space_code)
    write_image(path, head, [volume.values])


def write_label_map(path: Path, labels: LabelMap, *, space_code: int = 1) -> None:
    """Write ids in the smallest integer type that holds those of the scheme (see `write_channels`)."""
    ids = (int(labels.ids.min()), int(labels.ids.max()), *labels.scheme.ids)
    stored_type = smallest_type(min(ids), max(ids))
    head = _head(path, labels.ids.shape, stored_type, labels.affine, space_code=space_code)
    write_image(path, head, [labels.ids])


def write_mask(path: Path, mask: NDArray[np.bool_], affine: NDArray[np.float64], *, space_code: int = 1) -> None:
    """Write an (I, J, K) mask as uint8, 0 and 1 (see `write_channels`)."""
    write_image(path, _head(path, mask.shape, "u1", affine, space_code=space_code), [mask])


def write_channels(
    path: Path,
    channels: Iterable[NDArray[np.float32]],
    affine: NDArray[np.float64],
    *,
    n_channels: int,
    space_code: int = 1,
) -> None:
    """Write (I, J, K) channels as they come into one 4D float32 image; only one is in memory at a time.

    Parameters
    ----------
    path : Path
        Its ending decides on the format: `.nii.gz`, `.nii`, `.mgz` or `.mgh`.
    channels : iterable of (I, J, K) float32
        At least one.
    affine : (4, 4) float64
        Voxel to world mm, RAS+; kept bit for bit if it came from a NIfTI file.
    n_channels : int
        How many will come.
    space_code : int
        NIfTI code of the world space: `Scan.space_code`.

    Raises
    ------
    OutputError
        If nothing can be written; then no file is left.
    UsageError
        If the name has another ending.

    Notes
    -----
    Source: ours. The header is fresh: no text of the scan's header comes along.
    """
    rest = iter(channels)
    first = next(rest)
    head = _head(path, (*first.shape, n_channels), "f4", affine, space_code=space_code)
    write_image(path, head, chain([first], rest))


def _read_forms(head: bytes, header: RawHeader) -> tuple[Forms, tuple[str, ...]]:
    """Let nibabel read the matrices of a header; its log lines come back as warnings."""
    if header.file_format == "MGH":
        code = 1 if struct.unpack_from(">h", head, 28)[0] > 0 else 0
        affine = MGHHeader(head[:MGH_HEADER_BYTES]).get_affine() if code else default_mgh_affine(header.extents)
        return Forms(sform=affine if code else None, sform_code=code, qform=None, qform_code=0, fallback=affine), ()
    header_class = HEADER_CLASSES[header.file_format, header.is_pair]
    log = MemoryHandler(capacity=100, flushLevel=CRITICAL + 1)
    handlers, imageglobals.logger.handlers = imageglobals.logger.handlers, [log]
    try:
        fields = header_class(head[: header_class.sizeof_hdr])
    except (HeaderDataError, WrapStructError, ValueError) as error:
        raise UnusableInputError(f"header is damaged ({error}); repair it, or convert the scan again") from error
    finally:
        imageglobals.logger.handlers = handlers
    logged = tuple(f"header: {line.getMessage()}" for line in log.buffer if line.levelno >= WARNING)
    sform, sform_code = fields.get_sform(coded=True)
    try:
        qform, qform_code = fields.get_qform(coded=True)
    except (HeaderDataError, ValueError):
        qform, qform_code = np.full((4, 4), np.nan), int(fields["qform_code"])
    fallback = fields.get_base_affine()
    forms = Forms(sform=sform, sform_code=sform_code, qform=qform, qform_code=qform_code, fallback=fallback)
    return forms, logged


def _head(
    path: Path, shape: tuple[int, ...], stored_type: str, affine: NDArray[np.float64], *, space_code: int
) -> bytes:
    """Return a fresh header, up to the first voxel, in the format that the name asks for."""
    if output_format(path) == "mgh":
        image = MGHImage(np.broadcast_to(np.zeros((), stored_type), shape), affine)
        image.update_header()
        stream = BytesIO()
        image.header.writehdr_to(stream)
        return stream.getvalue().ljust(MGH_HEADER_BYTES, b"\0")
    fields = HEADER_CLASSES["NIfTI-2" if max(shape) > MOST_NIFTI1_EXTENT else "NIfTI-1", False](endianness="<")
    fields.set_data_dtype(stored_type)
    fields.set_data_shape(shape)
    fields.set_xyzt_units("mm")
    fields.set_slope_inter(1, 0)
    fields["descrip"] = f"neuronat {__version__}".encode()
    fields["vox_offset"] = fields.single_vox_offset
    _set_forms(fields, affine, space_code=space_code)
    return bytes(fields.binaryblock) + bytes(4)


def _set_forms(fields: Any, affine: NDArray[np.float64], *, space_code: int) -> None:
    """Write one affine into both forms, so that it reads back bit for bit wherever it came from a file.

    A sform holds 32-bit numbers. An affine that does not fit them came from a qform: if the qform gives it
    back exactly, it alone is declared. A sheared affine fits no qform: then the sform alone is declared.
    """
    fields.set_qform(affine, 1)
    is_default = np.allclose(fields.get_base_affine(), affine, atol=1e-4)
    code = space_code if space_code > 0 or is_default else 1
    fields.set_sform(affine, code)
    fields["qform_code"] = code
    kept = fields.get_qform()
    if not np.array_equal(affine.astype(np.float32), affine) and np.array_equal(kept, affine):
        fields["sform_code"] = 0
    elif not np.allclose(kept, affine, atol=1e-3 * np.abs(affine[:3, :3]).max()):
        fields["qform_code"] = 0
