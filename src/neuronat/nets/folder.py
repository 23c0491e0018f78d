"""The folder of a model: where models are, which files they hold, and reading these verified."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

from neuronat.errors import ModelError, OutputError

__all__ = [
    "CARD",
    "LICENCE",
    "SUMS",
    "TEMPLATE",
    "WEIGHTS",
    "find_model",
    "imported_models",
    "imported_models_folder",
    "is_model_file",
    "require_size",
    "sha256_of_bytes",
    "shipped_models",
    "verified_contents",
]

CARD, WEIGHTS, LICENCE, SUMS = "card.json", "weights.safetensors", "LICENSE", "SHA256SUMS"
TEMPLATE = "template.safetensors.gz"
LABEL_TABLE = re.compile(r"labels/[0-9A-Za-z][0-9A-Za-z+._-]{0,63}\.tsv")
MAX_TEXT_BYTES = 2**20
MAX_WEIGHT_BYTES = 2**30


def find_model(name: str) -> Path:
    """Return the folder of the model called `name`, a name or a folder; ModelError if there is none."""
    known = imported_models() | shipped_models()
    if name in known:
        return known[name]
    folder = Path(name)
    if (folder / CARD).is_file() or (folder / SUMS).is_file():
        return folder
    if folder.is_dir():
        raise ModelError(f"{folder.name} is no model folder: it holds no {CARD}")
    listed = f"known are {', '.join(sorted(known))}" if known else "none is installed"
    raise ModelError(f"model {name!r} is not known; {listed}; or give a folder")


def shipped_models() -> dict[str, Path]:
    """Folders of the models that come with the package, by name."""
    return _models_in(Path(str(files("neuronat"))) / "models")


def imported_models() -> dict[str, Path]:
    """Folders of the models that the user imported, by name."""
    try:
        return _models_in(imported_models_folder())
    except OutputError:
        return {}


def imported_models_folder() -> Path:
    """Return the user's folder of imported models; OutputError where there is no home."""
    try:
        return Path.home() / ".local" / "share" / "neuronat" / "models"
    except RuntimeError as error:  # a homeless container
        raise OutputError("there is no home folder to keep imported models in; name a folder with --to") from error


def is_model_file(name: str) -> bool:
    """Tell whether a relative path, with `/`, is one of the files that a model folder may hold."""
    return name in {CARD, WEIGHTS, TEMPLATE, LICENCE, SUMS} or LABEL_TABLE.fullmatch(name) is not None


def require_size(name: str, n_bytes: int) -> None:
    """Raise ModelError if a file of a model is larger than such a file can be."""
    limit = MAX_WEIGHT_BYTES if name.endswith((WEIGHTS, TEMPLATE)) else MAX_TEXT_BYTES
    if n_bytes > limit:
        raise ModelError(f"{name} has {n_bytes} bytes; a model's may have {limit} at most")


def verified_contents(folder: Path) -> dict[str, bytes]:
    """Read every file that SHA256SUMS lists, by name; ModelError if a hash differs."""
    try:
        sums = _bounded_bytes(folder / SUMS)
        contents = {SUMS: sums}
        for line in sums.decode("ascii").splitlines():
            digest, _, name = line.partition("  ")
            if not is_model_file(name) or name == SUMS:
                raise ModelError(f"model {folder.name}: {SUMS} lists {name!r}, which is no file of a model")
            contents[name] = _bounded_bytes(folder / name)
            if sha256_of_bytes(contents[name]) != digest:
                raise ModelError(f"model {folder.name}: {name} is damaged, its sha256 differs; import the model again")
    except UnicodeDecodeError as error:
        raise ModelError(f"model {folder.name}: {SUMS} is damaged; import the model again") from error
    if missing := sorted({CARD, WEIGHTS, LICENCE} - set(contents)):
        raise ModelError(f"model {folder.name}: {SUMS} does not list {', '.join(missing)}; import the model again")
    return contents


def _bounded_bytes(path: Path) -> bytes:
    """Read a file of a model, unless it is larger than such a file can be."""
    try:
        require_size(path.name, path.stat().st_size)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path.name} is missing from the model; import it again") from error
    except OSError as error:
        raise ModelError(f"{path.name} of the model cannot be read ({error.strerror}); check the folder") from error


def _models_in(folder: Path) -> dict[str, Path]:
    """Model folders in a folder, by name; hidden ones are unfinished."""
    cards = sorted(folder.glob(f"*/{CARD}")) if folder.is_dir() else []
    return {card.parent.name: card.parent for card in cards if not card.parent.name.startswith(".")}


def sha256_of_bytes(content: bytes) -> str:
    """Return the SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
