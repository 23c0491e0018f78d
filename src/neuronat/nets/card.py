"""The model card: what a model is, what it expects, how it was made, how good it is and who may use it.

A card is a frozen noun that checks itself at birth; `card.json` is its written form. Reading one executes
nothing: keys and types are compared with the fields here, an architecture is a word, never a class path.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neuronat.errors import ConfigError, ModelError
from neuronat.measure.confidence import Calibration
from neuronat.nets.deepnat import DeepNatConfig
from neuronat.nets.network import ARCHITECTURES, NetworkShape
from neuronat.nets.neuronet import NeuroNetConfig
from neuronat.nets.plain import from_plain, parse_plain, to_plain
from neuronat.nets.unet import UNetConfig

__all__ = [
    "FORMAT",
    "Accuracy",
    "ModelCard",
    "ScanSpec",
    "StageSpec",
    "TemplateSpec",
    "TrainingRecord",
    "is_model_name",
    "read_card",
    "write_card",
]

FORMAT = 1
STAGES = (("foreground", "structures"), ("structures",), ("whole",))
MAX_CLASSES = 1024
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z+._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One network of the model: an architecture from the list, and the numbers that shape it.

    A `deepnat` has `n_classes`, `n_tasks` and `coordinates`; a `neuronet` or `unet` has `protocols`, the latter also
    `filters`, `n_features`, `n_hidden` and `n_coordinates`. `step_vox`: the network sees means over so many voxels
    along each axis.
    """

    architecture: str = "deepnat"
    n_classes: int = 0
    n_tasks: int = 7
    coordinates: tuple[str, ...] = ("spectral", "cartesian")
    protocols: Mapping[str, int] = field(default_factory=dict)
    filters: tuple[int, ...] = ()
    n_features: int = 0
    n_hidden: int = 0
    n_coordinates: int = 0
    step_vox: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.step_vox <= 8:
            raise ModelError(f"step_vox must be 1 to 8; got {self.step_vox}")
        if self.architecture not in ARCHITECTURES:
            raise ModelError(f"architecture {self.architecture!r} is not known; known are {', '.join(ARCHITECTURES)}")
        if self.n_classes > MAX_CLASSES:
            raise ModelError(f"n_classes must be at most {MAX_CLASSES}; got {self.n_classes}")
        try:
            _ = self.network_config
        except ConfigError as error:
            raise ModelError(str(error)) from error

    @property
    def network_config(self) -> NetworkShape:
        """The configuration that builds the network."""
        if self.architecture == "deepnat":
            return DeepNatConfig(n_classes=self.n_classes, n_tasks=self.n_tasks, coordinates=self.coordinates)
        if self.architecture == "neuronet":
            return NeuroNetConfig(protocols=self.protocols)
        return UNetConfig(
            protocols=self.protocols,
            filters=self.filters,
            n_features=self.n_features,
            n_hidden=self.n_hidden,
            n_coordinates=self.n_coordinates,
        )

    @property
    def classes_by_protocol(self) -> tuple[int, ...]:
        """Number of classes of each protocol, in order."""
        return (self.n_classes,) if self.architecture == "deepnat" else tuple(self.protocols.values())


