"""Whole scans with the label maps of several protocols, kept small: what NeuroNet trains on.

A *source* is a label map that somebody made: a rater, a tool, or the label maps of whole heads. Protocols that merge
a source's labels (`to_<protocol>` in its table) are looked up when a crop is drawn.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from neuronat.errors import LabelError, MissingInputError, ShapeError, UnusableInputError
from neuronat.labels.scheme import LabelScheme
from neuronat.record import write_whole
from neuronat.train.scans import shown_values
from neuronat.train.teaching import Protocol

__all__ = [
    "GREY_STEP",
    "HeadVolume",
    "PackedVolume",
    "lookup_tables",
    "read_volume_file",
    "to_device",
    "untaught_ids",
    "write_volume_file",
]

GREY_STEP = 0.01
MAPS = "map_"
RIM_VOX = 3


@dataclass(frozen=True, eq=False)
class PackedVolume:
    """One head, or brain, on the working grid (1 mm, RAS).

    `grey` (I, J, K) uint8 in steps of 0.01, or none for a label map without a scan; `maps` from the name of a source
    to (I, J, K) int16 or int32 ids; `mask` (I, J, K) bool, the brain; `ageing` (6, I/2, J/2, K/2) float16 of
    `synth.ageing`, or none; `coordinates` (6, I, J, K) float16 of the brain, or none.
    """

    name: str
    mask: NDArray[np.bool_]
    maps: Mapping[str, NDArray[np.signedinteger]]
    grey: NDArray[np.uint8] | None = None
    ageing: NDArray[np.float16] | None = None
    coordinates: NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        shapes = {self.mask.shape} | {ids.shape for ids in self.maps.values()}
        shapes |= set() if self.grey is None else {self.grey.shape}
        if len(shapes) != 1 or self.mask.ndim != 3:
            raise ShapeError(f"{self.name}: scan, mask and label maps must share one 3D grid; got {sorted(shapes)}")
        if not self.mask.any():
            raise UnusableInputError(f"{self.name}: the brain mask is empty; give a scan with a brain")
        if not any((ids > 0).any() for ids in self.maps.values()):
            raise LabelError(f"{self.name}: no voxel carries a label; training needs labelled scans")


def write_volume_file(volume: PackedVolume, folder: Path) -> Path:
    """Write a packed volume to `folder/<name>.npz`, whole or not at all, and return the path."""
    arrays = {"mask": volume.mask} | {MAPS + source: ids for source, ids in volume.maps.items()}
    if volume.grey is not None:
        arrays["grey"] = volume.grey  # type: ignore[assignment]
    if volume.ageing is not None:
        arrays["ageing"] = volume.ageing  # type: ignore[assignment]
    if volume.coordinates is not None:
        arrays["coordinates"] = volume.coordinates  # type: ignore[assignment]
    path = folder / f"{volume.name}.npz"
    write_whole(path, lambda stream: np.savez_compressed(stream, **arrays))  # type: ignore[arg-type]
    return path


def read_volume_file(path: Path) -> PackedVolume:
    """Read a packed volume; MissingInputError or UnusableInputError name the file."""
    if not path.is_file():
        raise MissingInputError(f"{path.name}: packed scan not found; pack the training scans first")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            maps = {name.removeprefix(MAPS): arrays[name] for name in arrays.files if name.startswith(MAPS)}
            optional = {name: arrays[name] for name in ("grey", "ageing", "coordinates") if name in arrays.files}
            return PackedVolume(name=path.stem, mask=arrays["mask"], maps=maps, **optional)
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise UnusableInputError(f"{path.name}: not a packed scan ({error}); pack it again") from error


@dataclass(frozen=True, eq=False)
class HeadVolume:
    """A packed volume on a device: `maps` as classes of each source's scheme; the brain's centre and extents in voxels.

    grey (1, I, J, K) uint8 or none; mask, and near (the mask and a rim of 3 voxels), (I, J, K) uint8; maps (I, J, K)
    uint8; ageing (6, I/2, J/2, K/2) and coordinates (6, I, J, K) float16 or none; centre, extents (3,) float32.
    """

    name: str
    mask: Tensor
    maps: Mapping[str, Tensor]
    grey: Tensor | None
    ageing: Tensor | None
    coordinates: Tensor | None = None
    near: Tensor = field(init=False)
    centre: Tensor = field(init=False)
    extents: Tensor = field(init=False)

    def __post_init__(self) -> None:
        inside = torch.nonzero(self.mask)
        low, high = inside.amin(0).float(), inside.amax(0).float()
        object.__setattr__(self, "near", _grown(self.mask, RIM_VOX))
        object.__setattr__(self, "centre", (low + high) / 2)
        object.__setattr__(self, "extents", high - low + 1)


def to_device(volume: PackedVolume, sources: Mapping[str, LabelScheme], device: torch.device) -> HeadVolume:
    """Put a packed volume on a device, its ids as classes of the sources' schemes; LabelError lists unknown ids."""
    maps = {
        name: torch.from_numpy(sources[name].classes_of(ids, what=f"{volume.name}, {name}")).to(device)
        for name, ids in volume.maps.items()
        if name in sources
    }
    return HeadVolume(
        name=volume.name,
        mask=torch.from_numpy(volume.mask.astype(np.uint8)).to(device),
        maps=maps,
        grey=None if volume.grey is None else torch.from_numpy(volume.grey)[None].to(device),
        ageing=None if volume.ageing is None else torch.from_numpy(volume.ageing).to(device),
        coordinates=None if volume.coordinates is None else torch.from_numpy(volume.coordinates).to(device),
    )


def lookup_tables(protocols: Mapping[str, Protocol], heads: LabelScheme) -> dict[str, dict[str, NDArray[np.uint8]]]:
    """Find for each protocol the sources that teach it, and its class for each class of such a source.

    Parameters
    ----------
    protocols : mapping of str to Protocol
        What is taught, by name.
    heads : LabelScheme
        Scheme of the label maps of whole heads, which teach the protocols that it maps onto.

    Returns
    -------
    dict of str to dict of str to (C,) uint8
        By protocol and source; the protocol's own source comes first.

    Notes
    -----
    Source: ours.
    """
    tables = {}
    for name, protocol in protocols.items():
        sources = [protocol.source, *([heads] if name in heads.mappings else [])]
        tables[name] = {s.name: protocol.scheme.classes_of(s.mapped_ids(np.array(s.ids), name)) for s in sources}
    return tables


def untaught_ids(
    volumes: Iterable[PackedVolume], protocols: Mapping[str, Protocol], heads: LabelScheme
) -> dict[str, tuple[int, ...]]:
    """List the structures of each protocol that no volume shows, by id; a protocol that is shown whole is left out.

    Notes
    -----
    Source: ours.
    """
    shown: dict[str, set[int]] = defaultdict(set)
    for volume in volumes:
        for source, ids in volume.maps.items():
            shown[source] |= shown_values(ids)
    found = {}
    for name, protocol in protocols.items():
        sources = [protocol.source, *([heads] if name in heads.mappings else [])]
        taught = {s.mapping_to(name)[index] for s in sources for index in s.ids if index in shown[s.name]}
        found[name] = tuple(index for index in protocol.scheme.ids[1:] if index not in taught)
    return {name: ids for name, ids in found.items() if ids}


def _grown(mask: Tensor, distance_vox: int) -> Tensor:
    """Dilate an (I, J, K) mask by a cube."""
    x = mask[None, None].float()
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * distance_vox + 1, distance_vox
        x = functional.max_pool3d(x, size, 1, padding)
    return x[0, 0].to(torch.uint8)
