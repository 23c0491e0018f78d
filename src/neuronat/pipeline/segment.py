"""The sentence itself: a scan is prepared, labelled by the networks, refined, taken back and measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from neuronat.coords.spectral import brain_coordinates
from neuronat.crf.meanfield import CrfConfig, refine_voxels
from neuronat.errors import ConfigError, ModelError, UnusableInputError, UsageError
from neuronat.infer.cascade import brain_probabilities
from neuronat.infer.dense import DenseConfig
from neuronat.measure.volumes import structure_volumes
from neuronat.nets.store import Model
from neuronat.pipeline.plausible import brain_doubts, contrast_doubts, label_doubts
from neuronat.pipeline.result import BrainProbabilities, Result
from neuronat.pipeline.settings import Progress, SegmentConfig, no_progress, result_settings
from neuronat.prepare.conform import labels_to_native
from neuronat.prepare.mask import require_mask, require_stripped_mask
from neuronat.prepare.scan import PreparedScan, prepare_scan, uncrop
from neuronat.record import shown_name, stem_of
from neuronat.space.affine import spacing_mm
from neuronat.space.files import read_mask, read_volume
from neuronat.space.loading import naming
from neuronat.space.scan import ReadOptions, Scan
from neuronat.space.volume import LabelMap

__all__ = ["Inputs", "Networks", "chosen_protocols", "mask_of", "read_inputs", "segment_scan"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """A scan and its brain mask (I, J, K) bool on the same grid; `stem` names the outputs, `names` the sources."""

    scan: Scan
    mask: NDArray[np.bool_]
    stem: str
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Networks:
    """Which model answers in which protocol, and where it calculates."""

    by_protocol: Mapping[str, Model]
    device: torch.device


def chosen_protocols(models: Sequence[Model], wanted: tuple[str, ...]) -> dict[str, Model]:
    """Return the model of each wanted protocol, of all if none is named.

    Raises
    ------
    UsageError
        If two models answer in one protocol, or nobody answers in a wanted one.

    Notes
    -----
    Source: ours.
    """
    offered: dict[str, Model] = {}
    for model in models:
        for protocol in model.schemes:
            if protocol in offered:
                other = offered[protocol].name
                raise UsageError(f"models {other} and {model.name} both answer in {protocol}; name one of them")
            offered[protocol] = model
    if unknown := [protocol for protocol in wanted if protocol not in offered]:
        raise UsageError(f"protocol {', '.join(unknown)} is not known; the models offer {', '.join(offered)}")
    return {protocol: offered[protocol] for protocol in wanted or offered}


def read_inputs(path: Path, config: SegmentConfig) -> Inputs:
    """Read a scan and find its brain mask: the one given, or what is not background in a skull-stripped scan.

    Raises
    ------
    MissingInputError, UnusableInputError
        If scan or mask cannot be read or used, or the scan is a raw head without a mask.

    Notes
    -----
    Source: ours.
    """
    scan = read_volume(path, config.reading)
    mask = mask_of(path, scan, config)
    names = (scan.name, *((shown_name(config.mask),) if config.mask else ()))
    return Inputs(scan, mask, stem_of(path), names)


def mask_of(path: Path, scan: Scan, config: SegmentConfig) -> NDArray[np.bool_]:
    """Return the brain mask (I, J, K) of a scan that was read from `path`; errors as in `read_inputs`."""
    if config.mask is not None:
        given = read_mask(config.mask, ReadOptions(max_voxels=config.reading.max_voxels))
        with naming(config.mask):
            return require_mask(given, scan.volume, force=config.force)
    stripped = cast(Literal["auto", "yes", "no"], config.stripped)
    with naming(path):
        return require_stripped_mask(scan.volume, stripped=stripped, force=config.force)


def segment_scan(inputs: Inputs, networks: Networks, config: SegmentConfig, progress: Progress = no_progress) -> Result:
    """Label one scan.

    Parameters
    ----------
    inputs : Inputs
        The scan and its brain mask.
    networks : Networks
        Models and device.
    config : SegmentConfig
        What the user decided.
    progress : callable, optional
        Takes the step's name and the share done.

    Returns
    -------
    Result
        On the scan's own grid, or on the working grid if the configuration says so.

    Raises
    ------
    UnusableInputError
        If the scan does not look like a T1 of a brain, unless forced.
    ModelError
        If the card's CRF numbers cannot be used.

    Notes
    -----
    Source: [DEEPNAT]; the gates are ours.
    """
    progress("preparing", 0.0)
    prepared = prepare_scan(inputs.scan.volume, inputs.mask)
    doubts = brain_doubts(prepared.mask, prepared.affine) + contrast_doubts(prepared)
    if doubts and not config.force:
        raise UnusableInputError(
            f"does not look like a T1-weighted human brain: {'; '.join(doubts)}; check it, or use --force"
        )
    progress("coordinates", 0.06)
    coordinates = brain_coordinates(prepared.mask, prepared.affine)
    computed, labels = {}, {}
    for number, (protocol, model) in enumerate(networks.by_protocol.items()):
        share = 0.88 / len(networks.by_protocol)
        start = 0.1 + share * number
        rows = brain_probabilities(
            {stage: net.to(networks.device) for stage, net in model.networks.items()},
            prepared.intensities,
            coordinates,
            prepared.mask,
            DenseConfig(device=networks.device, tile_vox=config.tile_vox),
            _part(progress, start, 0.8 * share),
        )
        if config.has_crf:
            rows = _refined(rows, prepared, model, _part(progress, start + 0.8 * share, 0.2 * share))
        found = BrainProbabilities(rows, model.schemes[protocol], prepared, config.space == "native")
        computed[protocol] = found
        labels[protocol] = _label_map(found)
    progress("measuring", 0.98)
    return _result(inputs, config, networks, computed, labels, doubts)


def _refined(
    rows: NDArray[np.float32], prepared: PreparedScan, model: Model, progress: Progress
) -> NDArray[np.float32]:
    """Refine probabilities (N, C) by the CRF with the model's numbers."""
    try:
        config = CrfConfig(**model.card.crf)
    except (ConfigError, TypeError) as error:
        raise ModelError(f"model {model.name}: crf on its card: {error}") from error
    progress("refining", 0.0)
    i_mm, j_mm, k_mm = spacing_mm(prepared.affine).tolist()
    inside = prepared.intensities[prepared.mask]
    return refine_voxels(
        rows,
        inside,
        prepared.mask,
        (i_mm, j_mm, k_mm),
        config,
        lambda done, of: progress("refining", done / of),
    )


