"""The scans of a training: found, packed once, divided into those trained on and those held out."""

import csv
from pathlib import Path

from neuronat.config import Recipe, resolved_path
from neuronat.errors import ConfigError, LabelError, MissingInputError
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.pipeline.settings import Progress
from neuronat.record import write_text
from neuronat.train.packing import find_labelled_scans, pack_scan
from neuronat.train.scans import PackedScan, read_packed, write_packed

__all__ = [
    "copies_among",
    "glob_place",
    "held_out_names",
    "named_scheme",
    "pack_scans",
    "packed_scans",
    "require_other_names",
]

INDEX = "scans.tsv"


def packed_scans(recipe: Recipe, path: Path, progress: Progress) -> tuple[list[PackedScan], list[PackedScan]]:
    """Return the scans to train on, and those held out.

    Parameters
    ----------
    recipe : Recipe
        The training.
    path : Path
        The recipe's file, which its paths are relative to.
    progress : callable
        Takes a step's name and the share done.

    Returns
    -------
    training, held_out : list of PackedScan
        In their order; copies of a scan that is held out are in neither.

    Raises
    ------
    MissingInputError, UnusableInputError, GridError, LabelError
        If a scan cannot be packed.
    ConfigError
        If the table of folds does not fit the scans, or nothing is left to train on.

    Notes
    -----
    Source: ours. A complete packed folder is used as it is, so a training can run where the scans are not;
    remove the folder to pack anew.
    """
    packed = resolved_path(recipe.data.packed, path)
    if not (packed / INDEX).is_file():
        pack_scans(recipe, path, progress)
    names = (packed / INDEX).read_text(encoding="utf-8").split()
    held = held_out_names(recipe.data.folds, recipe.data.held_out, path, names)
    copies = copies_among(names)
    scans = {name: read_packed(packed / f"{name}.npz") for name in names}
    return [scans[n] for n in names if n not in held], [scans[n] for n in names if n in held - copies.keys()]


def pack_scans(recipe: Recipe, path: Path, progress: Progress) -> None:
    """Prepare all scans of a recipe; the index is written last, so that a packed folder is whole or not there."""
    data, scheme, protocol = recipe.data, named_scheme(recipe.data.scheme, path), named_scheme(recipe.protocol, path)
    packed = resolved_path(data.packed, path)
    places = [(resolved_path(data.folder, path), data.scans)]
    places += [glob_place(resolved_path(also, path)) for also in data.also]
    files = [
        scan
        for folder, scans in places
        for scan in find_labelled_scans(
            folder, scans=scans, mask_ending=data.mask_ending, label_ending=data.label_ending
        )
    ]
    names = [scan.name for scan in files]
    require_other_names(names, f"{path.name}: data.also")
    held_out_names(data.folds, data.held_out, path, names)  # before the long work
    for index, scan in enumerate(files):
        progress(f"packing {scan.name}", index / len(files))
        write_packed(pack_scan(scan, scheme, protocol), packed)
    write_text(packed / INDEX, "".join(f"{scan.name}\n" for scan in files))


def named_scheme(name: str, path: Path) -> LabelScheme:
    """Load the scheme that a recipe names; ConfigError names the recipe where there is none.

    Notes
    -----
    Source: ours.
    """
    try:
        return load_scheme(name)
    except LabelError as error:
        raise ConfigError(f"{path.name}: {error}") from error


def held_out_names(folds: str, held_out: tuple[int, ...], path: Path, names: list[str]) -> set[str]:
    """Return the names of the scans in the held-out folds of the table `folds`, named in the recipe `path`.

    Raises
    ------
    MissingInputError, ConfigError
        If there is no such table, it does not fit the scans, or nothing is left to train on.

    Notes
    -----
    Source: ours.
    """
    if not held_out:
        return set()
    table = resolved_path(folds, path)
    if not folds or not table.is_file():
        raise MissingInputError(f"{path.name}: held_out needs a table of folds; {folds!r} is not there")
    fold_of = _fold_per_scan(table)
    of_subject = {name: fold_of.get(_subject_of(name)) for name in names}
    fold_of |= {name: fold for name, fold in of_subject.items() if name not in fold_of and fold is not None}
    if missing := sorted(set(names) - set(fold_of)):
        raise ConfigError(f"{table.name}: no fold for {', '.join(missing)}; give every scan one")
    held = {name for name in names if fold_of[name] in held_out}
    if held and held == set(names):
        raise ConfigError(f"{path.name}: every scan is held out; leave at least one to train on")
    return held


def _fold_per_scan(table: Path) -> dict[str, int]:
    """Read a table of folds; ConfigError if it is none."""
    try:
        with table.open(encoding="utf-8-sig") as file:  # spreadsheets write a mark first
            return {row["scan"]: int(row["fold"]) for row in csv.DictReader(file, delimiter="\t")}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ConfigError(
            f"{table.name}: needs the columns scan and fold, separated by tabs, the fold a whole number, in UTF-8"
        ) from error


def copies_among(names: list[str]) -> dict[str, str]:
    """Return, for each name of an altered copy such as `sub-01_acq-aged`, that of its scan, which is there as well."""
    return {name: _subject_of(name) for name in names if _subject_of(name) != name and _subject_of(name) in names}


def require_other_names(names: list[str], field: str) -> None:
    """Raise ConfigError where further scans, listed in a recipe's field, are called like others."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{field} names {', '.join(twice)} once more; give copies another name")


def glob_place(pattern: Path) -> tuple[Path, str]:
    """Divide a glob into a folder and what is to be found in it."""
    first = next((n for n, part in enumerate(pattern.parts) if set(part) & set("*?[")), len(pattern.parts) - 1)
    return Path(*pattern.parts[:first]), str(Path(*pattern.parts[first:]))


def _subject_of(name: str) -> str:
    """Return the subject that a scan's name begins with, such as `sub-01`; the name where there is none."""
    return name.split("_", 1)[0]
