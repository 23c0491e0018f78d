"""The sentence itself: a scan is prepared, labelled by the networks, refined, taken back and measured."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import GridError, UnusableInputError
from neuronat.measure.agreement import measure_agreement
from neuronat.measure.doubts import (
    border_doubts,
    brain_doubts,
    contrast_doubts,
    require_no_doubt,
    require_structure,
    tissue_doubts,
)
from neuronat.measure.plausible import COMMON, Finding
from neuronat.measure.volumes import structure_volumes
from neuronat.nets.store import Model
from neuronat.pipeline.answers import answer_protocols
from neuronat.pipeline.confidence import confidence_per_protocol
from neuronat.pipeline.finder import find_brain
from neuronat.pipeline.judge import judge_result
from neuronat.pipeline.memory import fitting_tile_vox, is_memory_ample, require_memory
from neuronat.pipeline.networks import Networks
from neuronat.pipeline.result import BrainProbabilities, Result
from neuronat.pipeline.settings import Progress, SegmentConfig, no_progress, part_of, result_settings
from neuronat.prepare.conform import labels_to_native, plan_grid, to_working
from neuronat.prepare.intensity import count_from_darkest
from neuronat.prepare.mask import is_raw_head, require_mask, require_stripped_mask
from neuronat.prepare.scan import PreparedScan, prepare_scan, uncrop
from neuronat.record import shown_name, stem_of
from neuronat.space.files import read_mask
from neuronat.space.loading import naming
from neuronat.space.memory import keep_freed_memory
from neuronat.space.reading import read_scan
from neuronat.space.scan import ReadOptions, Scan
from neuronat.space.volume import LabelMap, Volume

__all__ = ["Inputs", "mask_of", "prepare_brain", "read_inputs", "require_brain", "segment_scan"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """A scan and its brain mask (I, J, K) bool on the same grid; `stem` names the outputs, `names` the sources.

    There is no mask for a raw head: a model finds the brain, the `finder`.
    """

    scan: Scan
    mask: NDArray[np.bool_] | None
    stem: str
    names: tuple[str, ...]
    finder: Model | None = None


def read_inputs(path: Path, config: SegmentConfig) -> Inputs:
    """Read a scan and find its brain mask: the one given, or what is not background in a skull-stripped scan.

    Raises
    ------
    MissingInputError, UnusableInputError
        If scan or mask cannot be read or used.
    MemoryShortError
        If segmenting would take more memory than there is; `max_voxels` lifts this.

    Notes
    -----
    Source: ours.
    """
    scan = read_scan(path, config.reading)
    with naming(path):
        require_no_doubt(scan.warnings, strict=config.strict)
    mask = mask_of(path, scan, config)
    with naming(path):
        require_memory(scan.volume, mask, config.reading)
    names = (scan.name, *((shown_name(config.mask),) if config.mask else ()))
    return Inputs(scan, mask, stem_of(path), names)


def mask_of(path: Path, scan: Scan, config: SegmentConfig) -> NDArray[np.bool_] | None:
    """Return the brain mask (I, J, K) of a scan, none for a raw head; errors as in `read_inputs`."""
    if config.mask is not None:
        given = _read_mask(config.mask, config.reading)
        with naming(config.mask):
            return require_mask(given, scan.volume, force=config.force)
    with naming(path):
        if config.stripped == "no" or (config.stripped == "auto" and is_raw_head(scan.volume)):
            return None
        return require_stripped_mask(scan.volume, is_declared=config.stripped == "yes", force=config.force)


def _read_mask(path: Path, reading: ReadOptions) -> Volume:
    """Read a mask as its scan is read, for it lies as the scan does; a form that only the scan has is left out."""
    options = replace(reading, frame=None, series=None)
    try:
        return read_mask(path, options)
    except GridError:
        if options.use_form is None:
            raise
        return read_mask(path, replace(options, use_form=None))


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
        If the scan does not look like a T1 of a brain, unless forced; or if the configuration is strict and the
        verdict no pass.
    ModelError
        If the card's CRF numbers cannot be used.

    Notes
    -----
    Source: [DEEPNAT]; the gates are ours.
    """
    keep_freed_memory(is_kept=is_memory_ample(inputs.scan.volume, inputs.mask))
    if inputs.mask is None:
        inputs = _stripped(inputs, networks, part_of(progress, 0.0, share=0.1))
    fitting = fitting_tile_vox(inputs.scan.volume, inputs.mask, networks.device)
    config = replace(config, tile_vox=min(config.tile_vox, fitting))
    progress("preparing", 0.1)
    prepared, doubts = prepare_brain(inputs, config)
    answers = answer_protocols(prepared, networks, config, part_of(progress, 0.15, share=0.83))
    computed = {
        protocol: BrainProbabilities(
            answers[protocol],
            model.schemes[protocol],
            prepared,
            config.space == "native",
            model.card.confidence.get(protocol),
            model.card.untaught.get(protocol, ()),
        )
        for protocol, model in networks.by_protocol.items()
    }
    if doubted := _tissue_doubts(prepared, computed):
        doubts += doubted
        require_brain(doubts, config)
    labels = {protocol: found.label_map() for protocol, found in computed.items()}
    progress("measuring", 0.98)
    result = _result(inputs, config, networks, computed, labels, doubts)
    require_no_doubt(result.reasons, strict=config.strict and result.verdict != "pass")
    return result


