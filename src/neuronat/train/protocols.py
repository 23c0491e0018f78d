"""Which label maps teach which scan: found by their names, or listed in a table.

A training set is a folder or a table of scans, each with any subset of the protocols (decision 0014). Label maps
are found beside a scan, or in other folders, under neuronat's own names (`<stem>_seg-<protocol>_dseg`) and under
those that the tools give them.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import MappingProxyType

from neuronat.errors import LabelError, MissingInputError, UnusableInputError, UsageError
from neuronat.record import DERIVATIVE_ENTITIES, EXTENSIONS, shown_name, stem_of
from neuronat.space.source import IMAGE_ENDINGS

__all__ = ["ProtocolScan", "find_protocol_maps", "find_protocol_scans", "matching_paths", "read_scan_table"]

PROTOCOL_MAP = re.compile(r"(?P<middle>.*)_seg-(?P<protocol>[a-z0-9]+)(?P<rest>.*)_dseg")
SPM_PARTS = ("c1", "c2", "c3")
TOOL_NAMES = (  # protocol, beginning before the stem, ending; of one protocol the first that is there counts
    ("fslfast", "", "_seg"),
    ("fslfast", "", "_pveseg"),
    ("fslfirst", "", "_all_fast_firstseg"),
    ("fslfirst", "", "_firstseg"),
    ("malpem", "", "_MALPEM"),
    ("malpemtissue", "", "_MALPEM_tissues"),
    ("spmtissue", SPM_PARTS[0], ""),
)
LACKING = ("", "n/a")


@dataclass(frozen=True)
class ProtocolScan:
    """A scan and its label maps: per protocol one file, or SPM's three probability maps (c1, c2, c3)."""

    name: str
    scan: Path
    maps: Mapping[str, tuple[Path, ...]]


def find_protocol_maps(folder: Path, stem: str, others: Iterable[str] = ()) -> dict[str, tuple[Path, ...]]:
    """Find the label maps of one scan in a folder.

    Parameters
    ----------
    folder : Path
        Looked through without its subfolders.
    stem : str
        What the names of the scan's files share (`record.stem_of`).
    others : iterable of str
        Stems of other scans: what could be of one with a longer stem is its own.

    Returns
    -------
    dict of protocol to paths
        One path each; for SPM the three maps of grey matter, white matter and CSF. neuronat's own name goes
        before a tool's.

    Raises
    ------
    UsageError
        If several files could be the one of a protocol.
    MissingInputError
        If of SPM's three maps one is missing.

    Notes
    -----
    Source: the tools' documentation: FAST writes `_seg` and `_pveseg`, FIRST `_all_fast_firstseg`, SPM `c1`, `c2`
    and `c3` before the name, MALP-EM `_MALPEM` and `_MALPEM_tissues`.
    """
    candidates: dict[str, dict[int, list[Path]]] = {}
    longer = [other for other in others if len(other) > len(stem) and other.startswith(stem)]
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        base = EXTENSIONS.sub("", path.name)
        if path.name.endswith(IMAGE_ENDINGS) and not any(any(_claims(base, other)) for other in longer):
            for protocol, rank in _claims(base, stem):
                candidates.setdefault(protocol, {}).setdefault(rank, []).append(path)
    found = {}
    for protocol, by_rank in sorted(candidates.items()):
        paths = by_rank[min(by_rank)]
        if len(paths) > 1:
            listed = ", ".join(shown_name(path) for path in paths)
            raise UsageError(f"{stem}: several files could be its {protocol} ({listed}); keep one")
        found[protocol] = _with_parts(protocol, paths[0])
    return found


def _claims(base: str, stem: str) -> Iterable[tuple[str, int]]:
    """Yield the protocols that a file of this name could hold, with the rank of the naming."""
    own = PROTOCOL_MAP.fullmatch(base)
    if own and own["middle"].startswith(stem):
        if _is_derivative(own["middle"].removeprefix(stem) + own["rest"]):
            yield own["protocol"], -1
        return
    for rank, (protocol, beginning, ending) in enumerate(TOOL_NAMES):
        start = beginning + stem
        if base.startswith(start) and base.endswith(ending) and len(base) >= len(start) + len(ending):
            middle = base[len(start) : len(base) - len(ending)]
            if _is_derivative(middle):
                yield protocol, rank


def _is_derivative(middle: str) -> bool:
    """Tell whether what stands between stem and ending describes the same scan, not another one."""
    if middle and not middle.startswith("_"):
        return False
    return all("-" not in part or part.split("-")[0] in DERIVATIVE_ENTITIES for part in middle.split("_"))


def _with_parts(protocol: str, path: Path) -> tuple[Path, ...]:
    """Complete SPM's first map by the other two; any other label map stands alone."""
    if protocol != "spmtissue" or not path.name.startswith(SPM_PARTS[0]):
        return (path,)
    parts = tuple(path.with_name(part + path.name.removeprefix(SPM_PARTS[0])) for part in SPM_PARTS)
    for part in parts:
        _require_file(part, shown_name(path))
    return parts