def _label_map(found: BrainProbabilities) -> LabelMap:
    """Take the most probable class of each voxel, back to the grid of the results."""
    prepared = found.scan
    cropped = np.zeros(prepared.mask.shape, np.int32)
    cropped[prepared.mask] = found.scheme.ids_of(found.rows.argmax(axis=1))
    whole = uncrop(cropped, prepared)
    if found.is_native:
        return LabelMap(labels_to_native(whole, prepared.grid), prepared.grid.native_affine, found.scheme)
    return LabelMap(whole, prepared.grid.affine, found.scheme)


def _result(
    inputs: Inputs,
    config: SegmentConfig,
    networks: Networks,
    computed: Mapping[str, BrainProbabilities],
    labels: Mapping[str, LabelMap],
    doubts: tuple[str, ...],
) -> Result:
    """Measure the labels and put everything together."""
    first = next(iter(computed.values())).scan
    is_native = config.space == "native"
    mask = inputs.mask if is_native else uncrop(first.mask, first)
    strange = [
        doubt
        for found in labels.values()
        for doubt in label_doubts(found.ids, mask, dict(zip(found.scheme.ids[1:], found.scheme.names[1:], strict=True)))
    ]
    scan = inputs.scan
    return Result(
        name=scan.name,
        stem=inputs.stem,
        labels=labels,
        volumes={protocol: structure_volumes(found) for protocol, found in labels.items()},
        mask=mask,
        affine=first.grid.native_affine if is_native else first.grid.affine,
        space_code=scan.space_code,
        warnings=(*scan.warnings, *(f"forced: {doubt}" for doubt in doubts), *strange),
        verdict="review" if doubts or strange else "plausible",
        provenance=_provenance(inputs, config, networks),
        computed=computed,
    )


def _provenance(inputs: Inputs, config: SegmentConfig, networks: Networks) -> dict[str, Any]:
    """Say how a result came about: names of files, never their paths."""
    used = {model.name: model for model in networks.by_protocol.values()}
    return {
        "Sources": list(inputs.names),
        "SpatialReference": inputs.scan.name if config.space == "native" else "1 mm, RAS, of " + inputs.scan.name,
        "OrientationKnown": inputs.scan.is_orientation_known,
        "Forced": config.force,
        "Models": [
            {
                "Name": name,
                "Version": model.card.version,
                "SHA256": model.sha256,
                "Licence": model.card.licence,
                "Credits": list(model.card.credits),
            }
            for name, model in used.items()
        ],
        "Settings": result_settings(config),
        "Device": str(networks.device),
        **({"Fallback": config.fallback} if config.fallback else {}),
    }


def _part(progress: Progress, start: float, share: float) -> Progress:
    """Let a step that counts from 0 to 1 report its share of the whole."""
    return lambda step, done: progress(step, start + share * done)
