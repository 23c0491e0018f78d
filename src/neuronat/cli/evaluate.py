"""`neuronat evaluate`: predicted label maps against references, structure by structure."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neuronat.errors import LabelError, MissingInputError, NeuronatError, UsageError
from neuronat.space.source import IMAGE_ENDINGS

if TYPE_CHECKING:
    from neuronat.labels.scheme import LabelScheme
    from neuronat.measure.scores import StructureScore
    from neuronat.space.volume import LabelMap

__all__ = ["command"]

SOME_FAILED = 1
MOST_NAMED = 5
TABLE_LEVELS = 4  # a label table lies beside the label map, or up to three folders above, as in BIDS

Pair = tuple[str, Path, Path]


@click.command(name="evaluate")
@click.argument("predicted", type=click.Path(path_type=Path))
@click.argument("reference", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", "table", type=click.Path(path_type=Path), required=True, metavar="TABLE.tsv", help="The table."
)
@click.option("--scheme", default="", metavar="NAME", help="Label scheme to compare in. [default: the predicted]")
@click.pass_context
def command(context: click.Context, predicted: Path, reference: Path, table: Path, scheme: str) -> None:
    """Compare PREDICTED label maps with a REFERENCE, structure by structure.

    \b
    Both are files, or both are folders whose label maps pair by the name of the scan:
    sub-01_seg-deepnat25_dseg.nii.gz with sub-01_seg-neuromorphometrics_dseg.nii.gz.
    TABLE.tsv gets one row per scan and structure: Dice, 95 % Hausdorff distance and average
    surface distance in mm, both volumes. A fine reference is mapped onto a coarser prediction.
    Where a name has no seg-<protocol>, the ids tell the scheme. A missed or invented structure
    has Dice 0 and the diagonal of the image as distance; n/a is one that neither holds.
    """
    from neuronat.measure.scores import scores_table
    from neuronat.record import make_folder, write_text

    pairs = _find_pairs(predicted, reference, scheme)
    _require_output(table, pairs)
    _require_scheme(scheme, pairs)
    make_folder(table.parent)
    scores: list[StructureScore] = []
    failed: list[NeuronatError] = []
    for scan, *paths in pairs:
        try:
            scores += _score_files(scan, paths[0], paths[1], scheme)
        except NeuronatError as error:
            if len(pairs) == 1:
                raise
            failed.append(error)
            click.echo(f"neuronat: {' '.join(str(error).split())}", err=True)
    if not scores:
        raise failed[0]
    write_text(table, scores_table(scores))
    click.echo(f"{table}: {_summary(scores)}" + (f"; {len(failed)} scans failed" if failed else ""))
    context.exit(SOME_FAILED if failed else 0)


def _find_pairs(predicted: Path, reference: Path, scheme: str) -> Sequence[Pair]:
    """Pair two files, or the files of two folders; warn of those that found no partner."""
    from neuronat.measure.pairing import pair_by_name, scan_of
    from neuronat.record import shown_name

    if not (predicted.is_dir() or reference.is_dir()):
        return [(scan_of(reference), predicted, reference)]  # a path that is missing is named when it is read
    for path in (predicted, reference):
        if not path.is_dir():
            what = "is a file, and the other a folder; give two files or two folders"
            exists = path.exists() or path.is_symlink()
            raise (UsageError if exists else MissingInputError)(
                f"{shown_name(path)}: {what if exists else 'not found; check the path'}"
            )
    pairing = pair_by_name(_label_maps_in(predicted), _label_maps_in(reference), scheme=scheme)
    names = [shown_name(path) for path in pairing.unpaired]
    listed = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    if not pairing.pairs:
        raise UsageError(
            f"no label map in {shown_name(predicted)} belongs to a scan in {shown_name(reference)} ({listed}); "
            "name the files after their scans, or give two files"
        )
    if names:
        click.echo(f"neuronat: warning: {len(names)} label maps have no partner: {listed}", err=True)
    return pairing.pairs


def _label_maps_in(folder: Path) -> list[Path]:
    """Find the label maps below a folder: all `_dseg` images, or all images where none is called so."""
    from neuronat.record import shown_name

    images = [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.lower().endswith((*IMAGE_ENDINGS, ".hdr", ".hdr.gz"))
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_dir()
    ]
    if not images:
        raise MissingInputError(
            f"{shown_name(folder)}: looked for NIfTI and MGZ images, found 0; give the folder of the label maps"
        )
    return [path for path in images if "_dseg." in path.name] or images


def _require_output(table: Path, pairs: Sequence[Pair]) -> None:
    """Raise UsageError if the table would replace a folder or an input."""
    from neuronat.record import shown_name

    if table.is_dir():
        raise UsageError(f"{shown_name(table)}: is a folder; name a file such as {table / 'evaluation.tsv'}")
    if any(table.resolve() == path.resolve() for _, *paths in pairs for path in paths):
        raise UsageError(f"{shown_name(table)}: is an input; name another file for the table")


def _require_scheme(scheme: str, pairs: Sequence[Pair]) -> None:
    """Raise UsageError if the scheme to compare in is neither shipped nor the protocol of a file."""
    from neuronat.labels.scheme import scheme_names
    from neuronat.measure.pairing import protocol_of

    known = {"", *scheme_names(), *(protocol_of(path) for _, *paths in pairs for path in paths)}
    if scheme not in known:
        raise UsageError(f"--scheme {scheme}: not known; known are {', '.join(sorted(known - {''}))}")


def _score_files(scan: str, predicted: Path, reference: Path, scheme: str) -> "tuple[StructureScore, ...]":
    """Read, bring into one scheme and score one pair; errors name both files."""
    from neuronat.measure.scores import map_together, score_structures

    left, right = _read(predicted), _read(reference)
    with _naming(predicted, reference):
        maps = _settle(left, right, scheme), _settle(right, left, scheme)
        return score_structures(*map_together(*maps, scheme=scheme or None), scan=scan)


def _read(path: Path) -> "list[LabelMap]":
    """Read a label map in the scheme that its name states, or in each scheme that its ids fit."""
    from dataclasses import replace

    import numpy as np

    from neuronat.labels.scheme import LabelScheme, load_scheme, scheme_names
    from neuronat.measure.pairing import protocol_of
    from neuronat.space.files import read_label_map

    stated = _stated_scheme(path, protocol_of(path))
    if stated:
        return [read_label_map(path, stated)]
    schemes = [load_scheme(name) for name in scheme_names()]
    ids = tuple(sorted({index for scheme in schemes for index in scheme.ids}))
    every = LabelScheme(" or ".join(scheme_names()), ids, ("",) * len(ids), ("#000000",) * len(ids), ids)
    label_map = read_label_map(path, every)
    found = set(np.unique(label_map.ids).tolist())
    fitting = [scheme for scheme in schemes if found <= set(scheme.ids)]
    smallest = [s for s in fitting if not any(_is_preferred(other, s) for other in fitting)]
    if not smallest:
        with _naming(path):
            raise LabelError(f"its ids belong to several of {every.name}, and to none alone; use one scheme")
    return [replace(label_map, scheme=scheme) for scheme in smallest]


def _is_preferred(one: "LabelScheme", other: "LabelScheme") -> bool:
    """Tell whether one of two schemes that fit says more: it has fewer ids, or the other is a tool's copy of it."""
    return set(one.ids) < set(other.ids) or (one.ids == other.ids and one.name in other.mappings)


