"""A label scheme: the ids of one protocol, their names, colours, left/right pairs and mappings to other schemes.

Schemes are tables (`tables/<name>.tsv`), not code. Columns: `index` (the id), `name`, `color` (#rrggbb), `pair`
(the id on the other side; itself for a midline structure), and `to_<scheme>` for each scheme it maps onto
(0 where a structure belongs to none of the other scheme's). Row one is the background, id 0. A user adds a
protocol by adding a table: `load_scheme` takes the path of one, or a folder to look in before those shipped.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from io import StringIO
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import LabelError, MissingInputError

__all__ = ["BRAIN", "LabelScheme", "load_scheme", "parse_scheme", "read_scheme", "scheme_names", "write_scheme"]

BRAIN = "brain"
"""The protocol of brain masks; its answer is the mask, not a label map."""
PROTOCOL = re.compile(r"[a-z0-9]+")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
MOST_CLASSES = 256
ID_LIMIT = 2**31
FREESURFER_SCHEMES = ("freesurfer", "deepnat25")  # the ids of both are FreeSurfer's


@dataclass(frozen=True)
class LabelScheme:
    """The structures of one protocol; position in `ids` is the class (channel) of a network, 0 the background."""

    name: str
    ids: tuple[int, ...]
    names: tuple[str, ...]
    colours: tuple[str, ...]
    partners: tuple[int, ...]
    mappings: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.ids or self.ids[0] != 0:
            raise LabelError(f"label scheme {self.name}: the first id must be 0, the background; got {self.ids[:1]}")
        if len(set(self.ids)) != len(self.ids):
            twice = sorted({i for i in self.ids if self.ids.count(i) > 1})
            raise LabelError(f"label scheme {self.name}: ids {twice} stand there more than once; make them unique")
        if len(self.ids) > MOST_CLASSES:
            raise LabelError(
                f"label scheme {self.name}: has {len(self.ids)} classes; at most {MOST_CLASSES} are possible"
            )
        if not len(self.ids) == len(self.names) == len(self.colours) == len(self.partners):
            raise LabelError(f"label scheme {self.name}: ids, names, colours and partners differ in length")
        self._require_storable()
        partner_of = dict(zip(self.ids, self.partners, strict=True))
        for index, partner in partner_of.items():
            if partner_of.get(partner) != index:
                raise LabelError(f"label scheme {self.name}: {index} names {partner} as its pair, but not the reverse")

    def _require_storable(self) -> None:
        """Raise LabelError for ids that images cannot hold, and for colours that are none."""
        if strange := [index for index in self.ids if not 0 <= index < ID_LIMIT]:
            raise LabelError(f"label scheme {self.name}: ids {strange} are negative or beyond 32 bits; use others")
        for colour in self.colours:
            if not COLOUR.fullmatch(colour):
                raise LabelError(f"label scheme {self.name}: {colour!r} is no colour; write it as #rrggbb")

    @property
    def n_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.ids)

    @cached_property
    def name_of(self) -> Mapping[int, str]:
        """The name of each structure by its id."""
        return dict(zip(self.ids, self.names, strict=True))

    @cached_property
    def mirrored_classes(self) -> NDArray[np.int64]:
        """(C,) int64: the class of each class's left/right partner."""
        class_of = {index: c for c, index in enumerate(self.ids)}
        return np.array([class_of[partner] for partner in self.partners], np.int64)

    def classes_of(self, ids: NDArray[np.integer], *, what: str = "label map") -> NDArray[np.uint8]:
        """Replace ids by classes (positions in the scheme).

        Parameters
        ----------
        ids : array of int
            Label ids, any shape.
        what : str
            Name of the label map, for the error message.

        Returns
        -------
        array of uint8
            Classes in [0, C), same shape.

        Raises
        ------
        LabelError
            If an id is not in the scheme; the message lists the ids with their voxel counts.

        Notes
        -----
        Source: ours.
        """
        found, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
        class_of = {index: c for c, index in enumerate(self.ids)}
        unknown = {int(i): int(n) for i, n in zip(found, counts, strict=True) if int(i) not in class_of}
        if unknown:
            listed = ", ".join(f"{i} ({n} voxels)" for i, n in list(unknown.items())[:10])
            raise LabelError(f"{what}: ids {listed} are not in the scheme {self.name}; map them or use another scheme")
        classes = np.array([class_of[int(i)] for i in found], np.uint8)
        return classes[inverse].reshape(ids.shape)

    @property
    def freesurfer_scheme(self) -> str:
        """The scheme with FreeSurfer's ids that this one is, or else maps onto, the finer first; empty if none."""
        return next((name for name in FREESURFER_SCHEMES if name in (self.name, *self.mappings)), "")

    def mapping_to(self, target: str) -> Mapping[int, int]:
        """Return the id in the scheme `target` of each id, 0 where there is none; LabelError if none is known."""
        if target == self.name:
            return {index: index for index in self.ids}
        if target not in self.mappings:
            raise LabelError(
                f"scheme {self.name} has no mapping to {target}; it maps to {', '.join(self.mappings) or 'none'}"
            )
        return self.mappings[target]

    def ids_of(self, classes: NDArray[np.integer]) -> NDArray[np.int32]:
        """Replace classes in [0, C) by ids, same shape, int32."""
        ids: NDArray[np.int32] = np.array(self.ids, np.int32)[classes]
        return ids

    def mapped_ids(self, ids: NDArray[np.integer], target: str) -> NDArray[np.int32]:
        """Translate ids of this scheme into ids of the scheme `target`.

        Parameters
        ----------
        ids : array of int
            Ids of this scheme, any shape.
        target : str
            Name of the scheme to translate into.

        Returns
        -------
        array of int32
            Ids of `target`; 0 where the structure belongs to none of its structures.

        Raises
        ------
        LabelError
            If no mapping to `target` is known, or an id is not in this scheme.

        Notes
        -----
        Source: ours.
        """
        if target == self.name:
            return ids.astype(np.int32)
        mapping = self.mapping_to(target)
        table = np.array([mapping[index] for index in self.ids], np.int32)
        mapped: NDArray[np.int32] = table[self.classes_of(ids)]
        return mapped


