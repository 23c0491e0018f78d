"""What the header of an image file claims, checked with whole numbers before anything is allocated.

Only the fields that decide about sizes and places are read here. Errors name no file; `space.files` adds it.
"""

import math
import re
import struct
from dataclasses import dataclass

import numpy as np

from neuronat.errors import UnusableInputError
from neuronat.space.source import foreign_type

__all__ = ["HEAD_BYTES", "RawHeader", "parse_header"]

HEAD_BYTES = 560
MOST_EXTENSION_BYTES = 64 << 20
NIFTI_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
MGH_TYPES = {0: "u1", 1: "i4", 3: "f4", 4: "i2", 10: "u2"}
REFUSED_TYPES = {
    1: "single bits",
    32: "complex numbers; give the magnitude image",
    128: "colours (RGB); give the grey image that it was made from",
    1536: "128-bit floats; save it as float32",
    1792: "complex numbers; give the magnitude image",
    2048: "complex numbers; give the magnitude image",
    2304: "colours (RGBA); give the grey image that it was made from",
}


@dataclass(frozen=True, kw_only=True)
class RawHeader:
    """Claims of a header: format, extents, stored type with byte order, and where and how the voxels lie.

    `n_dimensions` is what the file says; `extents` leaves out extents of 1 after the third. `echo_ms` is the echo time
    that converters write into the description, the only thing of that text that is kept.
    """

    file_format: str
    is_pair: bool
    n_dimensions: int
    extents: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    pixdim: tuple[float, ...]
    unit_code: int
    echo_ms: float | None = None

    @property
    def n_voxels(self) -> int:
        """Number of voxels in all frames."""
        return math.prod(self.extents)

    @property
    def n_frame_voxels(self) -> int:
        """Number of voxels in one 3D frame."""
        return math.prod(self.extents[:3])

    @property
    def n_declared_bytes(self) -> int:
        """Bytes of the content up to the last voxel."""
        return self.offset + self.n_voxels * self.dtype.itemsize


def parse_header(head: bytes) -> RawHeader:
    """Read the claims of a NIfTI-1, NIfTI-2, Analyze 7.5 or MGH header.

    Parameters
    ----------
    head : bytes
        The first 560 bytes of the (decompressed) content, or all of it if shorter.

    Returns
    -------
    RawHeader
        Claims in which extents are positive, the type is known, and the offset is possible.

    Raises
    ------
    UnusableInputError
        If this is no such image, or a claim is impossible.

    Notes
    -----
    Source: ours.
    """
    for order in "<>":
        if len(head) < 348:
            break
        (size,) = struct.unpack_from(order + "i", head)
        if size == 348:
            return _parse_nifti1(head, order)
        if size == 540 and len(head) >= 540:
            return _parse_nifti2(head, order)
    if len(head) >= 284 and head.startswith(b"\x00\x00\x00\x01") and struct.unpack_from(">i", head, 20)[0] < 256:
        return _parse_mgh(head)
    found = foreign_type(head)
    advice = "" if ";" in found else "; give a NIfTI or MGZ file"
    raise UnusableInputError(f"is no NIfTI or MGZ image but {found}{advice}")


def _parse_nifti1(head: bytes, order: str) -> RawHeader:
    magic = head[344:348]
    is_nifti = magic in (b"n+1\0", b"ni1\0")
    is_pair = magic != b"n+1\0"
    offset, slope, inter = struct.unpack_from(order + "3f", head, 108)
    slope, inter = _scaling(slope, inter) if is_nifti else (1.0, 0.0)
    return RawHeader(
        file_format="NIfTI-1" if is_nifti else "Analyze 7.5",
        is_pair=is_pair,
        n_dimensions=struct.unpack_from(order + "h", head, 40)[0],
        extents=_extents(struct.unpack_from(order + "8h", head, 40)),
        dtype=_stored_type(struct.unpack_from(order + "h", head, 70)[0], order),
        offset=_offset(offset, 0 if is_pair else 352),
        slope=slope,
        inter=inter,
        pixdim=struct.unpack_from(order + "3f", head, 80),
        unit_code=head[123] & 7 if is_nifti else 0,
        echo_ms=_echo_ms(head[148:228]),
    )


