"""Which model answers in which protocol, and which one finds the brain in a raw head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from neuronat.errors import UnusableInputError, UsageError
from neuronat.labels.scheme import BRAIN
from neuronat.nets.store import Model, load_model, read_model_card, shipped_models
from neuronat.pipeline.settings import SegmentConfig

__all__ = [
    "DEFAULT_MODELS",
    "DEFAULT_PROTOCOLS",
    "MERGED_FROM",
    "REFINES",
    "Networks",
    "chosen_protocols",
    "load_models",
    "require_stripper",
]

STRIPPER = "brain"
"""The shipped model that finds the brain in a raw head."""
NO_STRIPPER = "is a raw head, and no model at hand finds the brain in it; remove the skull, or give a brain --mask"
DEFAULT_MODELS = {"usual": ("deepnat", "neuronet"), "fast": ("neuronet",), "best": ("deepnat", "neuronet")}
"""By effort."""
DEFAULT_PROTOCOLS = ("deepnat25", "neuromorphometrics")
REFINES = {"neuromorphometrics": "deepnat25"}
"""Fine protocols whose labels have to agree with a coarse one's, if another model gave that (decision 0029)."""
MERGED_FROM = dict.fromkeys(("deepnat25", "tissue5", "subcortical15"), "neuromorphometrics")
"""Coarse protocols of a rater, and the fine one they are merged from where a template informs that (decision 0043)."""


@dataclass(frozen=True, eq=False)
class Networks:
    """Models by protocol, where they calculate, and all models at hand, one of which may know brains in raw heads."""

    by_protocol: Mapping[str, Model]
    device: torch.device
    models: tuple[Model, ...] = ()

    def opinions(self, protocol: str) -> tuple[Model, ...]:
        """Models of whole scans that a DeepNAT hears in its protocol: all at hand that label in it."""
        asked = self.by_protocol[protocol]
        if asked.whole is not None:
            return ()
        ids = asked.schemes[protocol].ids
        labelling = (model for model in self.models if model.whole is not None and not _is_coarse(model))
        return tuple(model for model in labelling if protocol in model.schemes and model.schemes[protocol].ids == ids)

    @property
    def of_whole_scans(self) -> tuple[Model, ...]:
        """The models of whole scans that answer in a protocol, or are heard there."""
        answering = [model for model in self.by_protocol.values() if model.whole is not None]
        heard = [model for protocol in self.by_protocol for model in self.opinions(protocol)]
        return tuple(dict.fromkeys([*answering, *heard]))

    @property
    def stripper(self) -> Model:
        """The model that finds the brain in a raw head; UnusableInputError if none does."""
        for model in self.models:
            if model.whole is not None and BRAIN in model.schemes:
                return model
        raise UnusableInputError(NO_STRIPPER)


def load_models(names: Sequence[str], effort: str = "usual") -> tuple[Model, ...]:
    """Load models by name or folder, by default those installed; and the one that finds brains, if none named does."""
    named = tuple(load_model(name) for name in _at_hand(names, effort))
    if any(BRAIN in model.schemes for model in named) or STRIPPER not in shipped_models():
        return named
    return (*named, load_model(STRIPPER))


def require_stripper(names: Sequence[str], effort: str = "usual") -> None:
    """Raise UnusableInputError if no model finds the brain in a raw head; their cards alone are read.

    Notes
    -----
    Source: ours.
    """
    if STRIPPER not in shipped_models() and not any(
        BRAIN in read_model_card(n).schemes for n in _at_hand(names, effort)
    ):
        raise UnusableInputError(NO_STRIPPER)


def _at_hand(names: Sequence[str], effort: str) -> Sequence[str]:
    """Return the models named, or the default ones that are installed."""
    return names or [name for name in DEFAULT_MODELS[effort] if name in shipped_models()]


def chosen_protocols(models: Sequence[Model], config: SegmentConfig) -> dict[str, Model]:
    """Return the model of each wanted protocol; the first model that offers a protocol gives it.

    Where no protocol is named, all that the named models offer are wanted; where no model is named either, the
    default ones. A network of voxels larger than 1 mm finds brains and labels nothing: its other protocols are there to
    teach it what a brain is.

    Raises
    ------
    UsageError
        If nobody answers in a wanted protocol, or in any.

    Notes
    -----
    Source: ours.
    """
    offered: dict[str, Model] = {}
    for model in models:
        for protocol in model.schemes:
            if protocol != BRAIN and not _is_coarse(model):
                offered.setdefault(protocol, model)
    wanted = config.protocols
    if not wanted and not config.models:
        wanted = tuple(protocol for protocol in DEFAULT_PROTOCOLS if protocol in offered)
    if unknown := [protocol for protocol in wanted if protocol not in offered]:
        raise UsageError(f"protocol {', '.join(unknown)} is not known; the models offer {', '.join(offered) or 'none'}")
    if not offered:
        raise UsageError("the named models find brains and label nothing; name one beside them that does")
    return {protocol: offered[protocol] for protocol in wanted or offered}


def _is_coarse(model: Model) -> bool:
    """Tell whether a model sees voxels larger than 1 mm."""
    return any(stage.step_vox > 1 for stage in model.card.stages.values())
