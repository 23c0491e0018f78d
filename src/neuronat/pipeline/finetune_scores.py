"""How good a model is on the scans that were held out, before and after it was fine-tuned."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from neuronat.nets.deepnat import DeepNat
from neuronat.nets.network import Network
from neuronat.nets.store import Model
from neuronat.nets.unet import UNet
from neuronat.pipeline.finetune_material import to_packed_scan
from neuronat.pipeline.settings import Progress
from neuronat.pipeline.whole_material import Material
from neuronat.record import write_text
from neuronat.train.teaching import Protocol
from neuronat.train.validate import mean_dice, validate_networks, validation_table
from neuronat.train.validate_whole import validate_whole

__all__ = ["Score", "measure_gain"]


Dice = Mapping[str, Mapping[str, Mapping[int, float]]]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Mean Dice of a protocol over the held-out scans; `before` that of the model started from, if it knew it."""

    protocol: str
    after: float
    before: float | None = None


def measure_gain(
    start: Model,
    networks: Mapping[str, Network],
    material: Material,
    folder: Path,
    progress: Progress,
) -> tuple[Score, ...]:
    """Label the held-out scans by the model started from and by the fine-tuned one, without CRF.

    Parameters
    ----------
    start : Model
        Asked for the protocols that it knows.
    networks : mapping of str to Network
        The fine-tuned ones, by stage.
    material : Material
        With the held-out scans.
    folder : Path
        Where `validation-<protocol>.tsv` is written, with the Dice of each scan and structure.
    progress : callable
        Takes a line of text and the share done.

    Returns
    -------
    tuple of Score
        One per protocol that a held-out scan has; none where no scan is held out.

    Notes
    -----
    Source: [DEEPNAT] evaluation. Ours: whether the first model had learnt from the held-out scans is not known here.
    """
    if not material.held_out:
        return ()
    known = {name: protocol for name, protocol in material.protocols.items() if name in start.schemes}
    device = next(next(iter(networks.values())).parameters()).device
    after = _dice(networks, material, material.protocols, device, progress)
    before = _dice(start.networks, material, known, device, progress) if known else {}
    scores = []
    for name, found in after.items():
        write_text(folder / f"validation-{name}.tsv", validation_table(found, material.schemes[name]))
        scores.append(Score(protocol=name, after=_mean(found), before=_mean(before[name]) if name in before else None))
    return tuple(scores)


def _mean(dice: Mapping[str, Mapping[int, float]]) -> float:
    """Return the mean over scans of the mean over structures."""
    return float(np.mean(list(mean_dice(dice).values())))


def _dice(
    networks: Mapping[str, Network],
    material: Material,
    protocols: Mapping[str, Protocol],
    device: torch.device,
    progress: Progress,
) -> Dice:
    """Return the Dice coefficients by protocol, scan and structure."""
    networks = {stage: net.to(device) for stage, net in networks.items()}
    whole = networks.get("whole")
    if isinstance(whole, UNet):
        return validate_whole(whole, material.held_out, protocols, device, progress)
    patchwise = {stage: net for stage, net in networks.items() if isinstance(net, DeepNat)}
    ((name, protocol),) = protocols.items()
    scans = [to_packed_scan(volume, protocol) for volume in material.held_out]
    with torch.no_grad():
        return {name: validate_networks(patchwise, scans, protocol.scheme, device, progress)}
