"""The tables of a group: every scan's state, the volumes by protocol, the failures."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuronat.cohort.entry import Row
from neuronat.errors import NeuronatError
from neuronat.pipeline.pack import read_result_file
from neuronat.record import write_whole

__all__ = ["VolumeTable", "gather_volumes", "write_failures", "write_status", "write_volumes"]

STATUS = (
    "scan", "state", "code", "verdict", "n_warnings", "outliers", "duration_s", "peak_memory_gb", "device", "version",
    "models", "fallback", "message",
)  # fmt: skip
NOT_KNOWN = "n/a"


@dataclass(frozen=True, eq=False)
class VolumeTable:
    """Volumes (N, S) float64 in mm3 of S structures in N scans; NaN where a volume is not known."""

    protocol: str
    scans: Sequence[str]
    structures: Sequence[str]
    volumes_mm3: NDArray[np.float64]


@dataclass(eq=False)
class _Gathered:
    """One protocol while it is read: structures in the order of appearance, and one list per scan."""

    places: dict[str, int] = field(default_factory=dict)
    scans: list[str] = field(default_factory=list)
    values: list[NDArray[np.float64]] = field(default_factory=list)


def gather_volumes(out: Path, rows: Iterable[Row]) -> tuple[VolumeTable, ...]:
    """Read the volumes of all scans that are done.

    Parameters
    ----------
    out : Path
        The folder of the results.
    rows : iterable of Row
        What became of the scans.

    Returns
    -------
    tuple of VolumeTable
        One per protocol. A table that cannot be read leaves its scan out.

    Notes
    -----
    Source: ours. 100,000 scans of 26 structures take 20 MB.
    """
    gathered: dict[str, _Gathered] = {}
    for row in rows:
        for protocol in row.protocols:
            volumes = _read_volumes(out / row.folder, row.stem, protocol)
            if volumes:
                one = gathered.setdefault(protocol, _Gathered())
                for name in volumes:
                    one.places.setdefault(name, len(one.places))
                values = np.full(len(one.places), np.nan)
                values[[one.places[name] for name in volumes]] = list(volumes.values())
                one.scans.append(row.key)
                one.values.append(values)
    return tuple(_table(protocol, one) for protocol, one in sorted(gathered.items()))


def write_status(path: Path, rows: Iterable[Row], outliers: dict[str, tuple[str, ...]]) -> None:
    """Write one line per scan: state, verdict, times; `outliers` names structures by scan."""
    _write(path, STATUS, (_status(row, outliers.get(row.key, ())) for row in rows))


def write_failures(path: Path, rows: Iterable[Row]) -> None:
    """Write one line per scan that has no result, with the reason."""
    failed = (row for row in rows if row.state not in ("done", "already done"))
    _write(path, ("scan", "state", "code", "message"), ((r.key, r.state, str(r.code), r.message) for r in failed))


def write_volumes(path: Path, table: VolumeTable) -> None:
    """Write one line per scan, one column per structure, in mm3."""
    lines = (
        (scan, *("n/a" if math.isnan(value) else f"{value:.1f}" for value in values))
        for scan, values in zip(table.scans, table.volumes_mm3.tolist(), strict=True)
    )
    _write(path, ("scan", *table.structures), lines)


def _table(protocol: str, one: _Gathered) -> VolumeTable:
    """Join what was gathered; scans that were read before a structure appeared do not know it."""
    volumes = np.full((len(one.values), len(one.places)), np.nan)
    for line, values in zip(volumes, one.values, strict=True):
        line[: len(values)] = values
    return VolumeTable(protocol, one.scans, list(one.places), volumes)


def _read_volumes(folder: Path, stem: str, protocol: str) -> dict[str, float]:
    """Read the volumes of one scan by name; nothing if the table is not one of ours."""
    try:
        text = read_result_file(folder, stem, f"{stem}_seg-{protocol}_volumes.tsv")
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["name"]: math.nan if row["volume_mm3"] == NOT_KNOWN else float(row["volume_mm3"]) for row in rows}
    except (NeuronatError, ValueError, KeyError, TypeError, csv.Error):
        return {}


def _status(row: Row, outliers: Sequence[str]) -> tuple[str, ...]:
    """Return the fields of one line."""
    numbers = (row.duration_s, row.peak_memory_gb)
    models = " ".join(f"{name}:{digest[:12]}" for name, digest in row.models.items())
    return (
        row.key, row.state, str(row.code), row.verdict, str(len(row.warnings)), ", ".join(outliers),
        *(NOT_KNOWN if number is None else f"{number:g}" for number in numbers),
        row.device, row.version, models, row.fallback, row.message,
    )  # fmt: skip


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Write a table line by line, whole or not at all; what is empty is n/a."""

    def write(stream: BinaryIO) -> None:
        for text in _texts(columns, lines):
            stream.write(text.encode("utf-8"))

    write_whole(path, write)


def _texts(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "\t".join(columns) + "\n"
    for fields in lines:
        yield "\t".join(" ".join(text.split()) or NOT_KNOWN for text in fields) + "\n"