def find_protocol_scans(folder: Path, *, scans: str, label_folders: Sequence[Path] = ()) -> list[ProtocolScan]:
    """Find the scans of a folder, each with the label maps beside it and in other folders.

    Parameters
    ----------
    folder : Path
        Where the scans are.
    scans : str
        Glob pattern of the scans, relative to the folder, such as `*/anat/*_desc-brain_T1w.nii.gz`.
    label_folders : sequence of Path
        Folders that hold label maps of these scans, such as one that `neuronat targets` wrote.

    Returns
    -------
    list of ProtocolScan
        Sorted by name; a scan may lack any protocol, or all.

    Raises
    ------
    MissingInputError
        If nothing matches, or a folder is missing.
    UsageError
        If two scans have one name, a scan has several files of one protocol, or `scans` is no pattern.

    Notes
    -----
    Source: ours.
    """
    for needed in (folder, *label_folders):
        if not needed.is_dir():
            raise MissingInputError(f"{shown_name(needed)}: folder not found; check the path")
    paths = matching_paths(folder, scans)
    if not paths:
        raise MissingInputError(f"{shown_name(folder)}: no scans match {scans}; check the pattern")
    found, stems = [], [stem_of(path) for path in paths]
    for path, stem in zip(paths, stems, strict=True):
        maps: dict[str, tuple[Path, ...]] = {}
        for place in dict.fromkeys((path.parent, *label_folders)):
            for protocol, files in find_protocol_maps(place, stem, stems).items():
                if protocol in maps:
                    listed = f"{shown_name(maps[protocol][0])} and {shown_name(files[0])}"
                    raise UsageError(f"{stem}: {protocol} is in two folders ({listed}); keep one")
                maps[protocol] = files
        maps = {protocol: files for protocol, files in maps.items() if path not in files}
        found.append(ProtocolScan(stem, path, MappingProxyType(maps)))
    _require_distinct(found, shown_name(folder))
    return sorted(found, key=lambda scan: scan.name)


def matching_paths(folder: Path, pattern: str) -> list[Path]:
    """Find what matches a glob in a folder, sorted; UsageError for a pattern that cannot be looked for.

    Notes
    -----
    Source: ours.
    """
    try:
        return sorted(folder.glob(pattern))
    except (ValueError, NotImplementedError) as error:  # empty or absolute
        raise UsageError(
            f"{pattern!r}: is no pattern of names in a folder, such as **/*_T1w.nii.gz ({error})"
        ) from error


def read_scan_table(path: Path) -> list[ProtocolScan]:
    """Read a training set from a table.

    Parameters
    ----------
    path : Path
        Tab-separated: the column `scan`, and one per protocol; paths relative to the table. An empty field or
        `n/a` is a protocol that the scan lacks. Of SPM's three maps the first (c1) is named.

    Returns
    -------
    list of ProtocolScan
        In the order of the table.

    Raises
    ------
    MissingInputError
        If the table or a file that it names is not there.
    LabelError
        If a column stands there twice.
    UnusableInputError
        If the table has no column `scan`, no protocol or no rows, or is no text.
    UsageError
        If two scans have one name.

    Notes
    -----
    Source: ours.
    """
    name = shown_name(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a mark first
    except OSError as error:
        raise MissingInputError(f"{name}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UnusableInputError(f"{name}: is no text in UTF-8; save the table as such") from error
    try:
        rows = [row for row in csv.reader(StringIO(text), delimiter="\t") if any(row)]
    except csv.Error as error:
        raise UnusableInputError(f"{name}: cannot be read ({error})") from error
    header, *rows = rows or [[]]
    if twice := sorted({column for column in header if header.count(column) > 1}):
        raise LabelError(f"{name}: the columns {', '.join(twice)} stand there more than once; keep one of each")
    if "scan" not in header or len(header) < 2 or not rows:
        raise UnusableInputError(f"{name}: needs a column scan, at least one protocol's, and rows; separate by tabs")
    if ragged := [row[0] for row in rows if len(row) != len(header)]:
        raise UnusableInputError(f"{name}: the rows {', '.join(ragged)} have more or fewer fields than the header")
    found = [_listed_scan(dict(zip(header, row, strict=True)), path.parent, name) for row in rows]
    _require_distinct(found, name)
    return found


def _listed_scan(fields: dict[str, str], folder: Path, table: str) -> ProtocolScan:
    """Turn a row of a table into a scan; every file that it names must be there."""
    scan = folder / fields.pop("scan")
    named = {protocol: folder / field for protocol, field in fields.items() if field not in LACKING}
    for path in (scan, *named.values()):
        _require_file(path, table)
    maps = {protocol: _with_parts(protocol, path) for protocol, path in named.items()}
    return ProtocolScan(stem_of(scan), scan, MappingProxyType(maps))


def _require_file(path: Path, named_by: str) -> None:
    if not path.is_file():
        raise MissingInputError(f"{named_by}: {shown_name(path)} not found; check the path")


def _require_distinct(scans: Sequence[ProtocolScan], where: str) -> None:
    names = [scan.name for scan in scans]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{where}: several scans have the name {', '.join(twice)}; rename them")
