"""How good networks are on scans that they have not seen: Dice per structure, over whole brains."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch

from neuronat.infer.cascade import brain_probabilities
from neuronat.infer.dense import DenseConfig
from neuronat.labels.scheme import LabelScheme
from neuronat.measure.overlap import dice_per_structure
from neuronat.nets.deepnat import DeepNat
from neuronat.train.scans import INTENSITY_STEP, OUTSIDE, PackedScan

__all__ = ["mean_dice", "validate_networks", "validation_table"]

Dice = Mapping[str, Mapping[int, float]]


def validate_networks(
    networks: Mapping[str, DeepNat],
    scans: list[PackedScan],
    protocol: LabelScheme,
    device: torch.device,
    progress: Callable[[str, float], None],
) -> dict[str, dict[int, float]]:
    """Label whole scans without CRF and compare with their labels.

    Parameters
    ----------
    networks : mapping of str to DeepNat
        By stage, on the device; see `infer.cascade`.
    scans : list of PackedScan
        Scans that the networks were not trained on.
    protocol : LabelScheme
        The scheme that the networks answer in.
    device : torch.device
        Where to calculate.
    progress : callable
        Takes a line of text and the share done.

    Returns
    -------
    dict of str to dict of int to float
        Dice per scan and structure id.

    Notes
    -----
    Source: [DEEPNAT] evaluation.
    """
    found = {}
    for scan in scans:
        mask = scan.classes != OUTSIDE
        intensities = scan.intensities.astype(np.float32) * np.float32(INTENSITY_STEP)
        coordinates = scan.coordinates.astype(np.float32)
        config = DenseConfig(device=device)
        report = partial(_report, progress, scan.name)
        rows = brain_probabilities(networks, intensities, coordinates, mask, config, report)
        predicted = np.zeros(mask.shape, np.uint8)
        predicted[mask] = rows.argmax(1)
        reference = np.where(mask, scan.classes, 0)
        found[scan.name] = dice_per_structure(protocol.ids_of(predicted), protocol.ids_of(reference), protocol)
    return found


def _report(progress: Callable[[str, float], None], name: str, _step: str, done: float) -> None:
    """Say which scan is validated."""
    progress(f"validating {name}", done)


def mean_dice(dice: Dice) -> dict[str, float]:
    """Return the mean Dice of each scan over the structures that it or its prediction has."""
    return {scan: float(np.nanmean(list(values.values()))) for scan, values in dice.items()}


def validation_table(dice: Dice, protocol: LabelScheme) -> str:
    """Return the text of a table with the columns scan, index, name, dice."""
    lines = ["scan\tindex\tname\tdice"]
    for scan, values in dice.items():
        for index, value in values.items():
            lines.append(f"{scan}\t{index}\t{protocol.name_of[index]}\t{'n/a' if np.isnan(value) else f'{value:.4f}'}")
    return "\n".join(lines) + "\n"
