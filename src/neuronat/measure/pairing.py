"""Pair predicted label maps with their references, by name alone; no file is touched.

A name says which scan it belongs to and in which **protocol** it is: `sub-01_seg-deepnat25_dseg.nii.gz` is scan
`sub-01` in `deepnat25`. Names pair when their scans are the same; where one scan's name only goes on from the
other's at an underscore (`1003_3` and `1003_3_glm`, `sub-01` and `sub-01_ses-a`), they pair if nothing else fits.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuronat.errors import UsageError
from neuronat.labels.scheme import load_scheme, scheme_names
from neuronat.record import shown_name, stem_of

__all__ = ["Pairing", "pair_by_name", "protocol_of", "scan_of"]

PROTOCOL = re.compile(r"(?:^|_)seg-([0-9a-zA-Z+]+)(?=_|\.|$)")
DESCRIPTION = re.compile(r"(desc|space|res|den|seg|label|atlas)-[0-9a-zA-Z+]+")
LABEL_SUFFIXES = frozenset({"dseg", "label", "labels", "seg", "segmentation"})


@dataclass(frozen=True)
class Pairing:
    """Pairs (scan, predicted, reference) in the order of the scans, and the files that found no partner.

    A scan goes by its reference's name, so that tables of several methods agree on it.
    """

    pairs: tuple[tuple[str, Path, Path], ...]
    unpaired: tuple[Path, ...]


def protocol_of(path: Path) -> str:
    """Return the protocol that a file's name states (`seg-<protocol>`); empty where it states none.

    Notes
    -----
    Source: ours, after BIDS.

    Examples
    --------
    >>> protocol_of(Path("sub-01_seg-deepnat25_dseg.nii.gz"))
    'deepnat25'
    """
    found = PROTOCOL.search(path.name)
    return found[1] if found else ""


def scan_of(path: Path) -> str:
    """Return the name of the scan that a label map belongs to.

    Notes
    -----
    Source: ours; the stem of the outputs (`neuronat.record.stem_of`), and the same idea for other names.

    Examples
    --------
    >>> [scan_of(Path(name)) for name in ("sub-01_seg-deepnat25_dseg.nii.gz", "case 7_seg-a_dseg.nii", "case 7.nii")]
    ['sub-01', 'case 7', 'case 7']
    """
    stem = shown_name(Path(stem_of(path)))
    parts = stem.split("_")
    if len(parts) > 1 and parts[-1] in LABEL_SUFFIXES:
        parts.pop()
    kept = [part for part in parts if not DESCRIPTION.fullmatch(part)]
    return "_".join(kept) or stem


def pair_by_name(predicted: Sequence[Path], reference: Sequence[Path], *, scheme: str = "") -> Pairing:
    """Pair label maps that belong to the same scan.

    Parameters
    ----------
    predicted, reference : sequence of Path
        Label maps, as found in two folders.
    scheme : str
        Name of the scheme to compare in; where a scan has several label maps, decides between them. Without
        it, label maps of the same protocol pair, or else the only ones that map onto each other.

    Returns
    -------
    Pairing
        One pair per scan that both sides hold.

    Raises
    ------
    UsageError
        If a scan has several label maps and nothing decides between them; the message lists them.

    Notes
    -----
    Source: ours.
    """
    left, right = _by_scan(predicted), _by_scan(reference)
    partner_of = {scan: scan for scan in left if scan in right}
    partner_of |= _extended(left.keys() - partner_of.keys(), right.keys() - partner_of.keys())
    pairs, used = [], set()
    for own, scan in sorted(partner_of.items(), key=lambda pair: pair[1]):
        chosen = _choose(scan, left[own], right[scan], scheme)
        pairs.append((scan, *chosen))
        used |= {*left[own], *right[scan]}
    return Pairing(tuple(pairs), tuple(path for path in (*predicted, *reference) if path not in used))


def _by_scan(paths: Iterable[Path]) -> dict[str, list[Path]]:
    by_scan: dict[str, list[Path]] = {}
    for path in paths:
        by_scan.setdefault(scan_of(path), []).append(path)
    return by_scan


def _extended(left: set[str], right: set[str]) -> Mapping[str, str]:
    """Pair the names of which one goes on from the other, where that leaves no choice on either side."""

    def is_extension(a: str, b: str) -> bool:
        return a.startswith(f"{b}_") or b.startswith(f"{a}_")

    fitting = {a: [b for b in right if is_extension(a, b)] for a in left}
    wanted = [b for found in fitting.values() for b in found]
    return {a: found[0] for a, found in fitting.items() if len(found) == 1 and wanted.count(found[0]) == 1}


def _choose(scan: str, left: Sequence[Path], right: Sequence[Path], scheme: str) -> tuple[Path, Path]:
    """Choose one pair among a scan's label maps: by the scheme asked for, by one protocol, or by a mapping."""
    choices = [(a, b) for a in left for b in right]
    for is_fit in (
        lambda a, b: a == b == scheme,
        lambda a, b: scheme and _maps(a, scheme) and _maps(b, scheme),
        lambda a, b: a == b,
        lambda a, b: _maps(a, b) or _maps(b, a),
    ):
        fitting = [pair for pair in choices if is_fit(*map(protocol_of, pair))]
        if len(fitting) == 1:
            return fitting[0]
        choices = fitting or choices
    if len(choices) == 1:
        return choices[0]
    listed = ", ".join(sorted({shown_name(path) for pair in choices for path in pair}))
    raise UsageError(f"scan {scan} has several label maps ({listed}); name the two files, or give --scheme")


def _maps(source: str, target: str) -> bool:
    """Tell whether the shipped scheme `source` is `target`, or maps onto it."""
    return source == target or (source in scheme_names() and target in load_scheme(source).mappings)
