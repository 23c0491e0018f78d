"""What the networks answer at the voxels of a brain: classes now, probabilities when somebody asks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from neuronat.coords.spectral import LEFT_RIGHT_CHANNELS, brain_coordinates
from neuronat.crf.meanfield import CrfConfig, refine_voxels
from neuronat.errors import ConfigError, ModelError
from neuronat.infer.cascade import brain_probabilities
from neuronat.infer.dense import DenseConfig
from neuronat.infer.islands import IslandConfig, without_islands
from neuronat.infer.protocols import Coarser, most_probable, probability_channels
from neuronat.labels.scheme import LabelScheme
from neuronat.nets.store import Model
from neuronat.pipeline.networks import MERGED_FROM, REFINES, Networks
from neuronat.pipeline.scene import (
    Encoded,
    Scene,
    encode_scene,
    is_informed,
    merged_classes,
    merged_opinion,
    opinion_of,
    with_template,
)
from neuronat.pipeline.settings import Progress, SegmentConfig, part_of
from neuronat.prepare.scan import PreparedScan
from neuronat.space.affine import spacing_mm
from neuronat.space.memory import release_memory

__all__ = [
    "Answer",
    "answer_merged",
    "answer_patchwise",
    "answer_protocols",
    "answer_refined",
    "answer_whole",
]

OPINIONS, INFORMED_OPINIONS = 0.2, 0.5
"""Share of other networks' opinions in the probabilities of a DeepNAT, and of those that know a template as well
(decisions 0039 and 0048)."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A protocol's answer at the N voxels of the mask: classes (N,) uint8 and their probabilities (N,) float32.

    `masses` (C,) float64 are the sums of each class's probabilities; `channels` yields (N,) float32 per class;
    `is_informed`: whether a template had a say. `follows` names the protocol that the classes were made to agree with.
    """

    classes: NDArray[np.uint8]
    certainty: NDArray[np.float32]
    masses: NDArray[np.float64]
    channels: Callable[[], Iterator[NDArray[np.float32]]]
    is_informed: bool = False
    follows: str = ""


def answer_protocols(
    prepared: PreparedScan, networks: Networks, config: SegmentConfig, progress: Progress
) -> dict[str, Answer]:
    """Let every model answer in its protocols.

    Parameters
    ----------
    prepared : PreparedScan
        The brain.
    networks : Networks
        Models and device.
    config : SegmentConfig
        What the user decided.
    progress : callable
        Takes the step's name and the share done.

    Returns
    -------
    dict of str to Answer
        By protocol. Into a DeepNAT's probabilities go those that networks of whole scans have for the same
        protocol (decision 0039); fine labels agree with coarse ones of the same rater (decision 0029), and where a
        template informs them, so do those merged from them.

    Raises
    ------
    ModelError
        If the card's CRF numbers cannot be used.

    Notes
    -----
    Source: [DEEPNAT], [NEURONET]; both together: ours.
    """
    progress("coordinates", 0.0)
    scene = Scene(prepared, brain_coordinates(prepared.mask, prepared.affine), networks.device, config)
    encoded = {
        model: encode_scene(model, scene, part_of(progress, 0.05, share=0.1)) for model in networks.of_whole_scans
    }
    for model in encoded:
        if any({name, MERGED_FROM.get(name)} & model.card.template.keys() for name in networks.by_protocol):
            encoded[model] = with_template(encoded[model], model, scene, part_of(progress, 0.15, share=0.05))
    answers: dict[str, Answer] = {}
    for protocol, model in networks.by_protocol.items():
        if model.whole is None:
            others = [encoded[other] for other in networks.opinions(protocol)]
            answers[protocol] = answer_patchwise(model, scene, part_of(progress, 0.2, share=0.65), others)
    decided = {protocol: answer.classes for protocol, answer in answers.items()}
    steps = _in_order(networks, encoded)
    for number, (protocol, model) in enumerate(steps.items()):
        step = part_of(progress, 0.85 + 0.15 * number / len(steps), share=0.15 / len(steps))
        step(protocol, 0.0)
        if config.has_crf and protocol in model.card.refined:
            answers[protocol] = answer_refined(model, protocol, encoded[model], scene, step)
        elif is_informed(encoded[model], protocol):
            own = decided if steps.get(MERGED_FROM[protocol]) is model else {}
            answers[protocol] = answer_merged(model.schemes[protocol], encoded[model], own)
        else:
            answers[protocol] = answer_whole(model.schemes[protocol], encoded[model], decided)
        decided[protocol] = answers[protocol].classes
    return {protocol: answers[protocol] for protocol in networks.by_protocol}


def _in_order(networks: Networks, encoded: Mapping[Model, Encoded]) -> dict[str, Model]:
    """List what networks of whole scans answer: what decides first, then fine protocols, then those merged from them.

    Where a template informs an answer, those that it has to agree with come along, whether or not somebody asked.
    """
    steps = {protocol: model for protocol, model in networks.by_protocol.items() if model.whole is not None}
    for protocol, model in list(steps.items()):
        fine = MERGED_FROM.get(protocol, protocol)
        coarse = REFINES.get(fine, protocol)
        if fine in encoded[model].features.priors and protocol != coarse:
            for needed in {fine, coarse} & set(model.schemes) - set(networks.by_protocol):
                steps[needed] = model
    ranks = {**dict.fromkeys(REFINES, 1), **dict.fromkeys(REFINES.values(), 0)}
    return dict(sorted(steps.items(), key=lambda step: ranks.get(step[0], 2)))


def answer_patchwise(model: Model, scene: Scene, progress: Progress, others: Sequence[Encoded] = ()) -> Answer:
    """Let a DeepNAT label a prepared brain in tiles, mix in what other networks think, and let the CRF refine it.

    Raises
    ------
    ModelError
        If the card's CRF numbers cannot be used.

    Notes
    -----
    Source: [DEEPNAT].
    """
    scheme = next(iter(model.schemes.values()))
    is_best = scene.config.effort == "best"
    rows = _seen_by(model, scene, part_of(progress, 0.0, share=0.4 if is_best else 0.8))
    if is_best:
        _mix_in(rows, [_seen_mirrored(model, scene, scheme, part_of(progress, 0.4, share=0.4))], each=0.5, own=0.5)
    has_template = any(is_informed(other, scheme.name) for other in others)
    if others:
        share = INFORMED_OPINIONS if has_template else OPINIONS
        _mix_in(rows, (opinion_of(other, scheme) for other in others), each=share / len(others), own=1 - share)
    finished = _finished(rows, model, scheme, scene, part_of(progress, 0.85, share=0.15))
    return replace(finished, is_informed=has_template)


def answer_whole(scheme: LabelScheme, encoded: Encoded, decided: Mapping[str, NDArray[np.uint8]]) -> Answer:
    """Label a brain in a protocol from what a network has seen of it.

    `decided` holds classes (N,) of protocols found before; fine ones of the same rater agree with coarse ones, and
    within these a template weighs as its card says for that.

    Notes
    -----
    Source: [NEURONET]; template: ours (decision 0043).
    """
    net, features, protocol = encoded.net, encoded.features, scheme.name
    coarser = _coarser(scheme, decided)
    if coarser is not None:
        within = {p: replace(prior, weight=prior.weight_within) for p, prior in features.priors.items()}
        features = replace(features, priors=within)
    classes, certainty, masses = most_probable(net, features, protocol, coarser)
    channels = partial(probability_channels, net, features, protocol)
    follows = "" if coarser is None else REFINES[protocol]
    return Answer(classes, certainty, masses, channels, is_informed=protocol in features.priors, follows=follows)


def answer_merged(scheme: LabelScheme, encoded: Encoded, decided: Mapping[str, NDArray[np.uint8]]) -> Answer:
    """Label a brain in a coarse protocol from what network and template say in the fine one.

    `decided` holds classes (N,) of protocols; if the fine one is among them, its labels merged are the answer.

    Notes
    -----
    Source: ours (decision 0043).
    """
    fine, rows = MERGED_FROM[scheme.name], merged_opinion(encoded, scheme)
    classes = rows.argmax(1).astype(np.uint8)
    if fine in decided:
        classes = merged_classes(encoded.schemes[fine], scheme.name)[decided[fine]]
    follows = fine if fine in decided else ""
    certainty = rows[np.arange(len(rows)), classes]
    return Answer(classes, certainty, rows.sum(0, np.float64), lambda: iter(rows.T), is_informed=True, follows=follows)


def answer_refined(model: Model, protocol: str, encoded: Encoded, scene: Scene, progress: Progress) -> Answer:
    """Label a brain from what a network of whole scans has seen of it, and let the CRF refine that.

    Raises
    ------
    ModelError
        If the card's CRF numbers cannot be used.

    Notes
    -----
    Source: ours (decision 0040).
    """
    scheme = model.schemes[protocol]
    finished = _finished(opinion_of(encoded, scheme), model, scheme, scene, progress)
    return replace(finished, is_informed=is_informed(encoded, protocol))


def _finished(rows: NDArray[np.float32], model: Model, scheme: LabelScheme, scene: Scene, progress: Progress) -> Answer:
    """Refine probabilities (N, C), clear islands away, unless the user wants neither, and answer."""
    brain = scene.brain
    if scene.config.has_crf:
        rows = _refined(rows, brain, model, progress)
    if not scene.config.keeps_islands:
        rows = without_islands(rows, brain.mask, spacing_mm(brain.affine), scheme, IslandConfig())
    return Answer(rows.argmax(1).astype(np.uint8), rows.max(1), rows.sum(0, np.float64), lambda: iter(rows.T))


def _seen_by(model: Model, scene: Scene, progress: Progress) -> NDArray[np.float32]:
    """Return a DeepNAT's probabilities (N, C)."""
    rows = brain_probabilities(
        {stage: net.to(scene.device) for stage, net in model.patchwise.items()},
        scene.brain.intensities,
        scene.coordinates,
        scene.brain.mask,
        DenseConfig(device=scene.device, tile_vox=scene.config.tile_vox),
        progress,
    )
    release_memory()
    return rows