def _parse_nifti2(head: bytes, order: str) -> RawHeader:
    magic = head[4:12]
    if magic not in (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"):
        raise UnusableInputError("NIfTI-2 header without its magic bytes; copied as text? copy it again")
    is_pair = magic.startswith(b"ni2")
    offset, slope, inter = struct.unpack_from(order + "qdd", head, 168)
    slope, inter = _scaling(slope, inter)
    return RawHeader(
        file_format="NIfTI-2",
        is_pair=is_pair,
        n_dimensions=struct.unpack_from(order + "q", head, 16)[0],
        extents=_extents(struct.unpack_from(order + "8q", head, 16)),
        dtype=_stored_type(struct.unpack_from(order + "h", head, 12)[0], order),
        offset=_offset(offset, 0 if is_pair else 544),
        slope=slope,
        inter=inter,
        pixdim=struct.unpack_from(order + "3d", head, 112),
        unit_code=struct.unpack_from(order + "i", head, 500)[0] & 7,
        echo_ms=_echo_ms(head[240:320]),
    )


def _parse_mgh(head: bytes) -> RawHeader:
    extents = _extents((4, *struct.unpack_from(">4i", head, 4)))
    (code,) = struct.unpack_from(">i", head, 20)
    has_place = struct.unpack_from(">h", head, 28)[0] > 0
    if code not in MGH_TYPES:
        raise UnusableInputError(f"holds voxels of the MGH type {code}, which neuronat does not read; convert it")
    return RawHeader(
        file_format="MGH",
        is_pair=False,
        n_dimensions=len(extents),
        extents=extents,
        dtype=np.dtype(">" + MGH_TYPES[code]),
        offset=284,
        slope=1.0,
        inter=0.0,
        pixdim=struct.unpack_from(">3f", head, 30) if has_place else (1.0, 1.0, 1.0),
        unit_code=2,
    )


def _extents(dim: tuple[int, ...]) -> tuple[int, ...]:
    """Return the extents of a `dim` field (their number first), without extents of 1 after the third."""
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise UnusableInputError(f"header claims impossible dimensions {dim[1:]}; repair the header")
    extents = dim[1 : dim[0] + 1]
    while len(extents) > 3 and extents[-1] == 1:
        extents = extents[:-1]
    return extents


def _stored_type(code: int, order: str) -> np.dtype:
    """Return the type of the stored numbers, byte order included."""
    if code not in NIFTI_TYPES:
        what = REFUSED_TYPES.get(code, f"voxels of the unknown type {code}; repair the header")
        raise UnusableInputError(f"holds {what}")
    return np.dtype(order + NIFTI_TYPES[code])


def _offset(offset: float, least: int) -> int:
    """Return where the voxels begin."""
    if not (math.isfinite(offset) and offset >= least and offset == int(offset)):
        raise UnusableInputError(
            f"header claims that voxels begin at byte {offset:g} (vox_offset), "
            f"and they cannot before byte {least}; repair the header"
        )
    if offset > MOST_EXTENSION_BYTES:
        raise UnusableInputError(f"header claims that voxels begin at byte {offset:g}; repair the header")
    return int(offset)


def _echo_ms(description: bytes) -> float | None:
    """Return the echo time in ms that stands in a description as `TE=2.5`, as dcm2niix and SPM write it."""
    found = re.search(rb"\bTE=(\d{1,4}(?:\.\d{1,6})?)", description)
    return float(found[1]) if found else None


def _scaling(slope: float, inter: float) -> tuple[float, float]:
    """Return factor and summand of the values; a factor of 0 or NaN stands for none."""
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise UnusableInputError(f"header scales values by {slope:g} and adds {inter:g}; repair the header")
    return slope, inter
