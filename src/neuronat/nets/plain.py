"""Nouns to and from plain JSON: keys and types are compared with the fields of the nouns, nothing is executed."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

from neuronat.errors import ConfigError, ModelError

__all__ = ["from_plain", "parse_plain", "to_plain"]


def parse_plain(text: str, where: str) -> Any:
    """Parse JSON in which no key stands twice in an object and no number is NaN or infinite; `where` names the file.

    Raises
    ------
    ModelError
        If it is damaged.

    Notes
    -----
    Source: ours (decision 0009).
    """
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is damaged: {error}") from error


def to_plain(value: Any) -> Any:
    """Turn nouns and read-only mappings into plain dictionaries and lists."""
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice in one object: two readers could see two values."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key stands there twice among {sorted(keys)}")
    return dict(pairs)


def _refuse_constant(word: str) -> float:
    """Refuse NaN and Infinity, which JSON does not know."""
    raise ValueError(f"{word} is not a number of JSON")


def from_plain(raw: Any, kind: Any, where: str) -> Any:
    """Turn parsed JSON into `kind` (a noun, a mapping, a tuple or a plain type); `where` names the place.

    Raises
    ------
    ModelError
        If a key or a type does not fit.

    Notes
    -----
    Source: ours (decision 0009).
    """
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _noun(raw, kind, where)
    if origin is tuple:
        _require_type(raw, list, where)
        return tuple(from_plain(item, get_args(kind)[0], f"{where}[{i}]") for i, item in enumerate(raw))
    if origin is not None:
        _require_type(raw, dict, where)
        inner = get_args(kind)[1]
        return MappingProxyType({key: from_plain(item, inner, f"{where}.{key}") for key, item in raw.items()})
    if kind is Any:
        return raw
    if kind is float and type(raw) is int and abs(raw) < 2**53:
        return float(raw)
    _require_type(raw, kind, where)
    return raw


def _noun(raw: Any, kind: Any, where: str) -> Any:
    """Build the frozen noun `kind` from a JSON object; unknown and missing keys are refused."""
    _require_type(raw, dict, where)
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(raw) - set(known))
    needed = {name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    missing = sorted(needed - set(raw))
    if unknown or missing:
        raise ModelError(f"{where}: unknown keys {unknown}, missing keys {missing}")
    values = {name: from_plain(item, hints[name], f"{where}.{name}") for name, item in raw.items()}
    try:
        return kind(**values)
    except (ModelError, ConfigError) as error:
        raise ModelError(f"{where}: {error}") from error


def _require_type(raw: Any, kind: type, where: str) -> None:
    """Raise ModelError unless `raw` is exactly of this JSON type (True is no number)."""
    if type(raw) is not kind:
        raise ModelError(f"{where} must be of type {kind.__name__}; got {type(raw).__name__}")
