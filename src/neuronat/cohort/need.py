"""How much memory a scan will need, by a look at the headers of a few."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neuronat.cohort.entry import Entry
from neuronat.errors import NeuronatError
from neuronat.pipeline.memory import TILES, memory_estimate_gb
from neuronat.prepare.conform import plan_grid
from neuronat.space.header import HEAD_BYTES, parse_header
from neuronat.space.stream import read_head

__all__ = ["bytes_per_scan", "disk_bytes_per_scan"]

MOST_LOOKED_AT = 20
DEFAULT_SHAPE = (256, 256, 256)
LABELS_BYTES, PROBABILITIES_BYTES = 4 * 2**20, 400 * 2**20


def bytes_per_scan(entries: Sequence[Entry], tile_vox: int = TILES[0]) -> int:
    """Return the estimated peak memory of the most demanding of a few scans, in bytes.

    Parameters
    ----------
    entries : sequence of Entry
        The cohort; at most twenty scans, spread over it, are looked at.
    tile_vox : int
        Edge of the tiles.

    Returns
    -------
    int
        For a head of 256 x 256 x 256 voxels of 1 mm where no header can be read.

    Notes
    -----
    Source: ours; the estimate is `pipeline.memory.memory_estimate_gb`, measured by `benchmarks/memory.py`.
    """
    step = max(1, len(entries) // MOST_LOOKED_AT)
    needs = [need for entry in entries[::step][:MOST_LOOKED_AT] if (need := _need_gb(entry.scan, tile_vox)) is not None]
    return int(1e9 * max(needs or [_grid_need_gb(DEFAULT_SHAPE, (1.0, 1.0, 1.0), tile_vox=tile_vox)]))


def disk_bytes_per_scan(*, has_probabilities: bool) -> int:
    """Return how much space the results of one scan take at most, about."""
    return PROBABILITIES_BYTES if has_probabilities else LABELS_BYTES


def _need_gb(scan: Path, tile_vox: int) -> float | None:
    """Estimate the need of one scan from its header; None where there is none to read."""
    try:
        header = parse_header(read_head(scan, HEAD_BYTES))
        i, j, k = header.extents[:3]
        i_mm, j_mm, k_mm = (abs(step) for step in header.pixdim[:3])
        return _grid_need_gb((i, j, k), (i_mm, j_mm, k_mm), tile_vox=tile_vox)
    except (NeuronatError, OSError, ValueError):
        return None


def _grid_need_gb(shape: tuple[int, int, int], steps_mm: tuple[float, float, float], *, tile_vox: int) -> float:
    return memory_estimate_gb(plan_grid(np.diag([*steps_mm, 1.0]), shape), None, tile_vox=tile_vox)