def _seen_mirrored(model: Model, scene: Scene, scheme: LabelScheme, progress: Progress) -> NDArray[np.float32]:
    """Return a DeepNAT's probabilities (N, C) for the mirror image, with left and right given back."""
    mask = scene.brain.mask
    signs = np.ones((6, 1, 1, 1), np.float32)
    signs[list(LEFT_RIGHT_CHANNELS)] = -1
    mirrored = replace(
        scene.brain,
        mask=np.ascontiguousarray(mask[::-1]),
        intensities=np.ascontiguousarray(scene.brain.intensities[::-1]),
    )
    coordinates = np.ascontiguousarray(scene.coordinates[:, ::-1]) * signs
    rows = _seen_by(model, replace(scene, brain=mirrored, coordinates=coordinates), progress)
    places = (np.cumsum(mirrored.mask) - 1).reshape(mask.shape)[::-1][mask]
    given_back: NDArray[np.float32] = rows[places][:, scheme.mirrored_classes]
    return given_back


def _mix_in(rows: NDArray[np.float32], others: Iterable[NDArray[np.float32]], *, each: float, own: float) -> None:
    """Mix other probabilities (N, C) into rows (N, C), by their shares; in place, since all take much memory."""
    rows *= np.float32(own)
    for other in others:
        other *= np.float32(each)
        rows += other


def _coarser(scheme: LabelScheme, decided: Mapping[str, NDArray[np.uint8]]) -> Coarser | None:
    """Return what a protocol's labels have to agree with, if anything."""
    name = REFINES.get(scheme.name)
    if name is None or name not in decided:
        return None
    return Coarser(decided[name], merged_classes(scheme, name))


def _refined(
    rows: NDArray[np.float32], prepared: PreparedScan, model: Model, progress: Progress
) -> NDArray[np.float32]:
    """Refine probabilities (N, C) by the CRF with the model's numbers."""
    try:
        config = CrfConfig(**model.card.crf)
    except (ConfigError, TypeError) as error:
        raise ModelError(f"model {model.name}: crf on its card: {error}") from error
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
