"""A prepared brain as networks of whole scans see it, and what their templates say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from neuronat.errors import ModelError
from neuronat.infer.prior import Prior, place_mirrored, place_template
from neuronat.infer.protocols import class_probabilities, merged_probabilities, most_probable
from neuronat.infer.tiles import ScanFeatures, TileConfig, encode_scan
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.nets.mirrored import seen_twice
from neuronat.nets.network import ScanNetwork
from neuronat.nets.store import Model
from neuronat.pipeline.networks import MERGED_FROM
from neuronat.pipeline.settings import Progress, SegmentConfig
from neuronat.prepare.intensity import scale_brightness
from neuronat.prepare.scan import PreparedScan
from neuronat.space.memory import release_memory

__all__ = [
    "Encoded",
    "Scene",
    "encode_scene",
    "is_informed",
    "merged_classes",
    "merged_opinion",
    "opinion_of",
    "with_template",
]

OWN_SHARE = 0.4
"""Of a network's own answer in a coarse protocol, beside what its fine classes and a template say (decision 0048)."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A prepared brain and its coordinates (6, I, J, K), where to calculate, and what the user decided."""

    brain: PreparedScan
    coordinates: NDArray[np.float32]
    device: torch.device
    config: SegmentConfig


@dataclass(frozen=True, eq=False)
class Encoded:
    """A network of whole scans, the schemes of its protocols, and what it has seen of a scan."""

    net: ScanNetwork
    schemes: Mapping[str, LabelScheme]
    features: ScanFeatures


def encode_scene(model: Model, scene: Scene, progress: Progress) -> Encoded:
    """Let a network of whole scans see a prepared brain, and its mirror image unless it shall go fast.

    Smaller tiles of the configuration need less memory.

    Raises
    ------
    ModelError
        If the model labels patch by patch.

    Notes
    -----
    Source: [NEURONET].
    """
    if model.whole is None:
        raise ModelError(f"model {model.name}: labels patch by patch, not whole scans")
    is_fast = scene.config.effort == "fast"
    net: ScanNetwork = model.whole if is_fast else seen_twice(model.whole, model.schemes)
    grey = scene.brain.intensities if model.card.scan.needs_mask else scale_brightness(scene.brain.intensities)
    channels = np.concatenate([grey[None], scene.coordinates]) if net.n_channels > 1 else grey[None]
    tiles = TileConfig(device=scene.device, most_voxels=32 * scene.config.tile_vox**3)
    mask = scene.brain.mask
    features = encode_scan(net.to(scene.device), channels, mask, tiles, lambda done: progress("encoding", done))
    release_memory()
    return Encoded(net, model.schemes, features)


def with_template(encoded: Encoded, model: Model, scene: Scene, progress: Progress) -> Encoded:
    """Deform the model's template onto a scan that its network has seen, and let it have a say in its protocol.

    It is deformed onto the mirror image as well, unless it shall go fast. Where template and scan do not fit, nothing
    changes.

    Notes
    -----
    Source: ours (decision 0043).
    """
    if model.template is None:
        return encoded
    progress("registering", 0.0)
    priors = dict(encoded.features.priors)
    for protocol, spec in model.card.template.items():
        scheme = model.schemes[protocol]
        guess, _, _ = most_probable(encoded.net, encoded.features, protocol)
        seen = (model.template, scene.brain.intensities, scene.brain.mask, guess)
        looks = [place_template(*seen)]
        if scene.config.effort != "fast":
            partners = np.arange(256, dtype=np.uint8)
            partners[: scheme.n_classes] = scheme.mirrored_classes
            progress("registering", 0.5)
            looks.append(place_mirrored(*seen, partners))
        known = [look for look in looks if look is not None]
        if known:
            classes, shares = (np.concatenate(parts, 1) for parts in zip(*known, strict=True))
            weights = (spec.weight, spec.weight_within)
            priors[protocol] = Prior(classes, shares, *weights, scheme.n_classes, len(known))
    release_memory()
    return replace(encoded, features=replace(encoded.features, priors=priors))


def is_informed(encoded: Encoded, protocol: str) -> bool:
    """Tell whether a template has a say in what a network answers in a coarse protocol."""
    return bool(_informing(encoded, protocol))


def _informing(encoded: Encoded, coarse: str) -> str:
    """Return the fine protocol with a prior whose classes merge into a coarse one's; nothing if there is none."""
    fine = MERGED_FROM.get(coarse, "")
    return fine if fine in encoded.features.priors else ""


def opinion_of(encoded: Encoded, scheme: LabelScheme) -> NDArray[np.float32]:
    """Return a network's probabilities (N, C) in a protocol; where a fine one has a prior, its merged ones come in."""
    own = class_probabilities(encoded.net, encoded.features, scheme.name)
    if not is_informed(encoded, scheme.name):
        return own
    merged = merged_opinion(encoded, scheme)
    own *= np.float32(OWN_SHARE)
    merged *= np.float32(1 - OWN_SHARE)
    merged += own
    return merged


def merged_opinion(encoded: Encoded, scheme: LabelScheme) -> NDArray[np.float32]:
    """Return the probabilities (N, C) that network and template have in a coarse protocol, merged from the fine one."""
    fine = _informing(encoded, scheme.name)
    groups = merged_classes(encoded.schemes[fine], scheme.name)
    return merged_probabilities(encoded.net, encoded.features, fine, groups, n_groups=scheme.n_classes)


def merged_classes(scheme: LabelScheme, coarse: str) -> NDArray[np.uint8]:
    """Return the coarse class that each class of a scheme merges into."""
    return load_scheme(coarse).classes_of(scheme.mapped_ids(np.array(scheme.ids), coarse))
