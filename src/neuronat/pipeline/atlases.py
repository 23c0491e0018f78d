"""Atlases for a scan: found, chosen, registered once, and kept beside the results for the next method.

A registration's file is named after all that it depends on, so that one that is there can be used as it is.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from neuronat import __version__
from neuronat.errors import ConfigError, MissingInputError, UsageError
from neuronat.labels.scheme import LabelScheme
from neuronat.pipeline.apart import processor_s, run_apart
from neuronat.prepare.conform import labels_to_working
from neuronat.prepare.registration import QUALITIES, register_atlas
from neuronat.prepare.scan import PreparedScan, prepare_scan
from neuronat.record import sha256_of, shown_name, write_whole
from neuronat.space.loading import naming
from neuronat.train.packing import LabelledScan, find_labelled_scans, read_labelled_scan

__all__ = ["Atlas", "AtlasConfig", "RegisteredAtlas", "Target", "choose_atlases", "register_atlases"]

logger = logging.getLogger(__name__)

LEAST_ATLASES = 2
FOLDER = "registrations"
ARRAYS = ("grey", "ids", "seconds", "cpu_seconds")


@dataclass(frozen=True, kw_only=True)
class AtlasConfig:
    """Where atlases are and which to take; file names as in `train.packing.find_labelled_scans`.

    `leave_out`: names of scans that are not used. `most`: so many at most, the first by name. `quality` is a key of
    `prepare.registration.QUALITIES`.
    """

    folder: Path
    scans: str
    mask_ending: str
    label_ending: str
    leave_out: tuple[str, ...] = ()
    most: int | None = None
    quality: str = "fast"

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise ConfigError(f"quality must be one of {', '.join(QUALITIES)}; got {self.quality!r}")
        if self.most is not None and self.most < LEAST_ATLASES:
            raise ConfigError(f"the number of atlases must be at least {LEAST_ATLASES}; got {self.most}")


@dataclass(frozen=True)
class Atlas:
    """A labelled scan, and one SHA-256 of its three files."""

    files: LabelledScan
    sha256: str


@dataclass(frozen=True, eq=False)
class RegisteredAtlas:
    """Grey values (I, J, K) float32 and ids (I, J, K) of an atlas on a scan's grid, and the time that took."""

    name: str
    grey: NDArray[np.float32]
    ids: NDArray[np.signedinteger]
    seconds: float
    cpu_seconds: float


def choose_atlases(config: AtlasConfig, stem: str, scan_sha256: str) -> tuple[Atlas, ...]:
    """Find the atlases for a scan; the scan itself is none, whatever it is called.

    Parameters
    ----------
    config : AtlasConfig
        Where to look, and what to leave out.
    stem, scan_sha256 : str
        The scan's stem, and the hash of its file.

    Returns
    -------
    tuple of Atlas
        By name.

    Raises
    ------
    MissingInputError
        If there is no folder, no scan in it, or one without mask or label map.
    UsageError
        If a name to leave out is none of theirs, or fewer than two are left.

    Notes
    -----
    Source: ours.
    """
    folder = shown_name(config.folder)
    if not config.folder.is_dir():
        raise MissingInputError(f"{folder}: folder of atlases not found; check the path")
    found = find_labelled_scans(
        config.folder, scans=config.scans, mask_ending=config.mask_ending, label_ending=config.label_ending
    )
    names = [scan.name for scan in found]
    if unknown := sorted(set(config.leave_out) - set(names)):
        raise UsageError(f"--leave-out {', '.join(unknown)}: no such atlas in {folder}; there are {', '.join(names)}")
    others = [scan for scan in found if scan.name not in {stem, *config.leave_out}]
    atlases = [_atlas(scan) for scan in others if sha256_of(scan.scan) != scan_sha256][: config.most]
    if len(atlases) < LEAST_ATLASES:
        raise UsageError(
            f"{folder}: {len(atlases)} atlases are left beside the scan itself; at least {LEAST_ATLASES} are needed"
        )
    return tuple(atlases)