def parse_scheme(name: str, text: str) -> LabelScheme:
    """Read a scheme from the text of its table."""
    try:
        rows = list(csv.DictReader(StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    except csv.Error as error:
        raise LabelError(f"label table {name}: cannot be read ({error})") from error
    if not rows or not {"index", "name"} <= set(rows[0]):
        raise LabelError(f"label table {name}: needs the columns index and name, separated by tabs")
    if any(None in row or None in row.values() for row in rows):
        raise LabelError(f"label table {name}: a row has more or fewer fields than the header; use one tab between two")
    try:
        ids = tuple(int(row["index"]) for row in rows)
        partners = tuple(int(row.get("pair") or row["index"]) for row in rows)
        mappings = {
            column.removeprefix("to_"): MappingProxyType({int(r["index"]): int(r[column]) for r in rows})
            for column in rows[0]
            if column.startswith("to_")
        }
    except (TypeError, ValueError) as error:
        raise LabelError(f"label table {name}: {error}; ids must be whole numbers") from error
    return LabelScheme(
        name=name,
        ids=ids,
        names=tuple(row["name"] for row in rows),
        colours=tuple(row.get("color") or "#808080" for row in rows),
        partners=partners,
        mappings=MappingProxyType(mappings),
    )


def read_scheme(path: Path) -> LabelScheme:
    """Read the scheme in the table `path`; its name is the file's, without `.tsv`."""
    try:
        return parse_scheme(path.stem, path.read_text(encoding="utf-8-sig"))  # spreadsheets write a mark first
    except OSError as error:
        raise MissingInputError(
            f"{path.name}: label table cannot be read ({error.strerror}); check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path.name}: is no text in UTF-8; save the label table as such") from error


def load_scheme(name: str, folder: Path | None = None) -> LabelScheme:
    """Load the scheme of a protocol: a user's table, or one of those shipped.

    Parameters
    ----------
    name : str
        Name of a protocol, or the path of a table, ending in `.tsv`.
    folder : Path, optional
        Where `<name>.tsv` is looked for first, and what a relative path starts from.

    Returns
    -------
    LabelScheme

    Raises
    ------
    LabelError
        If the name is not known (the message lists the known ones), or the table contradicts itself, or its
        file's name is no protocol's: lower-case letters and digits, as BIDS wants them in file names.
    MissingInputError
        If the path leads to no file.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> load_scheme("deepnat25").n_classes
    26
    """
    table = (folder or Path()) / (name if name.endswith(".tsv") else f"{name}.tsv")
    if name.endswith(".tsv") or (folder is not None and table.is_file()):
        if not PROTOCOL.fullmatch(table.stem):
            raise LabelError(
                f"{table.name}: a protocol's name has lower-case letters and digits only; rename the table"
            )
        return read_scheme(table)
    return _shipped_scheme(name)


@lru_cache(maxsize=32)
def _shipped_scheme(name: str) -> LabelScheme:
    """Load a scheme that comes with the package."""
    if name not in scheme_names():
        raise LabelError(f"label scheme {name!r} is not known; known are {', '.join(scheme_names())}")
    table = files("neuronat.labels") / "tables" / f"{name}.tsv"
    return parse_scheme(name, table.read_text(encoding="utf-8"))


def scheme_names() -> tuple[str, ...]:
    """Names of the shipped schemes, sorted."""
    tables = (files("neuronat.labels") / "tables").iterdir()
    return tuple(sorted(t.name.removesuffix(".tsv") for t in tables if t.name.endswith(".tsv")))


def write_scheme(scheme: LabelScheme) -> str:
    """Return the scheme as the text of a table (columns index, name, color, pair and the mappings)."""
    targets = sorted(scheme.mappings)
    lines = ["\t".join(["index", "name", "color", "pair", *(f"to_{t}" for t in targets)])]
    for index, name, colour, partner in zip(scheme.ids, scheme.names, scheme.colours, scheme.partners, strict=True):
        mapped = [str(scheme.mappings[t][index]) for t in targets]
        lines.append("\t".join([str(index), name, colour, str(partner), *mapped]))
    return "\n".join(lines) + "\n"
