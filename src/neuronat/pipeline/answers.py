"""What the networks answer at the voxels of a brain: classes now, probabilities when somebody asks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from neuronat.coords.spectral import brain_coordinates
from neuronat.crf.meanfield import CrfConfig, refine_voxels
from neuronat.errors import ConfigError, ModelError, UnusableInputError
from neuronat.infer.cascade import brain_probabilities
from neuronat.infer.dense import DenseConfig
from neuronat.infer.islands import IslandConfig, without_islands
from neuronat.infer.protocols import Coarser, class_probabilities, most_probable, probability_channels
from neuronat.infer.shape import fit_shape, weigh_by_shape
from neuronat.infer.tiles import TileConfig, encode_scan
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.nets.store import Model
from neuronat.pipeline.networks import REFINES
from neuronat.pipeline.settings import Progress, SegmentConfig
from neuronat.prepare.intensity import scale_brightness
from neuronat.prepare.scan import PreparedScan
from neuronat.space.affine import spacing_mm

__all__ = ["Answer", "answer_patchwise", "answer_whole", "find_brain"]

LEAST_BRAIN_VOX = 300_000
LEAST_SUPPORT = 0.52
"""Overlap of the fitted shape with what the network takes for brain: 0.42 and 0.49 in noise, 0.57 to 0.85 in heads."""
BRIDGE_VOX = 2
"""What hangs on the brain by less than twice this is cut off, as eyes and vessels do."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A protocol's answer at the N voxels of the mask: classes (N,) uint8 and their probabilities (N,) float32.

    `masses` (C,) float64 are the sums of each class's probabilities; `channels` yields (N,) float32 per class.
    """

    classes: NDArray[np.uint8]
    certainty: NDArray[np.float32]
    masses: NDArray[np.float64]
    channels: Callable[[], Iterator[NDArray[np.float32]]]


def answer_patchwise(
    model: Model, prepared: PreparedScan, device: torch.device, progress: Progress, config: SegmentConfig
) -> Answer:
    """Let a DeepNAT label a prepared brain in tiles, and the CRF refine it.

    Raises
    ------
    ModelError
        If the card's CRF numbers cannot be used.

    Notes
    -----
    Source: [DEEPNAT].
    """
    progress("coordinates", 0.0)
    coordinates = brain_coordinates(prepared.mask, prepared.affine)
    rows = brain_probabilities(
        {stage: net.to(device) for stage, net in model.patchwise.items()},
        prepared.intensities,
        coordinates,
        prepared.mask,
        DenseConfig(device=device, tile_vox=config.tile_vox),
        lambda step, done: progress(step, 0.05 + 0.8 * done),
    )
    if config.has_crf:
        rows = _refined(rows, prepared, model, progress)
    if not config.keeps_islands:
        scheme = next(iter(model.schemes.values()))
        rows = without_islands(rows, prepared.mask, spacing_mm(prepared.affine), scheme, IslandConfig())
    return Answer(rows.argmax(1).astype(np.uint8), rows.max(1), rows.sum(0, np.float64), lambda: iter(rows.T))


def answer_whole(
    model: Model,
    prepared: PreparedScan,
    protocols: tuple[str, ...],
    tiles: TileConfig,
    progress: Progress,
    coarser: Mapping[str, NDArray[np.uint8]] = MappingProxyType({}),
) -> Mapping[str, Answer]:
    """Let a NeuroNet label a prepared brain in several protocols, in one pass; smaller tiles need less memory.

    `coarser` holds classes (N,) of coarse protocols found before; fine ones of the same rater agree with them.

    Notes
    -----
    Source: [NEURONET].
    """
    net = model.whole
    if net is None:
        raise ModelError(f"model {model.name}: labels patch by patch, not whole scans")
    if net.n_channels > 1:
        progress("coordinates", 0.0)
        coordinates = brain_coordinates(prepared.mask, prepared.affine)
        channels = np.concatenate([prepared.intensities[None], coordinates])
    else:
        channels = scale_brightness(prepared.intensities)[None]
    features = encode_scan(net.to(tiles.device), channels, tiles, lambda done: progress("encoding", 0.1 + 0.6 * done))
    answers = {}
    for number, protocol in enumerate(protocols):
        progress(protocol, 0.7 + 0.3 * number / len(protocols))
        within = _coarser(model.schemes[protocol], coarser)
        classes, certainty, masses = most_probable(net, features, protocol, prepared.mask, within)
        later = partial(probability_channels, net, features, protocol, prepared.mask)
        answers[protocol] = Answer(classes, certainty, masses, later)
    return answers


def _coarser(scheme: LabelScheme, coarser: Mapping[str, NDArray[np.uint8]]) -> Coarser | None:
    """Return what a protocol's labels have to agree with, if anything."""
    name = REFINES.get(scheme.name)
    if name is None or name not in coarser:
        return None
    groups = load_scheme(name).classes_of(scheme.mapped_ids(np.array(scheme.ids), name))
    return Coarser(coarser[name], groups)


