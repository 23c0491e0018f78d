"""How much of a file is read: one frame, and no more than memory allows.

Errors name no file; `space.files` adds the name.
"""

import math

from neuronat.errors import MemoryShortError, UnusableInputError
from neuronat.space.header import RawHeader

__all__ = ["pick_frame", "require_readable_size"]

MOST_VOXELS = 2**31
MOST_MEMORY_SHARE = 0.25
MOST_GZIP_RATIO = 1040
BOMB_BYTES = 512 << 20
BOMB_RATIO = 1000
SLACK_BYTES = 1 << 20


def pick_frame(extents: tuple[int, ...], frame: int | None, *, is_scan: bool = True) -> int:
    """Return which 3D frame to read; refuse a file of several unless one is chosen, which users can for a scan.

    Raises
    ------
    UnusableInputError
        If there are several frames and none is chosen, or the one chosen does not exist.

    Notes
    -----
    Source: ours.
    """
    n_frames = math.prod(extents[3:])
    if len(extents) < 3:
        raise UnusableInputError(f"has {len(extents)} dimensions {extents}; neuronat needs a 3D volume")
    if frame is None and n_frames > 1:
        advice = f"labels one 3D volume at a time; choose one with --frame K, 0 to {n_frames - 1}"
        if not is_scan:
            advice = "needs a mask or a label map of one; save the frame that is meant as a file of its own"
        raise UnusableInputError(f"has {len(extents)} dimensions {extents}; neuronat {advice}")
    if frame is not None and frame >= n_frames:
        raise UnusableInputError(f"has {n_frames} frames; frame {frame} does not exist; choose 0 to {n_frames - 1}")
    return frame or 0


def require_readable_size(
    header: RawHeader, *, n_stored_bytes: int, is_compressed: bool, n_free_bytes: int, max_voxels: int | None
) -> None:
    """Refuse a claim that the file cannot keep, or that does not fit into memory.

    Parameters
    ----------
    header : RawHeader
        The claims.
    n_stored_bytes : int
        Size of the file on the disk.
    is_compressed : bool
        Whether it is a gzip stream.
    n_free_bytes : int
        Memory that may still be taken.
    max_voxels : int or None
        Limit set by the user; None for 2**31 voxels and a quarter of the free memory.

    Raises
    ------
    UnusableInputError
        If the claim is absurd; both numbers are named.
    MemoryShortError
        If the image is possible, but too large for this machine.

    Notes
    -----
    Source: ours. Deflate packs at most 1032 to 1, so a gzip file bounds what it can hold.
    """
    claim = f"header claims {' x '.join(str(n) for n in header.extents)} voxels ({header.n_declared_bytes} bytes)"
    limit = max_voxels or MOST_VOXELS
    if header.n_frame_voxels > limit:
        raise UnusableInputError(f"{claim}, and the limit is {limit} voxels; repair the file, or see --max-voxels")
    if not is_compressed and header.n_declared_bytes > n_stored_bytes:
        raise UnusableInputError(
            f"file is cut off: expected {header.n_declared_bytes} bytes, got {n_stored_bytes}; copy it again"
        )
    n_most = n_stored_bytes * MOST_GZIP_RATIO + SLACK_BYTES
    is_bomb = header.n_declared_bytes > max(BOMB_BYTES, n_stored_bytes * BOMB_RATIO)
    if is_compressed and (header.n_declared_bytes > n_most or is_bomb):
        raise UnusableInputError(
            f"{claim}, and {n_stored_bytes} compressed bytes cannot hold a scan of that size; "
            "the file is damaged, or made to exhaust the memory"
        )
    n_needed = header.n_frame_voxels * (header.dtype.itemsize + 4)
    if max_voxels is None and n_needed > MOST_MEMORY_SHARE * n_free_bytes:
        raise MemoryShortError(
            f"{claim}; reading it takes {n_needed / 2**30:.1f} GiB, more than a quarter of the "
            f"{n_free_bytes / 2**30:.1f} GiB of free memory; crop or downsample it, or see --max-voxels"
        )
