"""What a user can decide about a segmentation, and which of it changes the result."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neuronat.errors import ConfigError
from neuronat.space.scan import ReadOptions

__all__ = ["Progress", "SegmentConfig", "lacks_report", "no_progress", "part_of", "result_settings"]

Progress = Callable[[str, float], None]
"""Takes the name of the step at hand and the share of the whole that is done, in [0, 1]."""

CHOICES = {
    "effort": ("usual", "fast", "best"),
    "stripped": ("auto", "yes", "no"),
    "space": ("native", "working"),
    "file_format": ("nii.gz", "mgz"),
}


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """How scans are segmented.

    `models`: names or folders; those of the default pipeline if empty. `effort`: `fast` takes the fastest of these
    alone, which sees a scan once, and not its mirror image as well; with `best` all networks see both. `protocols`:
    which of theirs, all if empty. `mask`: brain mask of the one scan. `stripped`: whether the scan is 0 outside the
    brain. `space`: the grid of the outputs, the scan's own or the working grid. `keeps_islands`: small pieces far
    from a structure's body stay. `has_report`: write a page to look at, `has_thumbnail` with a small picture beside
    it; `has_stats`: a file like FreeSurfer's aseg.stats; `has_luts`: colour tables for viewers; `has_freesurfer_ids`:
    labels once more in FreeSurfer's ids. `is_packed`: the files of a scan as one zip file.
    `n_threads`: None for torch's own choice. `force` lifts the refusals of scans that do not look like a T1 of a
    brain, those of `reading` as well. `overwrite`: replace a result of other scans, models or settings. `strict`:
    refuse what else would only get a warning. `tile_vox`: edge of the tiles, which bounds memory. `fallback`: what a
    cohort changed after a first attempt failed; it stands in the sidecars.
    """

    models: tuple[str, ...] = ()
    effort: str = "usual"
    protocols: tuple[str, ...] = ()
    mask: Path | None = None
    stripped: str = "auto"
    has_crf: bool = True
    keeps_islands: bool = False
    has_probabilities: bool = False
    has_report: bool = True
    has_thumbnail: bool = False
    has_stats: bool = False
    has_luts: bool = False
    has_freesurfer_ids: bool = False
    space: str = "native"
    file_format: str = "nii.gz"
    is_packed: bool = False
    device: str = "auto"
    n_threads: int | None = None
    force: bool = False
    overwrite: bool = False
    strict: bool = False
    tile_vox: int = 64
    fallback: str = ""
    reading: ReadOptions = field(default_factory=ReadOptions)

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        if self.effort == "fast" and self.models:
            raise ConfigError("the fast way chooses the model itself; leave out the model or --fast")
        if self.n_threads is not None and self.n_threads < 1:
            raise ConfigError(f"n_threads must be at least 1; got {self.n_threads}")
        if self.reading.force and not self.force:
            raise ConfigError("reading.force alone would read what is refused later; set force, which means both")
        object.__setattr__(self, "reading", replace(self.reading, force=self.force))


def result_settings(config: SegmentConfig) -> dict[str, Any]:
    """Return the settings that change what is written, as plain values; device and threads do not.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> result_settings(SegmentConfig(has_crf=False))["crf"]
    False
    """
    return {
        "effort": config.effort,
        "protocols": list(config.protocols),
        "stripped": config.stripped,
        "crf": config.has_crf,
        "keeps_islands": config.keeps_islands,
        "probabilities": config.has_probabilities,
        "report": config.has_report,
        "stats": config.has_stats,
        "luts": config.has_luts,
        "freesurfer_ids": config.has_freesurfer_ids,
        "space": config.space,
        "format": config.file_format,
        "packed": config.is_packed,
        "force": config.force,
        "strict": config.strict,
        "frame": config.reading.frame,
        "use_form": config.reading.use_form,
        "assume_orientation": config.reading.assume_orientation,
    }


def no_progress(_step: str, _done: float) -> None:
    """Show nothing."""


def part_of(progress: Progress, start: float, *, share: float) -> Progress:
    """Let a step that counts from 0 to 1 report its share of the whole."""
    return lambda step, done: progress(step, start + share * done)


def lacks_report(difference: str) -> bool:
    """Tell whether a result differs in that its report had failed, or was not wanted then."""
    return difference.startswith("settings report: False there")
