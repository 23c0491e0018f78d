"""How good a network of several protocols is on scans that it has not seen: Dice per protocol and structure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from neuronat.infer.protocols import most_probable
from neuronat.infer.tiles import TileConfig, encode_scan
from neuronat.labels.scheme import BRAIN
from neuronat.measure.overlap import dice_per_structure
from neuronat.nets.neuronet import NeuroNet
from neuronat.nets.unet import UNet
from neuronat.train.crops import CropConfig, CropSource, draw_crop
from neuronat.train.lessons import answers_at
from neuronat.train.teaching import Protocol
from neuronat.train.volumes import GREY_STEP, PackedVolume

__all__ = ["validate_brain", "validate_whole"]

N_COMPOSITES = 4


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
            channels = np.concatenate([channels, volume.coordinates.astype(np.float32) * volume.mask])
        features = encode_scan(net, channels, volume.mask, TileConfig(device=device), lambda _done: None)
        for name, protocol in protocols.items():
            if protocol.source.name not in volume.maps:
                continue
            truth = protocol.source.mapped_ids(volume.maps[protocol.source.name], name)
            predicted = np.zeros(volume.mask.shape, np.uint8)
            predicted[volume.mask], _, _ = most_probable(net, features, name)
            found.setdefault(name, {})[volume.name] = dict(
                dice_per_structure(protocol.scheme.ids_of(predicted), truth, protocol.scheme)
            )
    return found


def validate_brain(
    net: NeuroNet | UNet, source: CropSource, config: CropConfig, progress: Callable[[str, float], None]
) -> dict[str, dict[int, float]]:
    """Find the brain of stripped scans that are set into painted heads, and compare with their masks.

    Parameters
    ----------
    net : NeuroNet or UNet
        With the protocol `brain`, in evaluation mode.
    source : CropSource
        Scans that the network was not trained on, and heads to set them into.
    config : CropConfig
        The training's crops; every one is a composite here.
    progress : callable
        Takes a line of text and the share done.

    Returns
    -------
    dict of str to dict of int to float
        Dice of the brain (id 1) per scan, mean over four crops.

    Notes
    -----
    Source: ours.
    """
    found = {}
    spread = config.extent**3
    composites = replace(config, share_composite=1.0, share_painted=0.0, n_inside=1, n_anywhere=spread, reach=0.05)
    for index, scan in enumerate(source.scans):
        progress(f"validating {scan.name}", index / len(source.scans))
        chance = torch.Generator(scan.mask.device).manual_seed(index)
        scores = []
        for _ in range(N_COMPOSITES):
            crop = draw_crop(replace(source, scans=[scan]), composites, chance)
            with torch.inference_mode():
                features = net.encode(crop.grey[:, : net.n_channels])
                is_brain = answers_at(net, features, crop.voxels)(BRAIN).argmax(1) == 1
            truth = crop.classes[BRAIN] == 1
            scores.append(2 * float((is_brain & truth).sum()) / max(1.0, float(is_brain.sum() + truth.sum())))
        found[scan.name] = {1: float(np.mean(scores))}
    return found
