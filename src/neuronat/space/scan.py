"""The nouns of reading: how a scan shall be read, and what came out of its file."""

from dataclasses import dataclass

import numpy as np

from neuronat.errors import ConfigError
from neuronat.space.volume import Volume

__all__ = ["ReadOptions", "Scan"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read a file.

    `frame` picks one 3D frame of a 4D file, counted from 0. `use_form` (`sform` or `qform`) decides where the
    two contradict each other. `assume_orientation` (three letters such as `LAS`) lets an Analyze 7.5 file in.
    `max_voxels` replaces the limit that comes from free memory. `force` lifts the refusals of files that do
    not look like a scan of a head, and turns them into warnings. `series` is the UID, or the number, of one
    series of a DICOM folder.
    """

    frame: int | None = None
    use_form: str | None = None
    assume_orientation: str | None = None
    max_voxels: int | None = None
    force: bool = False
    series: str | None = None

    def __post_init__(self) -> None:
        if self.frame is not None and self.frame < 0:
            raise ConfigError(f"frame must be 0 or above; got {self.frame}")
        if self.use_form not in (None, "sform", "qform"):
            raise ConfigError(f"use_form must be sform or qform; got {self.use_form!r}")
        if self.max_voxels is not None and self.max_voxels < 1:
            raise ConfigError(f"max_voxels must be above 0; got {self.max_voxels}")
        letters = self.assume_orientation
        if letters is not None:
            axes = sorted("LR" if c in "LR" else "AP" if c in "AP" else "IS" for c in letters if c in "LRAPIS")
            if len(letters) != 3 or axes != ["AP", "IS", "LR"]:
                raise ConfigError(f"assume_orientation must be three letters such as LAS; got {letters!r}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan:
    """One scan as read: grey values with their affine, and what its file said.

    `name` is the file's own name; `warnings` are lines for the user about what may be wrong, `notes` about what
    is only worth knowing. `is_orientation_known` is False where
    the file does not say which side is left. `space_code` is the NIfTI code of the form that was used (0
    unknown, 1 scanner, 2 aligned, 4 MNI). `echo_ms` is the echo time if the header names
    one.
    """

    name: str
    volume: Volume
    warnings: tuple[str, ...]
    file_format: str
    stored_dtype: np.dtype
    stored_shape: tuple[int, ...]
    is_orientation_known: bool
    space_code: int
    notes: tuple[str, ...] = ()
    echo_ms: float | None = None

    @property
    def n_frames(self) -> int:
        """Number of 3D frames in the file."""
        return int(np.prod(self.stored_shape[3:], dtype=object))
