"""The scans of a training of several protocols: found, checked, packed once, divided into trained on and held out."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from neuronat.config import WholeRecipe, resolved_path
from neuronat.errors import ConfigError, MissingInputError
from neuronat.labels.scheme import BRAIN, LabelScheme, load_scheme, scheme_names
from neuronat.pipeline.material import copies_among, glob_place, held_out_names, require_other_names
from neuronat.pipeline.settings import Progress
from neuronat.record import write_text
from neuronat.train.gathering import pack_head, pack_protocol_scan
from neuronat.train.protocols import find_protocol_scans, matching_paths
from neuronat.train.teaching import Protocol, load_protocols, require_taught
from neuronat.train.volumes import PackedVolume, read_volume_file, untaught_ids, write_volume_file

__all__ = ["HEADS", "Material", "packed_volumes"]

INDEX = "scans.tsv"
HEAD = "head"
HEADS = "wholehead"
"""The scheme of label maps of whole heads."""
TISSUE = "tissue"
"""Maps of tissue let the training vary the contrast between them, also where the protocol is not taught."""


@dataclass(frozen=True, eq=False)
class Material:
    """What a training has: volumes to train on, held out, and painted heads; and what it teaches.

    A volume that shall be drawn more often stands in the list of the training as often.
    """

    training: list[PackedVolume]
    held_out: list[PackedVolume]
    heads: list[PackedVolume]
    protocols: Mapping[str, Protocol]

    @property
    def schemes(self) -> dict[str, LabelScheme]:
        """The scheme of each protocol."""
        return {name: protocol.scheme for name, protocol in self.protocols.items()}

    @property
    def untaught(self) -> dict[str, tuple[int, ...]]:
        """The structures of each protocol that nothing to train on shows, by id."""
        labelled = {name: protocol for name, protocol in self.protocols.items() if name != BRAIN}
        volumes = {volume.name: volume for volume in (*self.training, *self.heads)}
        return untaught_ids(volumes.values(), labelled, load_scheme(HEADS))


def packed_volumes(recipe: WholeRecipe, path: Path, progress: Progress) -> Material:
    """Return the volumes of a recipe, packed before or now.

    Raises
    ------
    MissingInputError, UnusableInputError, GridError, LabelError
        If a scan or a label map cannot be packed.
    ConfigError
        If the table of folds does not fit the scans, nothing is left to train on, or the grey values of a protocol
        that nobody knows shall vary.

    Notes
    -----
    Source: ours. A complete packed folder is used as it is, so a training can run where the scans are not; remove the
    folder to pack anew. Scans that teach none of the protocols are left out.
    """
    protocols = load_protocols(recipe.protocols, merged_from=recipe.merged_from)
    if recipe.crops.structures not in {"", *protocols, *scheme_names()}:
        raise ConfigError(f"{path.name}: crops.structures names {recipe.crops.structures}, which is no protocol")
    packed = resolved_path(recipe.whole.packed, path)
    if not (packed / INDEX).is_file():
        _pack(recipe, path, protocols, progress)
    rows = [line.split("\t") for line in (packed / INDEX).read_text(encoding="utf-8").splitlines()]
    volumes = {name: read_volume_file(packed / f"{name}.npz") for name, _ in rows}
    scans = [name for name, kind in rows if kind != HEAD and _teaches(volumes[name].maps, protocols)]
    if not scans:
        raise ConfigError(
            f"{path.name}: no packed scan has a label map of {', '.join(protocols)}; remove the folder to pack anew"
        )
    held = held_out_names(recipe.whole.folds, recipe.whole.held_out, path, scans)
    copies = copies_among(scans)
    n_copies = Counter(copies.values())
    return Material(
        training=[volumes[n] for n in scans if n not in held for _ in range(max(1, n_copies[n]))],
        held_out=[volumes[n] for n in scans if n in held - copies.keys()],
        heads=[volumes[n] for n, kind in rows if kind == HEAD],
        protocols=protocols,
    )


def _teaches(maps: Collection[str], protocols: Mapping[str, Protocol]) -> bool:
    """Tell whether a scan has a label map of any protocol; its mask is one of the brain."""
    return BRAIN in protocols or any(protocol.source.name in maps for protocol in protocols.values())


def _pack(recipe: WholeRecipe, path: Path, protocols: Mapping[str, Protocol], progress: Progress) -> None:
    """Pack every scan and head; the index is written last, so that a packed folder is whole or not there."""
    data = recipe.whole
    packed = resolved_path(data.packed, path)
    folder = resolved_path(data.folder, path)
    places = [resolved_path(place, path) for place in data.label_folders]
    scans = find_protocol_scans(folder, scans=data.scans, label_folders=places)
    for also in data.also:
        copies, pattern = glob_place(resolved_path(also, path))
        scans += find_protocol_scans(copies, scans=pattern, label_folders=places)
    require_other_names([scan.name for scan in scans], f"{path.name}: whole.also")
    heads = _find_heads(recipe, path)
    from_maps = {name: protocol for name, protocol in protocols.items() if name != BRAIN}
    if not heads and from_maps:
        require_taught(scans, from_maps)
    held_out_names(data.folds, data.held_out, path, [s.name for s in scans if _teaches(s.maps, protocols)])
    sources = {p.source.name: p.source for p in protocols.values()} | {TISSUE: load_scheme(TISSUE)}
    rows = []
    for index, scan in enumerate(scans):
        progress(f"packing {scan.name}", index / (len(scans) + len(heads)))
        write_volume_file(pack_protocol_scan(scan, sources, data.mask_ending), packed)
        rows.append(f"{scan.name}\tscan\n")
    for index, head in enumerate(heads):
        progress(f"packing {head.name}", (len(scans) + index) / (len(scans) + len(heads)))
        volume = pack_head(head, load_scheme("wholehead"), is_cropped=recipe.network.has_coordinates)
        write_volume_file(volume, packed)
        rows.append(f"{volume.name}\t{HEAD}\n")
    write_text(packed / INDEX, "".join(rows))


def _find_heads(recipe: WholeRecipe, path: Path) -> list[Path]:
    """Find the label maps of whole heads."""
    if not recipe.whole.heads:
        return []
    pattern = resolved_path(recipe.whole.heads, path)
    found = matching_paths(pattern.parent, pattern.name)
    if not found:
        raise MissingInputError(f"{pattern.name}: no whole-head label maps match it; check the recipe's heads")
    return found
