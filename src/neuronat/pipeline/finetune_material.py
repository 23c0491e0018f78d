"""What a model is fine-tuned on: the labelled scans of a folder or table, and the protocols that they teach."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neuronat.errors import ConfigError, LabelError, MissingInputError, ModelError, UnusableInputError
from neuronat.nets.folder import find_model
from neuronat.nets.store import Model
from neuronat.pipeline.finetune_settings import FinetuneConfig
from neuronat.pipeline.settings import Progress
from neuronat.pipeline.whole_material import Material
from neuronat.record import sha256_of
from neuronat.train.gathering import pack_protocol_scan
from neuronat.train.protocols import ProtocolScan, find_protocol_scans, read_scan_table
from neuronat.train.scans import OUTSIDE, PackedScan
from neuronat.train.teaching import Protocol, check_training_set, load_protocols, require_taught
from neuronat.train.volumes import PackedVolume, read_volume_file, write_volume_file

__all__ = [
    "chosen_lessons",
    "find_scans",
    "hashes_of",
    "pack_material",
    "read_material",
    "require_adaptable",
    "to_packed_scan",
]

TABLE = ".tsv"


def require_adaptable(model: Model) -> None:
    """Raise ModelError unless a model labels skull-stripped brains with coordinates.

    Notes
    -----
    Source: ours.
    """
    if model.whole is not None and model.whole.n_channels == 1:
        raise ModelError(f"model {model.name}: labels without brain coordinates; fine-tune one that has them")


def find_scans(place: Path, config: FinetuneConfig) -> list[ProtocolScan]:
    """Find the scans of a folder, or those that a table (`.tsv`) lists; errors as in `train.protocols`.

    Notes
    -----
    Source: ours.
    """
    if place.suffix == TABLE:
        return read_scan_table(place)
    return find_protocol_scans(place, scans=config.scans, label_folders=config.label_folders)


def chosen_lessons(
    found: Sequence[ProtocolScan], model: Model, name: str, config: FinetuneConfig
) -> tuple[list[ProtocolScan], dict[str, Protocol]]:
    """Choose the protocols to teach and the scans that teach them, and check every label map of theirs.

    Parameters
    ----------
    found : sequence of ProtocolScan
        Scans, labelled or not.
    model : Model
        What is fine-tuned.
    name : str
        Its name or folder.
    config : FinetuneConfig
        Protocols and held-out scans.

    Returns
    -------
    scans : list of ProtocolScan
        Those with a label map that teaches.
    protocols : dict of name to Protocol
        What is taught.

    Raises
    ------
    ConfigError
        If a protocol is named twice, a patchwise model shall learn several, or `hold_out` does not fit the scans.
    LabelError, GridError, MissingInputError, UnusableInputError
        If no scan has a label map, or one cannot be used.

    Notes
    -----
    Source: ours. All is checked before the first step.
    """
    protocols = _protocols(found, model, name, config)
    sources = {protocol.source.name for protocol in protocols.values()}
    scans = [scan for scan in found if sources & set(scan.maps)]
    if not scans:
        raise UnusableInputError(f"no scan has a label map of {', '.join(sources)}; {_at_hand(found)}")
    known = [scan.name for scan in scans]
    if strange := sorted(set(config.hold_out) - set(known)):
        raise ConfigError(f"hold-out {', '.join(strange)} is none of the labelled scans; these are {', '.join(known)}")
    training = [scan for scan in scans if scan.name not in config.hold_out]
    if not training:
        raise ConfigError("every labelled scan is held out; leave at least one to train on")
    require_taught(training, protocols)
    check_training_set(scans, protocols)
    return scans, protocols


def _protocols(found: Sequence[ProtocolScan], model: Model, name: str, config: FinetuneConfig) -> dict[str, Protocol]:
    """Load what is to be taught; a name that the model knows means the model's own table."""
    at_hand = {protocol for scan in found for protocol in scan.maps}
    known = [p for p in model.schemes if config.merged_from.get(p, p) in at_hand]
    named = [str(Path(p).resolve()) if p.endswith(TABLE) else p for p in config.protocols] or known
    if not named:
        listed = ", ".join(model.schemes)
        raise UnusableInputError(f"no scan has a label map of what {model.name} knows ({listed}); {_at_hand(found)}")
    protocols = load_protocols(named, merged_from=config.merged_from, folder=find_model(name).resolve() / "labels")
    for protocol in protocols.values():
        old = model.schemes.get(protocol.scheme.name)
        if old is not None and old.ids != protocol.scheme.ids:
            raise LabelError(
                f"protocol {old.name}: its table has other ids than that of model {model.name}; "
                f"give the table another name, which makes it a new protocol"
            )
    if model.patchwise and len(protocols) > 1:
        raise ConfigError(f"model {model.name} answers in one protocol; name one, not {', '.join(protocols)}")
    return protocols