def _atlas(scan: LabelledScan) -> Atlas:
    """Join the hashes of an atlas's files."""
    hashes = "".join(sha256_of(path) for path in (scan.scan, scan.mask, scan.labels))
    return Atlas(scan, hashlib.sha256(hashes.encode("ascii")).hexdigest())


@dataclass(frozen=True, eq=False)
class Target:
    """The scan that atlases are registered to: its stem, prepared; `made_from` is what its preparation depends on."""

    stem: str
    prepared: PreparedScan
    made_from: Mapping[str, Any]
    n_threads: int | None = None


def register_atlases(
    target: Target,
    atlases: Sequence[Atlas],
    scheme: LabelScheme,
    *,
    quality: str,
    out: Path,
    progress: Callable[[str, float], None],
) -> list[RegisteredAtlas]:
    """Register atlases to a scan, or take the registrations that are kept in `out`.

    Parameters
    ----------
    target : Target
        The scan.
    atlases : sequence of Atlas
        What is registered to it.
    scheme : LabelScheme
        Of the atlases' label maps.
    quality : str
        A key of `prepare.registration.QUALITIES`.
    out : Path
        Results' folder; registrations go into its folder `registrations`.
    progress : callable
        Takes the step's name and the share done.

    Returns
    -------
    list of RegisteredAtlas
        In the order of the atlases.

    Raises
    ------
    UnusableInputError
        If an atlas cannot be read, prepared or registered.
    MemoryShortError
        If ANTs was killed.
    OutputError
        If a registration cannot be kept.

    Notes
    -----
    Source: ours.
    """
    registered = []
    for number, atlas in enumerate(atlases):
        progress(f"registering {atlas.files.name} ({number + 1} of {len(atlases)})", number / len(atlases))
        path = out / FOLDER / f"{target.stem}_from-{atlas.files.name}_{_key(target, atlas, scheme, quality)}.npz"
        kept = _read(path, atlas.files.name, target.prepared.mask.shape)
        if kept is None:
            kept = _register(target, atlas, scheme, quality)
            _keep(path, kept)
        registered.append(kept)
    return registered


def _key(target: Target, atlas: Atlas, scheme: LabelScheme, quality: str) -> str:
    """Name in twelve digits all that a registration depends on."""
    facts: dict[str, Any] = {
        "target": dict(target.made_from),
        "atlas": atlas.sha256,
        "scheme": list(scheme.ids),
        "quality": QUALITIES[quality],
        "versions": [__version__, version("antspyx")],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8")).hexdigest()[:12]


def _register(target: Target, atlas: Atlas, scheme: LabelScheme, quality: str) -> RegisteredAtlas:
    """Prepare an atlas and register it."""
    start_s, start_cpu_s = time.monotonic(), processor_s()
    volume, mask, native_ids = read_labelled_scan(atlas.files, scheme)
    with naming(atlas.files.scan):
        prepared = prepare_scan(volume, mask)
        ids = labels_to_working(native_ids, prepared.grid)[prepared.box]
        inside = scheme.classes_of(np.where(prepared.mask, ids, 0))
        images = (target.prepared.intensities, prepared.intensities, inside)
        grey, classes = run_apart(register_atlas, *images, quality, n_threads=target.n_threads)
    taken_s, taken_cpu_s = time.monotonic() - start_s, processor_s() - start_cpu_s
    return RegisteredAtlas(atlas.files.name, grey, scheme.ids_of(classes), taken_s, taken_cpu_s)


def _keep(path: Path, atlas: RegisteredAtlas) -> None:
    """Write a registration, whole or not at all."""
    arrays: dict[str, Any] = {key: getattr(atlas, key) for key in ARRAYS}
    write_whole(path, lambda stream: np.savez_compressed(stream, **arrays))


def _read(path: Path, name: str, shape: tuple[int, ...]) -> RegisteredAtlas | None:
    """Read a registration that was kept; None where there is none that can be used."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            grey, ids, *seconds = (arrays[key] for key in ARRAYS)
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        logger.warning("%s is damaged and is made anew", shown_name(path))
        return None
    is_fit = grey.shape == ids.shape == shape
    return RegisteredAtlas(name, grey, ids, *(float(number) for number in seconds)) if is_fit else None
