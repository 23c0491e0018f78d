"""How good a network of several protocols is on scans that it has not seen: Dice per protocol and structure."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from neuronat.infer.protocols import most_probable
from neuronat.infer.tiles import TileConfig, encode_scan
from neuronat.measure.overlap import dice_per_structure
from neuronat.nets.neuronet import NeuroNet
from neuronat.nets.unet import UNet
from neuronat.train.teaching import Protocol
from neuronat.train.volumes import GREY_STEP, PackedVolume

__all__ = ["validate_whole"]


def validate_whole(
    net: NeuroNet | UNet,
    volumes: Sequence[PackedVolume],
    protocols: Mapping[str, Protocol],
    device: torch.device,
    progress: Callable[[str, float], None],
) -> dict[str, dict[str, dict[int, float]]]:
    """Label whole scans in every protocol, and compare with the label maps that they have.

    Parameters
    ----------
    net : NeuroNet or UNet
        In evaluation mode, on the device.
    volumes : sequence of PackedVolume
        Scans that the network was not trained on.
    protocols : mapping of str to Protocol
        What the network was taught.
    device : torch.device
        Where to calculate.
    progress : callable
        Takes a line of text and the share done.

    Returns
    -------
    dict of str to dict of str to dict of int to float
        Dice per protocol, scan and structure id.

    Notes
    -----
    Source: [NEURONET] evaluation.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    for index, volume in enumerate(volumes):
        progress(f"validating {volume.name}", index / len(volumes))
        if volume.grey is None:
            continue
        channels = volume.grey[None].astype(np.float32) * np.float32(GREY_STEP)
        if net.n_channels > 1 and volume.coordinates is not None:
            channels = np.concatenate([channels, volume.coordinates.astype(np.float32)])
        features = encode_scan(net, channels, TileConfig(device=device), lambda _done: None)
        for name, protocol in protocols.items():
            if protocol.source.name not in volume.maps:
                continue
            truth = protocol.source.mapped_ids(volume.maps[protocol.source.name], name)
            predicted = np.zeros(volume.mask.shape, np.uint8)
            predicted[volume.mask], _, _ = most_probable(net, features, name, volume.mask)
            found.setdefault(name, {})[volume.name] = dict(
                dice_per_structure(protocol.scheme.ids_of(predicted), truth, protocol.scheme)
            )
    return found
