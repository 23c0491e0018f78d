"""What `import neuronat` offers: the one boundary where a path, an image and a volume are all welcome."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import UnusableInputError
from neuronat.labels.scheme import load_scheme
from neuronat.measure.doubts import require_no_doubt
from neuronat.measure.scores import StructureScore, map_together, score_structures
from neuronat.pipeline.batch import load_protocols, place_networks
from neuronat.pipeline.memory import require_memory
from neuronat.pipeline.result import Result
from neuronat.pipeline.segment import Inputs, mask_of, read_inputs, segment_scan
from neuronat.pipeline.settings import SegmentConfig
from neuronat.space.contrast import is_ct_like
from neuronat.space.files import read_label_map, write_label_map, write_volume
from neuronat.space.geometry import grid_warnings
from neuronat.space.reading import read_scan
from neuronat.space.scan import Scan
from neuronat.space.volume import LabelMap, Volume, require_3d
from neuronat.space.voxels import is_label_like, mend, require_contrast

__all__ = ["ImageLike", "evaluate", "load", "load_label_map", "save", "segment"]

NO_CONFIG = SegmentConfig()


class ImageLike(Protocol):
    """An image in memory as nibabel has it: numbers that numpy can take, and a voxel-to-world affine."""

    @property
    def dataobj(self) -> object:
        """The (I, J, K) numbers."""

    @property
    def affine(self) -> NDArray[np.float64]:
        """The (4, 4) voxel-to-world matrix in mm, RAS+."""


def segment(
    scan: str | Path | Volume | ImageLike, model: str | Path | None = None, *, config: SegmentConfig = NO_CONFIG
) -> Result:
    """Label the structures of one T1-weighted scan; write nothing.

    Parameters
    ----------
    scan : str, Path, Volume or nibabel image
        A file, or grey values in memory; skull-stripped, unless `config.mask` names a brain mask.
    model : str or Path, optional
        Name or folder of a model; it replaces `config.models`.
    config : SegmentConfig
        Everything else, as the options of `neuronat segment`.

    Returns
    -------
    Result
        `.labels[protocol]`, `.volumes[protocol]`, `.probabilities[protocol]`, `.save(out)`.

    Raises
    ------
    MissingInputError, UnusableInputError
        If the scan cannot be read, or does not look like a T1-weighted brain.
    ModelError, UnavailableError
        If the model or the device cannot be used.

    Notes
    -----
    Source: ours.
    """
    if model is not None:
        config = replace(config, models=(str(model),))
    networks = place_networks(*load_protocols(config), config)
    if isinstance(scan, str | Path):
        return segment_scan(read_inputs(Path(scan), config), networks, config)
    return segment_scan(_inputs_in_memory(scan, config), networks, config)


def load(path: str | Path) -> Volume:
    """Read the grey values of a scan, with every check of `neuronat segment`."""
    return read_scan(Path(path)).volume


def load_label_map(path: str | Path, scheme: str) -> LabelMap:
    """Read a label map whose ids are those of a shipped scheme."""
    return read_label_map(Path(path), load_scheme(scheme))


def evaluate(predicted: LabelMap, reference: LabelMap, *, name: str = "scan") -> tuple[StructureScore, ...]:
    """Score each structure of a predicted label map against a reference.

    Parameters
    ----------
    predicted, reference : LabelMap
        On one grid; a fine scheme is mapped onto a coarse one.
    name : str
        Name of the scan in the scores.

    Returns
    -------
    tuple of StructureScore
        Dice, distances in mm and volumes in mm3, one row per structure.

    Raises
    ------
    GridError
        If the grids differ.
    LabelError
        If neither scheme maps onto the other.

    Notes
    -----
    Source: ours.
    """
    return score_structures(*map_together(predicted, reference), scan=name)


def save(image: Volume | LabelMap, path: str | Path) -> None:
    """Write grey values or a label map; the ending of the name decides on the format."""
    if isinstance(image, LabelMap):
        write_label_map(Path(path), image)
    else:
        write_volume(Path(path), image)


def _inputs_in_memory(image: Volume | ImageLike, config: SegmentConfig) -> Inputs:
    """Pass grey values in memory through the gates of `read_inputs`, with their mask."""
    scan = _scan_in_memory(image, config)
    require_no_doubt(scan.warnings, strict=config.strict)
    if is_ct_like(scan.volume.values) and not config.force:
        raise UnusableInputError("scan in memory: its grey values are Hounsfield units, as in CT; give a T1, or force")
    mask = mask_of(Path(scan.name), scan, config)
    require_memory(scan.volume, mask, config.reading)
    return Inputs(scan, mask, "scan", (scan.name,))


def _scan_in_memory(image: Volume | ImageLike, config: SegmentConfig) -> Scan:
    """Check grey values in memory as those of a file are checked."""
    stored = image.values if isinstance(image, Volume) else np.asarray(image.dataobj)
    require_3d(stored.shape)
    if stored.dtype.kind not in "biuf":
        raise UnusableInputError(f"scan in memory: holds {stored.dtype} numbers; give real grey values")
    values, n_mended = mend(np.ascontiguousarray(stored, np.float32))
    require_contrast(values)
    affine = np.asarray(image.affine, np.float64)
    warnings = list(grid_warnings(affine, values.shape, force=config.force))
    if n_mended:
        warnings.append(f"{n_mended} voxels held no number and were mended")
    if is_label_like(values) and not config.force:
        raise UnusableInputError("scan in memory: is a label map or a mask; give the T1-weighted scan, or force")
    return Scan(
        name="scan.nii.gz",
        volume=Volume(values, affine),
        warnings=tuple(warnings),
        file_format="memory",
        stored_dtype=stored.dtype,
        stored_shape=values.shape,
        is_orientation_known=True,
        space_code=1,
    )
