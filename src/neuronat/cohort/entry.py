"""The nouns of a cohort: its scans, which of them, and what became of each."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from neuronat.errors import ConfigError
from neuronat.pipeline.settings import SegmentConfig
from neuronat.record import stem_of

__all__ = [
    "FAILED_STATES",
    "Cohort",
    "Entry",
    "Gap",
    "Job",
    "Row",
    "Selection",
    "Work",
    "key_of",
    "parse_part",
    "readable",
]

FAILED_STATES = ("failed", "killed", "timeout")
PART = re.compile(r"(\d+)/(\d+)")


def parse_part(text: str) -> tuple[int, int]:
    """Read `2/3` as (2, 3); ConfigError for anything else."""
    found = PART.fullmatch(text)
    if found is None:
        raise ConfigError(f"part must be i/n, such as 2/3; got {text!r}")
    return int(found[1]), int(found[2])


def key_of(folder: str, stem: str) -> str:
    """Join folder and stem of a scan's results: the name by which a cohort knows it."""
    return f"{folder}/{stem}" if folder else stem


def readable(name: str) -> str:
    r"""Return a file's name as it can be written into a table: bytes of it that are not UTF-8 are escaped.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> readable("Jörg"), readable(os.fsdecode(b"M\xfcller"))
    ('Jörg', 'M\\xfcller')
    """
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")


@dataclass(frozen=True)
class Entry:
    """One scan, the folder of its results (relative, with `/`), and its brain mask if one is given."""

    scan: Path
    folder: str
    mask: Path | None = None

    @cached_property
    def stem(self) -> str:
        """What the names of its results begin with."""
        return stem_of(self.scan)

    @property
    def key(self) -> str:
        """Its name in the cohort."""
        return key_of(self.folder, self.stem)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that was expected and gives no result: a subject without a T1w, or two scans of one name."""

    folder: str
    stem: str
    message: str
    is_failure: bool
    code: int = 66


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The scans of a cohort and the gaps in it."""

    entries: tuple[Entry, ...]
    gaps: tuple[Gap, ...] = ()
    is_bids: bool = False


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which scans of a source: participants, sessions and entities of BIDS; masks; one part of several.

    `participants` and `sessions` are labels with or without `sub-` and `ses-`; empty means all. `entities`
    holds what the T1w's name must say, such as `acq: mprage`. `masks` is a folder laid out like the source.
    `part`: (2, 3) takes the second of three parts.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    masks: Path | None = None
    part: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        number, of = self.part
        if not 1 <= number <= of:
            raise ConfigError(f"part must be i/n with i from 1 to n, such as 2/3; got {number}/{of}")

    @property
    def is_filtered(self) -> bool:
        """Whether only a BIDS data set can answer it."""
        return bool(self.participants or self.sessions or self.entities)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one scan.

    `state`: `done`, `already done`, `failed`, `killed`, `timeout`, `busy` (another live run has it), `stopped`
    (this run was), `skipped` (there is no scan), `running` or `missing`. `code` is the exit code that the scan
    alone would have had. `kind` sorts failures that are worth another attempt: `killed`, `memory`, `device`, or
    nothing. `protocols` are those whose volumes lie beside the marker, or in the pack.
    """

    folder: str
    stem: str
    state: str
    code: int = 0
    kind: str = ""
    message: str = ""
    verdict: str = ""
    warnings: tuple[str, ...] = ()
    duration_s: float | None = None
    peak_memory_gb: float | None = None
    device: str = ""
    version: str = ""
    models: dict[str, str] = field(default_factory=dict)
    fallback: str = ""
    protocols: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name in the cohort, fit for tables."""
        return readable(key_of(self.folder, self.stem))

    @property
    def is_failure(self) -> bool:
        """Whether a scan was tried in vain."""
        return self.state in FAILED_STATES


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every worker is told: where the results go and how scans are segmented.

    `run` names this run. `work` is called once in a worker, with the job and the number of its seat, and
    returns the function that is then called with one entry after the other. `timeout_s` is the longest that
    one scan may take; a worker is replaced after `scans_per_worker`, so that what leaks is given back.
    """

    out: Path
    config: SegmentConfig
    run: str
    work: "Work"
    timeout_s: float = 1800.0
    scans_per_worker: int = 50
    n_gpus: int = 0


Work = Callable[[Job, int], Callable[[Entry], Row]]