def find_brain(model: Model, grey: NDArray[np.float32], device: torch.device, progress: Progress) -> NDArray[np.bool_]:
    """Find the brain in a raw head.

    Parameters
    ----------
    model : Model
        One with the protocol `brain`.
    grey : (I, J, K) float32
        Grey values on the working grid, any scale.
    device : torch.device
        Where to calculate.
    progress : callable
        Takes the step's name and the share done.

    Returns
    -------
    (I, J, K) bool
        The largest part that looks like brain, without holes and without what hangs on it by a thin bridge.

    Raises
    ------
    UnusableInputError
        If nothing of a brain's size does.

    Notes
    -----
    Source: ours.
    """
    net = model.whole
    if net is None:
        raise ModelError(f"model {model.name}: cannot find the brain in a raw head")
    step = model.card.stages["whole"].step_vox
    coarse = _block_means(scale_brightness(grey), step)
    config = TileConfig(device=device)
    features = encode_scan(net.to(device), coarse[None], config, lambda done: progress("finding the brain", 0.8 * done))
    rows = class_probabilities(net, features, "brain", np.ones(coarse.shape, bool))
    share = rows[:, 1].reshape(coarse.shape)
    progress("finding the brain", 0.8)
    shape = fit_shape(share, float(step))
    if (support := 2 * float((share * shape).sum()) / float(share.sum() + shape.sum())) < LEAST_SUPPORT:
        raise UnusableInputError(
            f"does not look like a human head: what looks like brain in it has not a brain's shape "
            f"(overlap {support:.2f} of 1); check it, or give a brain mask with --mask"
        )
    body = _body(_refine(weigh_by_shape(share, shape), step, grey.shape) > 0.5)
    if body.sum() < LEAST_BRAIN_VOX:
        raise UnusableInputError(
            f"holds no brain that could be found (the largest part like one has {body.sum() / 1000:.0f} ml); "
            f"check that it is a T1-weighted head, or give a brain mask with --mask"
        )
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(body)
    return filled


def _body(is_brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of (I, J, K) that stays in one piece when bridges are cut."""
    parts, n_parts = ndimage.label(ndimage.binary_erosion(is_brain, iterations=BRIDGE_VOX))
    if n_parts == 0:
        return np.zeros_like(is_brain)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    body: NDArray[np.bool_] = ndimage.binary_dilation(parts == sizes.argmax(), iterations=BRIDGE_VOX + 1, mask=is_brain)
    return body


def _block_means(grey: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Average (I, J, K) values over cubes of `step` voxels; the last ones are filled up by repeating the border."""
    if step == 1:
        return grey
    padded = np.pad(grey, [(0, -extent % step) for extent in grey.shape], mode="edge")
    i, j, k = (extent // step for extent in padded.shape)
    means: NDArray[np.float32] = padded.reshape(i, step, j, step, k, step).mean((1, 3, 5))
    return means


def _refine(coarse: NDArray[np.float32], step: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Interpolate values of cubes of `step` voxels linearly at the voxels of a grid of `shape`."""
    if step == 1:
        return coarse
    fine = functional.interpolate(
        torch.from_numpy(coarse)[None, None], scale_factor=step, mode="trilinear", align_corners=False
    )
    i, j, k = shape
    inside: NDArray[np.float32] = fine[0, 0, :i, :j, :k].numpy()
    return inside


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
        lambda done, of: progress("refining", 0.85 + 0.15 * done / of),
    )
