"""What a network of several protocols is taught: the protocols, and the classes that a scan has in each.

Everything that can be wrong with label maps and tables is found here, before the first step of a training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import ConfigError, GridError, LabelError, UnusableInputError
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.space.affine import is_same_grid
from neuronat.space.files import read_label_map, read_volume
from neuronat.space.loading import naming
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import LabelMap, Volume
from neuronat.train.protocols import ProtocolScan

__all__ = ["Protocol", "check_training_set", "load_protocols", "read_labels", "require_taught"]


@dataclass(frozen=True)
class Protocol:
    """What one head learns: its scheme, and that of the label maps it is merged from (the same if it is not)."""

    scheme: LabelScheme
    source: LabelScheme


def load_protocols(
    names: Sequence[str], *, merged_from: Mapping[str, str] | None = None, folder: Path | None = None
) -> dict[str, Protocol]:
    """Load the schemes of the protocols to train.

    Parameters
    ----------
    names : sequence of str
        Names of protocols, or paths of tables (`labels.scheme.load_scheme`).
    merged_from : mapping of str to str, optional
        Protocols that have no files of their own, and the protocol whose label maps are translated into theirs,
        such as `{"tissue5": "neuromorphometrics"}`.
    folder : Path, optional
        Where a user's tables are.

    Returns
    -------
    dict of name to Protocol
        In the order given.

    Raises
    ------
    ConfigError
        If no protocol is named, or one twice, or what `merged_from` says does not fit.
    LabelError
        If a table is not known, contradicts itself, or has one class only.
    MissingInputError
        If a table is not there.

    Notes
    -----
    Source: ours.
    """
    merged = dict(merged_from or {})
    schemes = [load_scheme(name, folder) for name in names]
    known = [scheme.name for scheme in schemes]
    if not known:
        raise ConfigError("no protocol is named; name at least one to train")
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise ConfigError(f"protocol {', '.join(twice)} is named more than once; name each once")
    if strange := sorted(merged.keys() - set(known)):
        raise ConfigError(f"merged_from names {', '.join(strange)}, which is not among the protocols to train")
    found = {}
    for scheme in schemes:
        if scheme.n_classes < 2:
            raise LabelError(f"protocol {scheme.name}: has one class only; training needs a structure and background")
        source = load_scheme(merged[scheme.name], folder) if scheme.name in merged else scheme
        if source is not scheme and scheme.name not in source.mappings:
            raise ConfigError(
                f"protocol {scheme.name} cannot be merged from {source.name}: its table has no column to_{scheme.name}"
            )
        found[scheme.name] = Protocol(scheme, source)
    return found


def require_taught(scans: Sequence[ProtocolScan], protocols: Mapping[str, Protocol]) -> dict[str, int]:
    """Count the scans that teach each protocol.

    Raises
    ------
    UnusableInputError
        If there is no scan, a scan teaches no protocol, or nothing teaches one of them.

    Notes
    -----
    Source: ours. No image is read.
    """
    if not scans:
        raise UnusableInputError("no scans to train on; name at least one")
    listed = ", ".join(protocols)
    if without := [s.name for s in scans if not any(p.source.name in s.maps for p in protocols.values())]:
        raise UnusableInputError(f"{', '.join(without)}: no label map of {listed}; add one, or leave the scan out")
    n_scans = {name: sum(p.source.name in scan.maps for scan in scans) for name, p in protocols.items()}
    if missing := [name for name, n in n_scans.items() if not n]:
        raise UnusableInputError(f"no scan has a label map of {', '.join(missing)}; add some, or train without it")
    return n_scans


def check_training_set(
    scans: Sequence[ProtocolScan],
    protocols: Mapping[str, Protocol],
    progress: Callable[[str, float], None] = lambda _step, _done: None,
) -> dict[str, int]:
    """Read every label map once, so that what is wrong with one shows before the first step.

    Parameters
    ----------
    scans : sequence of ProtocolScan
        The training set.
    protocols : mapping of str to Protocol
        What is to be taught.
    progress : callable, optional
        Takes a step's name and the share done.

    Returns
    -------
    dict of name to int
        How many scans teach each protocol.

    Raises
    ------
    UnusableInputError, GridError, LabelError, MissingInputError
        As `require_taught` and `read_labels`.

    Notes
    -----
    Source: ours.
    """
    n_scans = require_taught(scans, protocols)
    for number, scan in enumerate(scans):
        progress(f"checking {scan.name}", number / len(scans))
        read_labels(scan, protocols)
    return n_scans


def read_labels(scan: ProtocolScan, protocols: Mapping[str, Protocol]) -> dict[str, LabelMap]:
    """Read what a scan teaches.

    Parameters
    ----------
    scan : ProtocolScan
        A scan and its label maps.
    protocols : mapping of str to Protocol
        What is to be taught.

    Returns
    -------
    dict of name to LabelMap
        On the scan's own grid, ids of each protocol's scheme; without the protocols that the scan lacks.

    Raises
    ------
    MissingInputError, UnusableInputError
        If a file cannot be read.
    GridError
        If a label map is on another grid than the scan.
    LabelError
        If ids are not in the scheme (the message lists them), or a label map holds one class only.

    Notes
    -----
    Source: ours.
    """
    grid = read_volume(scan.scan, ReadOptions(force=True)).volume
    found: dict[str, LabelMap] = {}
    sources: dict[str, LabelMap] = {}
    for name, protocol in protocols.items():
        files = scan.maps.get(protocol.source.name)
        if files is None:
            continue
        if protocol.source.name not in sources:
            sources[protocol.source.name] = _read_map(files, protocol.source, grid, scan.scan.name)
        ids = protocol.source.mapped_ids(sources[protocol.source.name].ids, name)
        if ids.min() == ids.max():
            raise LabelError(
                f"{files[0].name}: holds one class only in {name}; training needs a structure and background"
            )
        found[name] = LabelMap(ids, grid.affine, protocol.scheme)
    return found


def _read_map(files: tuple[Path, ...], scheme: LabelScheme, grid: Volume, scan_name: str) -> LabelMap:
    """Read a label map, or merge probability maps; on the grid of the scan."""
    if len(files) == 1:
        labels = read_label_map(files[0], scheme)
        _require_grid(files[0].name, labels.ids.shape, labels.affine, grid, scan_name)
        return labels
    maps = [read_volume(path, ReadOptions(force=True)).volume for path in files]
    for path, volume in zip(files, maps, strict=True):
        _require_grid(path.name, volume.values.shape, volume.affine, grid, scan_name)
        with naming(path):
            if volume.values.min() < -1e-3 or volume.values.max() > 1 + 1e-3:
                raise UnusableInputError("holds values outside 0 and 1; give the probability map of a tissue")
    return LabelMap(_most_probable([volume.values for volume in maps]), grid.affine, scheme)


def _most_probable(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.int32]:
    """Merge SPM's grey matter, white matter and CSF: 1 CSF, 2 grey, 3 white, 0 where what is left is more."""
    grey, white, fluid = maps
    rest = 1 - grey - white - fluid
    classes: NDArray[np.int32] = np.stack([rest, fluid, grey, white]).argmax(0).astype(np.int32)
    return classes


def _require_grid(name: str, shape: tuple[int, ...], affine: NDArray[np.float64], grid: Volume, scan_name: str) -> None:
    """Raise GridError unless an image has the shape and the affine of the scan."""
    if not is_same_grid((shape, affine), (grid.values.shape, grid.affine)):
        raise GridError(f"{name}: not on the grid of {scan_name}; resample it to that grid first")
