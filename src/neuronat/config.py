"""The TOML file that describes one training: read, checked, and turned into frozen configurations.

A table of the file is one configuration; a key it does not know, a missing key, or a value out of range is a
ConfigError before any scan is read. `${NAME}` in a path stands for that environment variable.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from neuronat.crf.meanfield import CrfConfig
from neuronat.errors import ConfigError, MissingInputError
from neuronat.nets.card import is_model_name
from neuronat.nets.deepnat import DeepNatConfig
from neuronat.train.augment import AugmentConfig
from neuronat.train.course import TrainConfig
from neuronat.train.crops import CropConfig
from neuronat.train.lessons import LossConfig

__all__ = [
    "DataConfig",
    "NetworkConfig",
    "Recipe",
    "WholeData",
    "WholeNetwork",
    "WholeRecipe",
    "read_recipe",
    "resolved_path",
]

VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which scans a training uses; file names as in `train.packing.find_labelled_scans`.

    `also`: globs of further scans, relative to the recipe, such as altered copies (`benchmarks/stress.py make`).
    `folds` is a table with the columns scan and fold; scans of the folds in `held_out` are not trained on but
    validated on; a copy, `sub-01_...`, is in the fold of `sub-01`, and one that is held out is left out. `packed`
    is the folder where prepared scans are kept. `material`, `licence` and `credits` go onto the model's card.
    """

    folder: str
    scans: str
    mask_ending: str
    label_ending: str
    scheme: str
    packed: str
    also: tuple[str, ...] = ()
    folds: str = ""
    held_out: tuple[int, ...] = ()
    material: str = ""
    credits: tuple[str, ...] = ()
    licence: str = "unknown: state it in the recipe"


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The networks to train: tasks, coordinates, and whether foreground and structures share one network.

    `foreground_threshold`: from which probability on the first stage passes a voxel to the second, which can still
    call it background (decision 0012). `start_from`: the folder of a model whose weights the training starts with.
    """

    n_tasks: int = 7
    coordinates: tuple[str, ...] = ("spectral", "cartesian")
    is_cascade: bool = True
    foreground_threshold: float = 0.5
    start_from: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.foreground_threshold < 1:
            raise ConfigError(f"NetworkConfig.foreground_threshold must be in (0, 1); got {self.foreground_threshold}")
        DeepNatConfig(n_classes=2, n_tasks=self.n_tasks, coordinates=self.coordinates)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training: what, on which scans, for how long, and where to.

    `validate_every`: after so many iterations the held-out scans are labelled whole; 0: at the end only.
    """

    name: str
    protocol: str
    folder: str
    description: str
    data: DataConfig
    network: NetworkConfig = field(default_factory=NetworkConfig)
    foreground: TrainConfig = field(default_factory=TrainConfig)
    structures: TrainConfig = field(default_factory=TrainConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    crf: CrfConfig = field(default_factory=CrfConfig)
    validate_every: int = 0

    def __post_init__(self) -> None:
        _require_model_name(self.name)
        if self.validate_every < 0:
            raise ConfigError(f"validate_every must be at least 0; got {self.validate_every}")
        if self.validate_every and not self.data.held_out:
            raise ConfigError("validate_every needs scans to validate on; name their folds in data.held_out")

    @property
    def stages(self) -> Mapping[str, TrainConfig]:
        """The trainings by stage, in the order in which they run."""
        if self.network.is_cascade:
            return {"foreground": self.foreground, "structures": self.structures}
        return {"structures": self.structures}


@dataclass(frozen=True, kw_only=True)
class WholeData:
    """Which scans a NeuroNet learns from, each with any of the protocols; see `train.protocols.find_protocol_scans`.

    `label_folders` hold further label maps, `heads` is a glob of whole-head label maps, both relative to the recipe;
    the rest is as in `DataConfig`. Of scans that have altered copies among `also`, the training sees the scan itself
    as often as all its copies together.
    """

    folder: str
    scans: str
    packed: str
    mask_ending: str = ""
    also: tuple[str, ...] = ()
    label_folders: tuple[str, ...] = ()
    heads: str = ""
    folds: str = ""
    held_out: tuple[int, ...] = ()
    material: str = ""
    credits: tuple[str, ...] = ()
    licence: str = "unknown: state it in the recipe"


@dataclass(frozen=True, kw_only=True)
class WholeNetwork:
    """The network to train: `neuronet` as published, or `unet`, which may take brain coordinates and has a shape."""

    architecture: str = "unet"
    has_coordinates: bool = True
    filters: tuple[int, ...] = (16, 32, 64, 128, 192)
    n_features: int = 32
    n_hidden: int = 64
    start_from: str = ""

    def __post_init__(self) -> None:
        if self.architecture not in ("neuronet", "unet"):
            raise ConfigError(f"WholeNetwork.architecture must be neuronet or unet; got {self.architecture!r}")
        if self.architecture == "neuronet" and self.has_coordinates:
            raise ConfigError("the published neuronet takes no coordinates; set has_coordinates = false")


@dataclass(frozen=True, kw_only=True)
class WholeRecipe:
    """One training of a network that labels whole scans in several protocols.

    `merged_from`: protocols without files of their own, and those they are merged from (`train.teaching`). `refined`:
    those that the CRF refines, with the numbers of `crf`.
    """

    name: str
    protocols: tuple[str, ...]
    folder: str
    description: str
    whole: WholeData
    merged_from: Mapping[str, str] = field(default_factory=dict)
    network: WholeNetwork = field(default_factory=WholeNetwork)
    training: TrainConfig = field(default_factory=lambda: TrainConfig(n_blocks=1, optimizer="adam"))
    crops: CropConfig = field(default_factory=CropConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    refined: tuple[str, ...] = ()
    crf: CrfConfig = field(default_factory=CrfConfig)

    def __post_init__(self) -> None:
        _require_model_name(self.name)
        if unknown := sorted(set(self.refined) - set(self.protocols)):
            raise ConfigError(f"refined names {', '.join(unknown)}, which is none of the protocols")


def read_recipe(path: Path, *changes: Mapping[str, Any]) -> Recipe | WholeRecipe:
    """Read a recipe, of a DeepNAT, or of a network of whole scans where it has a table `whole`.

    Relative paths in it are relative to the file's folder.

    Parameters
    ----------
    path : Path
        A TOML file.
    *changes : mapping
        Keys, or tables of them, that replace those of the file, one set after the other, as in an experiment whose
        arms differ in little.

    Returns
    -------
    Recipe or WholeRecipe

    Raises
    ------
    MissingInputError
        If the file is not there.
    ConfigError
        If it is no TOML, a key is unknown or missing, or a value does not fit.

    Notes
    -----
    Source: ours.
    """
    if not path.is_file():
        raise MissingInputError(f"{path.name}: not found; give the TOML file of a training")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors may write a mark first
        recipe: Recipe | WholeRecipe = _convert(raw, WholeRecipe if "whole" in raw else Recipe, "")
        for change in changes:
            recipe = _changed(recipe, change, "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: not a TOML file ({error}); see recipes/ for examples") from error
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error
    return recipe


def resolved_path(text: str, beside: Path) -> Path:
    """Turn a path of a recipe into a real one: variables such as `${NEURONAT_DATA}` filled in, relative to `beside`."""
    for name in VARIABLE.findall(text):
        root = os.environ.get(name)
        if not root:
            raise ConfigError(f"{beside.name}: {text} needs the environment variable {name}; set it")
        text = text.replace(f"${{{name}}}", str(Path(root).resolve()))
    return (beside.parent / text).resolve()


def _require_model_name(name: str) -> None:
    """Raise ConfigError before a long training makes a model that cannot be called so."""
    if not is_model_name(name):
        raise ConfigError(f"name {name!r} cannot be a model's; use letters, digits, '+', '.', '_' or '-', at most 64")


def _changed(config: Any, changes: Mapping[str, Any], where: str) -> Any:
    """Replace values of a configuration and of those in it; what is no configuration is replaced as a whole."""
    hints = get_type_hints(type(config))
    if unknown := sorted(set(changes) - set(hints)):
        raise ConfigError(f"[{where or 'top'}]: unknown keys {unknown}; the keys are {', '.join(hints)}")
    values = {}
    for name, value in changes.items():
        held, place = getattr(config, name), f"{where}.{name}".strip(".")
        is_table = is_dataclass(held) and isinstance(value, Mapping)
        values[name] = _changed(held, value, place) if is_table else _value(value, hints[name], place)
    return replace(config, **values)


def _convert(raw: Mapping[str, Any], kind: Any, where: str) -> Any:
    """Build the configuration `kind` from a TOML table."""
    hints = get_type_hints(kind)
    unknown = sorted(set(raw) - set(hints))
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in needed if name not in raw]
    if unknown or missing:
        known = ", ".join(hints)
        raise ConfigError(f"[{where or 'top'}]: unknown keys {unknown}, missing keys {missing}; the keys are {known}")
    return kind(**{name: _value(value, hints[name], f"{where}.{name}".strip(".")) for name, value in raw.items()})


def _value(value: Any, kind: Any, where: str) -> Any:
    """Check one value of a table against the type of its field."""
    if get_origin(kind) is Mapping and isinstance(value, dict):
        return {name: _value(item, get_args(kind)[1], f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, dict) and is_dataclass(kind):
        return _convert(value, kind, where)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_value(item, get_args(kind)[0], where) for item in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be of type {getattr(kind, '__name__', kind)}; got {value!r}")
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{where} holds a zero byte, which no name or path can; take it out")
    return value