@dataclass(frozen=True, kw_only=True)
class ScanSpec:
    """What the networks expect of a prepared scan."""

    modality: str = "T1w"
    spacing_mm: float = 1.0
    orientation: str = "RAS"
    normalization: str = "white 1.00, grey 0.65, zero outside the mask"
    needs_mask: bool = True

    def __post_init__(self) -> None:
        if self.modality != "T1w" or self.spacing_mm != 1.0 or self.orientation != "RAS":
            raise ModelError(
                f"the model expects {self.modality} scans of {self.spacing_mm:g} mm in {self.orientation}; "
                f"this version of neuronat prepares T1w scans of 1 mm in RAS only"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """How the weights came about."""

    material: str
    n_scans: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    duration_s: float = 0.0
    neuronat_version: str = ""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """One measured number, and the fold or set it was measured on."""

    measure: str
    value: float
    measured_on: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or not self.measured_on:
            raise ModelError(f"accuracy {self.measure!r} needs a finite value and the set it was measured on")


@dataclass(frozen=True, kw_only=True)
class TemplateSpec:
    """From how many scans a template was made, and how much the logarithm of its shares weighs among scores.

    `weight_within` holds among the classes of one structure that is decided already (decision 0043).
    """

    n_scans: int
    weight: float
    weight_within: float = 3.0

    def __post_init__(self) -> None:
        if self.n_scans < 1 or not all(0 <= weight < math.inf for weight in (self.weight, self.weight_within)):
            raise ModelError(f"a template is of 1 scan at least and weighs 0 or more; got {self}")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything about a model that is not a weight; `crf` holds the numbers of `CrfConfig`, by name.

    `refined` names the protocols of a network of whole scans that the CRF refines; a DeepNAT's one always is.
    `confidence` holds, by protocol, what its probabilities are worth, where that was measured. `template` names the
    protocol of the model's template, if it has one. `untaught` holds, by protocol, the ids of structures that no scan
    of the training showed: the protocol lists them, the model cannot find them.
    """

    name: str
    description: str
    stages: Mapping[str, StageSpec]
    schemes: tuple[str, ...]
    training: TrainingRecord
    licence: str
    credits: tuple[str, ...] = ()
    accuracy: tuple[Accuracy, ...] = ()
    scan: ScanSpec = field(default_factory=ScanSpec)
    crf: Mapping[str, Any] = field(default_factory=dict)
    refined: tuple[str, ...] = ()
    confidence: Mapping[str, Calibration] = field(default_factory=dict)
    template: Mapping[str, TemplateSpec] = field(default_factory=dict)
    untaught: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    version: str = "1"
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not is_model_name(self.name):
            raise ModelError(f"model name {self.name!r} must be letters, digits, '+', '.', '_' or '-', at most 64")
        if tuple(self.stages) not in STAGES:
            raise ModelError(f"stages must be foreground and structures, structures, or whole; got {list(self.stages)}")
        if "foreground" in self.stages and self.stages["foreground"].n_classes != 2:
            raise ModelError(f"stage foreground must have 2 classes; got {self.stages['foreground'].n_classes}")
        _require_schemes(self.schemes, self.stages)
        _require_known(self)
        for name, value in self.crf.items():
            if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
                raise ModelError(f"crf.{name} must be a finite number, at least 0; got {value!r}")


def is_model_name(name: str) -> bool:
    """Tell whether a model can be called so: its name becomes that of a folder.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> [is_model_name(name) for name in ("deepnat+1.0", "my model", "../up")]
    [True, False, False]
    """
    return NAME.fullmatch(name) is not None


def _require_known(card: ModelCard) -> None:
    """Raise ModelError if something on the card belongs to a protocol that the model does not have."""
    if unknown := set(card.confidence) - set(card.schemes):
        raise ModelError(f"confidence is known for {sorted(unknown)}, which is no protocol of the model")
    if unknown := set(card.untaught) - set(card.schemes):
        raise ModelError(f"structures were not taught of {sorted(unknown)}, which is no protocol of the model")
    if unknown := set(card.refined) - set(card.schemes):
        raise ModelError(f"the CRF refines {sorted(unknown)}, which is no protocol of the model")
    if not set(card.template) <= set(card.schemes) or len(card.template) > 1:
        raise ModelError(f"a template is of one protocol of the model; got {sorted(card.template)}")


def _require_schemes(schemes: tuple[str, ...], stages: Mapping[str, StageSpec]) -> None:
    """Raise ModelError unless each protocol of the last stage has a scheme, and the stage suits its network."""
    stage, spec = list(stages.items())[-1]
    if (stage == "whole") == (spec.architecture == "deepnat"):
        raise ModelError(f"stage {stage} cannot be a {spec.architecture}")
    if spec.architecture == "deepnat":
        if len(schemes) != 1 or not NAME.fullmatch(schemes[0]):
            raise ModelError(f"schemes must name one label scheme; got {list(schemes)}")
    elif schemes != tuple(spec.protocols):
        raise ModelError(f"schemes must be the protocols {list(spec.protocols)}; got {list(schemes)}")


def write_card(card: ModelCard) -> str:
    """Return the card as the text of `card.json`, format first.

    Notes
    -----
    Source: ours (decision 0009).
    """
    plain = to_plain(card)
    ordered = {"format": plain.pop("format"), **plain}
    return json.dumps(ordered, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_card(text: str) -> ModelCard:
    """Read the text of a `card.json`.

    Parameters
    ----------
    text : str
        Content of the file.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If the text is no JSON, the format is newer than this version, or a key or type does not fit.

    Notes
    -----
    Source: ours (decision 0009).
    """
    raw = parse_plain(text, "card.json")
    if not isinstance(raw, dict) or type(raw.get("format")) is not int:
        raise ModelError("card.json has no format number; it is no model card of neuronat")
    if raw["format"] > FORMAT:
        raise ModelError(
            f"card.json has format {raw['format']}, this neuronat reads {FORMAT}; install a newer neuronat"
        )
    if raw["format"] != FORMAT:
        raise ModelError(f"card.json has format {raw['format']}; this neuronat reads {FORMAT}")
    card: ModelCard = from_plain(raw, ModelCard, "card.json")
    return card