def _stated_scheme(path: Path, protocol: str) -> "LabelScheme | None":
    """Find the scheme of a protocol: among those shipped, or in a table beside the label map or above it."""
    from dataclasses import replace

    from neuronat.labels.scheme import load_scheme, read_scheme, scheme_names

    if not protocol:
        return None
    if protocol in scheme_names():
        return load_scheme(protocol)
    for folder in path.resolve().parents[:TABLE_LEVELS]:
        table = folder / f"seg-{protocol}_dseg.tsv"
        if table.is_file():
            return replace(read_scheme(table), name=protocol)
    return None


def _settle(maps: "Sequence[LabelMap]", others: "Sequence[LabelMap]", scheme: str) -> "LabelMap":
    """Choose among the schemes that a label map's ids fit: the one asked for, or the other map's."""
    named = {label_map.scheme.name: label_map for label_map in maps}
    shared = [named[other.scheme.name] for other in others if other.scheme.name in named]
    if scheme in named:
        return named[scheme]
    if len(maps) > 1 and len(shared) != 1:
        raise UsageError(
            f"the ids fit {' and '.join(named)} alike; give --scheme, or write seg-<protocol> into the name"
        )
    return maps[0] if len(maps) == 1 else shared[0]


@contextmanager
def _naming(*paths: Path) -> Iterator[None]:
    """Begin errors with the names of the files that they are about."""
    from neuronat.record import shown_name

    try:
        yield
    except NeuronatError as error:
        names = " and ".join(dict.fromkeys(shown_name(path) for path in paths))
        raise type(error)(f"{names}: {error}") from error


def _summary(scores: "Sequence[StructureScore]") -> str:
    """Say the mean of the scans' mean Dice in words."""
    from neuronat.measure.compare import join_scores, summarize

    overall = summarize(join_scores({"": scores}))[0]
    n_without = sum(score.dice != score.dice for score in scores)
    n_structures = len({score.index for score in scores})
    without = f", {n_without} n/a" if n_without else ""
    found = f"mean Dice {overall.mean:.3f}" if overall.n_scans else "no structure in either"
    return f"{overall.n_scans + overall.n_without} scans, {n_structures} structures, {found}{without}"