def prepare_brain(inputs: Inputs, config: SegmentConfig) -> tuple[PreparedScan, tuple[str, ...]]:
    """Prepare a scan with its mask, and name what speaks against a T1 of a brain, which is refused unless forced.

    Raises
    ------
    UnusableInputError
        If there is no mask, or the scan does not look like a T1 of a brain and is not forced.

    Notes
    -----
    Source: ours.
    """
    prepared = prepare_scan(inputs.scan.volume, _mask(inputs), force=True)
    doubts = (
        *prepared.doubts,
        *brain_doubts(prepared.mask, prepared.affine),
        *contrast_doubts(prepared.intensities, prepared.mask, prepared.affine),
    )
    require_brain(doubts, config)
    return prepared, doubts


def require_brain(doubts: tuple[str, ...], config: SegmentConfig) -> None:
    """Raise UnusableInputError for what does not look like a T1 of a brain, unless forced.

    Notes
    -----
    Source: ours (decisions 0016 and 0036).
    """
    if doubts and not config.force:
        raise UnusableInputError(
            f"does not look like a T1-weighted human brain: {'; '.join(doubts)}; check it, or use --force"
        )


def _tissue_doubts(prepared: PreparedScan, computed: Mapping[str, BrainProbabilities]) -> tuple[str, ...]:
    """Ask the first protocol that can tell the tissues whether their grey values stand in the order of a T1."""
    for found in computed.values():
        if COMMON in (found.scheme.name, *found.scheme.mappings):
            ids = found.scheme.mapped_ids(found.scheme.ids_of(found.answer.classes), COMMON)
            return tissue_doubts(prepared.intensities[prepared.mask], ids)
    return ()


def _stripped(inputs: Inputs, networks: Networks, progress: Progress) -> Inputs:
    """Find the brain of a raw head, on the scan's own grid."""
    values = inputs.scan.volume.values
    require_structure(values)
    i, j, k = values.shape
    grid = plan_grid(inputs.scan.volume.affine, (i, j, k))
    working = to_working(Volume(count_from_darkest(values), inputs.scan.volume.affine), grid)
    finder = networks.stripper
    found = find_brain(finder, working.values, networks.device, progress)
    return replace(inputs, mask=labels_to_native(found.astype(np.int32), grid) > 0, finder=finder)


def _mask(inputs: Inputs) -> NDArray[np.bool_]:
    """Return the brain mask, which is known by now."""
    if inputs.mask is None:
        raise UnusableInputError("has no brain mask; give one with --mask")
    return inputs.mask


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
    mask = _mask(inputs) if is_native else uncrop(first.mask, first)
    volumes = {p: structure_volumes(found, computed[p].fine_map, computed[p].untaught) for p, found in labels.items()}
    free = [rows for protocol, rows in volumes.items() if computed[protocol].answer.follows not in volumes]
    cut = dict.fromkeys(doubt for rows in free for doubt in border_doubts(rows))
    scan = inputs.scan
    agreement = measure_agreement(labels, {protocol: found.answer.follows for protocol, found in computed.items()})
    findings = judge_result(labels, mask, computed, doubts, agreement)
    return Result(
        name=scan.name,
        stem=inputs.stem,
        labels=labels,
        volumes=volumes,
        mask=mask,
        affine=first.grid.native_affine if is_native else first.grid.affine,
        space_code=scan.space_code,
        warnings=(*scan.notes, *scan.warnings),
        findings={**findings, "": (*findings[""], *(Finding("review", doubt) for doubt in cut))},
        provenance=_provenance(inputs, config, networks),
        computed=computed,
        confidence=confidence_per_protocol(computed),
        agreement=agreement,
        image=scan.volume if is_native else to_working(scan.volume, first.grid),
    )


def _provenance(inputs: Inputs, config: SegmentConfig, networks: Networks) -> dict[str, Any]:
    """Say how a result came about: names of files, never their paths."""
    finders = [inputs.finder] if inputs.finder else []
    used = {model.name: model for model in (*finders, *networks.by_protocol.values(), *networks.of_whole_scans)}
    return {
        "Sources": list(inputs.names),
        "SpatialReference": inputs.scan.name if config.space == "native" else "1 mm, RAS, of " + inputs.scan.name,
        "OrientationKnown": inputs.scan.is_orientation_known,
        "BrainMask": "found by " + inputs.finder.name if inputs.finder else "given, or of a stripped scan",
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
        "TileVoxels": config.tile_vox,
        **({"Fallback": config.fallback} if config.fallback else {}),
    }
