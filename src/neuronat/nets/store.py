"""Model folders: networks on disk as data, never as code.

A folder holds `card.json`, `weights.safetensors` (see `weights`), `template.safetensors.gz` if there is one (see
`template`), `labels/<scheme>.tsv`, `LICENSE` and `SHA256SUMS`. A folder is loaded whole and verified, or not at all.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from neuronat.errors import LabelError, ModelError, OutputError
from neuronat.labels.scheme import LabelScheme, parse_scheme, write_scheme
from neuronat.nets.card import ModelCard, read_card, write_card
from neuronat.nets.deepnat import DeepNat
from neuronat.nets.folder import (
    CARD,
    LICENCE,
    SUMS,
    TEMPLATE,
    WEIGHTS,
    find_model,
    sha256_of_bytes,
    shipped_models,
    verified_contents,
)
from neuronat.nets.network import Network
from neuronat.nets.neuronet import NeuroNet
from neuronat.nets.template import Template, template_from_bytes, template_to_bytes
from neuronat.nets.unet import UNet
from neuronat.nets.weights import networks_from_bytes, networks_to_bytes

__all__ = [
    "Model",
    "find_model",
    "load_model",
    "place_model",
    "read_model_card",
    "save_model",
    "shipped_models",
    "verify_model",
]


@dataclass(frozen=True, eq=False)
class Model:
    """Networks by stage, the schemes of the protocols they answer in, and the card that vouches for them.

    A template, if there is one, is of the protocol that the card names.
    """

    card: ModelCard
    networks: Mapping[str, Network]
    schemes: Mapping[str, LabelScheme]
    sha256: str = ""
    template: Template | None = None

    def __post_init__(self) -> None:
        if tuple(self.networks) != tuple(self.card.stages):
            raise ModelError(f"card names the stages {list(self.card.stages)}, the networks are {list(self.networks)}")
        for stage, spec in self.card.stages.items():
            if self.networks[stage].config != spec.network_config:
                raise ModelError(f"stage {stage}: the network is not the one that the card describes")
        if tuple(self.schemes) != self.card.schemes:
            raise ModelError(f"card names the schemes {list(self.card.schemes)}, given are {list(self.schemes)}")
        asked = list(self.card.stages.values())[-1].classes_by_protocol
        for (name, scheme), n_classes in zip(self.schemes.items(), asked, strict=True):
            if scheme.n_classes != n_classes:
                raise ModelError(f"scheme {name} has {scheme.n_classes} classes, the network {n_classes}")
        _require_template(self)

    @property
    def whole(self) -> NeuroNet | UNet | None:
        """The network that labels whole scans, if it is such a model."""
        network = self.networks.get("whole")
        return network if isinstance(network, NeuroNet | UNet) else None

    @property
    def patchwise(self) -> Mapping[str, DeepNat]:
        """The networks that label patch by patch, by stage; none in a model for whole scans."""
        return {stage: network for stage, network in self.networks.items() if isinstance(network, DeepNat)}

    @property
    def name(self) -> str:
        """The name on the card."""
        return self.card.name


def _require_template(model: Model) -> None:
    """Raise ModelError unless the model has the template that its card names, of the classes of that protocol."""
    if (model.template is None) != (not model.card.template):
        raise ModelError("the card names a template and there is none, or the other way round")
    for name in model.card.template:
        if model.template is not None and model.template.classes.max() >= model.schemes[name].n_classes:
            raise ModelError(f"the template has other classes than scheme {name}")


def save_model(
    model: Model, folder: Path, *, half: bool = True, licence_text: str = "", overwrite: bool = False
) -> str:
    """Write a model folder, whole or not at all.

    Parameters
    ----------
    model : Model
        Networks, card and schemes.
    folder : Path
        Where to; its parent is made if need be.
    half : bool
        Store weights as float16 (running statistics stay float32).
    licence_text : str
        Content of LICENSE; by default the card's licence and credit lines.
    overwrite : bool
        Replace a model that is there already.

    Returns
    -------
    str
        The model's hash: sha256 of SHA256SUMS.

    Raises
    ------
    OutputError
        If the folder exists, or cannot be written.
    ModelError
        If a weight is not finite as stored.

    Notes
    -----
    Source: ours (decision 0009).
    """
    if folder.exists() and not (overwrite and (folder / CARD).is_file()):
        raise OutputError(f"{folder.name} exists already; choose another folder for the model or ask to overwrite it")
    contents = {
        CARD: write_card(model.card).encode(),
        WEIGHTS: networks_to_bytes(model.networks, half=half),
        LICENCE: (licence_text or _licence_note(model.card)).encode(),
    }
    if model.template is not None:
        contents[TEMPLATE] = template_to_bytes(model.template)
    contents |= {f"labels/{s.name}.tsv": write_scheme(s).encode() for s in model.schemes.values()}
    contents[SUMS] = "".join(f"{sha256_of_bytes(c)}  {name}\n" for name, c in sorted(contents.items())).encode()
    place_model(contents, folder)
    return sha256_of_bytes(contents[SUMS])


def place_model(contents: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a temporary folder, verify them there, and give the folder its final name."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".neuronat-model-", dir=folder.parent) as temporary:
            written = Path(temporary) / folder.name
            (written / "labels").mkdir(parents=True)
            for name, content in contents.items():
                (written / name).write_bytes(content)
            load_model(written)
            if unlisted := sorted(set(contents) - set(verified_contents(written))):
                raise ModelError(f"model {folder.name}: {SUMS} does not list {', '.join(unlisted)}")
            if folder.exists():
                folder.rename(Path(temporary) / "replaced")
            written.rename(folder)
    except NotADirectoryError as error:
        raise OutputError(f"{folder.parent.name} is no folder; choose another place for the model") from error
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{folder.name} cannot be written ({error.strerror}); choose another place") from error


def load_model(name: str | Path) -> Model:
    """Load a model by its name or from its folder, onto the CPU in float32, ready for inference.

    Parameters
    ----------
    name : str or Path
        A shipped or imported model's name, or a folder.

    Returns
    -------
    Model
        Networks in evaluation mode; `sha256` is the hash of SHA256SUMS.

    Raises
    ------
    ModelError
        If there is none, a hash differs, the format is newer, or tensors do not fit the architecture.

    Notes
    -----
    Source: ours (decision 0009).
    """
    folder = find_model(str(name))
    contents = verified_contents(folder)
    try:
        card = read_card(contents[CARD].decode("utf-8"))
        tables = {scheme: contents.get(f"labels/{scheme}.tsv") for scheme in card.schemes}
        if missing := [scheme for scheme, table in tables.items() if table is None]:
            raise ModelError(f"the label table of {', '.join(missing)} is missing")
        schemes = {scheme: parse_scheme(scheme, (table or b"").decode("utf-8")) for scheme, table in tables.items()}
        networks = networks_from_bytes(contents[WEIGHTS], card.stages)
        template = template_from_bytes(contents[TEMPLATE]) if TEMPLATE in contents else None
        sha256 = sha256_of_bytes(contents[SUMS])
        return Model(card, MappingProxyType(networks), MappingProxyType(schemes), sha256, template)
    except (ModelError, LabelError, UnicodeDecodeError) as error:
        raise ModelError(f"model {folder.name}: {error}") from error


def read_model_card(name: str | Path) -> ModelCard:
    """Read a model's card alone, after verifying its files; ModelError as in `load_model`."""
    folder = find_model(str(name))
    try:
        return read_card(verified_contents(folder)[CARD].decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ModelError(f"model {folder.name}: card.json is not UTF-8 text") from error


def verify_model(name: str | Path) -> str:
    """Load a model and let it go again; return its hash, or raise ModelError with the exact reason."""
    return load_model(name).sha256


def _licence_note(card: ModelCard) -> str:
    """Compose the default content of LICENSE."""
    lines = [
        f"The weights in this folder ({card.name}) are licensed under {card.licence}.",
        "",
        *card.credits,
    ]
    return "\n".join([*lines, "", "Not for diagnosis."]) + "\n"
