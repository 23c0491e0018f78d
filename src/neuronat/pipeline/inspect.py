"""What a scan is and what would be done with it, without doing it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neuronat.errors import NeuronatError
from neuronat.measure.doubts import brain_doubts, contrast_doubts, require_no_doubt, require_structure
from neuronat.pipeline.memory import fitting_tile_vox, memory_estimate_gb, require_memory
from neuronat.pipeline.networks import require_stripper
from neuronat.pipeline.segment import mask_of, require_brain
from neuronat.pipeline.settings import SegmentConfig
from neuronat.prepare.conform import WorkingGrid, plan_grid
from neuronat.space.affine import axis_codes, obliquity_degrees, spacing_mm, voxel_volume_mm3
from neuronat.space.loading import naming
from neuronat.space.memory import free_memory_bytes
from neuronat.space.reading import read_scan
from neuronat.space.scan import Scan

__all__ = ["Inspection", "inspect_scan"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Inspection:
    """Findings about one scan; `refusal` is the error that segmenting would start with, None if it would go on.

    `doubts` may lead to one later: contrast is judged again without the bias field, which is not looked for here.
    """

    scan: Scan
    grid: WorkingGrid
    brain_ml: float | None
    doubts: tuple[str, ...]
    refusal: NeuronatError | None
    memory_gb: float
    free_memory_gb: float

    def as_values(self) -> dict[str, object]:
        """Return the findings as plain values, for JSON."""
        volume = self.scan.volume
        return {
            "scan": self.scan.name,
            "format": self.scan.file_format,
            "stored_type": str(self.scan.stored_dtype),
            "shape": list(volume.values.shape),
            "frames": self.scan.n_frames,
            "spacing_mm": [round(float(step), 4) for step in spacing_mm(volume.affine)],
            "orientation": axis_codes(volume.affine),
            "orientation_known": self.scan.is_orientation_known,
            "obliquity_degrees": round(obliquity_degrees(volume.affine), 2),
            "grey_values": [float(volume.values.min()), float(volume.values.max())],
            "brain_ml": None if self.brain_ml is None else round(self.brain_ml, 1),
            "working_shape": list(self.grid.shape),
            "resampled": self.grid.is_resampled,
            "rotated": self.grid.is_rotated,
            "memory_gb": round(self.memory_gb, 1),
            "free_memory_gb": round(self.free_memory_gb, 1),
            "warnings": [*self.scan.notes, *self.scan.warnings, *self.doubts],
            "usable": self.refusal is None,
            "reason": "" if self.refusal is None else str(self.refusal),
        }


def inspect_scan(path: Path, config: SegmentConfig) -> Inspection:
    """Read a scan and say what segmenting it would meet.

    Parameters
    ----------
    path : Path
        The scan.
    config : SegmentConfig
        As for segmenting; mask and reading options matter here.

    Returns
    -------
    Inspection

    Raises
    ------
    MissingInputError, UnusableInputError
        If the scan itself cannot be read; a missing brain mask is a finding.

    Notes
    -----
    Source: ours.
    """
    scan = read_scan(path, config.reading)
    i, j, k = scan.volume.values.shape
    grid = plan_grid(scan.volume.affine, (i, j, k))
    refusal: NeuronatError | None = None
    mask: NDArray[np.bool_] | None = None
    brain_ml: float | None = None
    doubts: tuple[str, ...] = ()
    try:
        mask = mask_of(path, scan, config)
        if mask is not None:
            brain_ml = float(np.count_nonzero(mask)) * voxel_volume_mm3(scan.volume.affine) / 1000
            sizes = brain_doubts(mask, scan.volume.affine)
            contrast = contrast_doubts(scan.volume.values, mask, scan.volume.affine)
            doubts = sizes + contrast if config.force else tuple(f"{doubt}; it may be refused" for doubt in contrast)
            with naming(path):
                require_brain(sizes, config)
        with naming(path):
            require_no_doubt((*scan.warnings, *doubts), strict=config.strict)
            require_memory(scan.volume, mask, config.reading)
            if mask is None:
                require_stripper(config.models, config.effort)
                require_structure(scan.volume.values)
    except NeuronatError as error:
        refusal = error
    tile_vox = fitting_tile_vox(scan.volume, mask, torch.device("cpu"))
    return Inspection(
        scan=scan,
        grid=grid,
        brain_ml=brain_ml,
        doubts=doubts,
        refusal=refusal,
        memory_gb=memory_estimate_gb(grid, brain_ml, tile_vox=tile_vox),
        free_memory_gb=free_memory_bytes() / 1e9,
    )