def _at_hand(found: Sequence[ProtocolScan]) -> str:
    """Say what there is instead, and what to do."""
    there = sorted({protocol for scan in found for protocol in scan.maps})
    if not there:
        return f"label maps are named <stem>_seg-<protocol>_dseg, such as {found[0].name}_seg-mine_dseg.nii.gz"
    return f"there are label maps of {', '.join(there)}; name one as protocol, a new one by its table"


def hashes_of(scans: Sequence[ProtocolScan]) -> dict[str, str]:
    """Hash every file that is learnt from, by scan and protocol."""
    files = {(scan.name, "scan"): scan.scan for scan in scans}
    files |= {
        (scan.name, protocol if not part else f"{protocol} {part}"): path
        for scan in scans
        for protocol, paths in scan.maps.items()
        for part, path in enumerate(paths)
    }
    return {f"{name} {what}": sha256_of(path) for (name, what), path in files.items()}


def pack_material(
    scans: Sequence[ProtocolScan],
    protocols: Mapping[str, Protocol],
    folder: Path,
    config: FinetuneConfig,
    progress: Progress,
) -> None:
    """Prepare every scan as `segment` does, and keep it in a folder; errors as in `train.gathering`.

    Notes
    -----
    Source: ours.
    """
    sources = {protocol.source.name: protocol.source for protocol in protocols.values()}
    for index, scan in enumerate(scans):
        progress(f"packing {scan.name}", index / len(scans))
        write_volume_file(pack_protocol_scan(scan, sources, config.mask_ending), folder)


def read_material(
    scans: Sequence[ProtocolScan], protocols: Mapping[str, Protocol], folder: Path, config: FinetuneConfig
) -> Material:
    """Read packed scans, divided into those to train on and those held out.

    Notes
    -----
    Source: ours.
    """
    volumes = {scan.name: read_volume_file(folder / f"{scan.name}.npz") for scan in scans}
    return Material(
        training=[volume for name, volume in volumes.items() if name not in config.hold_out],
        held_out=[volume for name, volume in volumes.items() if name in config.hold_out],
        heads=[],
        protocols=protocols,
    )


def to_packed_scan(volume: PackedVolume, protocol: Protocol) -> PackedScan:
    """Return a packed volume in the form that patchwise networks learn from.

    Raises
    ------
    MissingInputError
        If it was packed without grey values or coordinates.
    LabelError
        If its label map holds unknown ids.

    Notes
    -----
    Source: ours.
    """
    if volume.grey is None or volume.coordinates is None:
        raise MissingInputError(f"{volume.name}: packed without scan or coordinates; pack it again")
    ids = protocol.source.mapped_ids(volume.maps[protocol.source.name], protocol.scheme.name)
    classes = protocol.scheme.classes_of(ids, what=volume.name)
    return PackedScan(
        name=volume.name,
        intensities=volume.grey,
        classes=np.where(volume.mask, classes, OUTSIDE).astype(np.uint8),
        coordinates=volume.coordinates,
    )
