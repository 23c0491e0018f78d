"""Which scans a cohort has, and where the results of each go: from a BIDS data set, a folder, or a list.

Results mirror the source: the scan `IN/a/b/c.nii.gz` gets the folder `OUT/a/b`.
"""

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from neuronat.cohort.bids import find_bids_scans, is_bids
from neuronat.cohort.entry import Cohort, Entry, Gap, Selection, readable
from neuronat.errors import MissingInputError, UsageError
from neuronat.record import shown_name
from neuronat.space.dicom import require_neutral_name
from neuronat.space.loading import naming
from neuronat.space.series import first_series
from neuronat.space.source import IMAGE_ENDINGS

__all__ = ["find_cohort", "require_other_folder", "write_manifest_text"]

NO_SCANS = ("_mask", "_dseg", "_probseg")
RAW = re.compile(r"sub-.*|sourcedata|code|stimuli")
"""Folders of a BIDS data set that results do not belong into."""


def find_cohort(source: Path, out: Path, selection: Selection) -> Cohort:
    """Find the scans of a cohort, sorted by their names.

    Parameters
    ----------
    source : Path
        A BIDS data set, a folder with images at any depth, or a list: a text file with one path per line, or a
        table (.tsv) with the column `scan` and, if wanted, `mask` and `folder`. Paths are relative to the list.
    out : Path
        Folder of the results; nothing in it is a scan.
    selection : Selection
        Which of the scans.

    Returns
    -------
    Cohort

    Raises
    ------
    MissingInputError
        If there is no such source, or no scan in it.
    UsageError
        If a filter names what is not there, or does not fit the source, or two scans share a name and a folder.

    Notes
    -----
    Source: ours.
    """
    if not source.exists():
        raise MissingInputError(f"{shown_name(source)}: not found; name a BIDS data set, a folder, or a list of scans")
    require_other_folder(source, out)
    bids = source.is_dir() and is_bids(source)
    if not bids and selection.is_filtered:
        raise UsageError(f"{shown_name(source)}: is no BIDS data set, so participants and sessions are not known")
    if bids:
        cohort = find_bids_scans(source, selection)
    else:
        found = _in_folder(source, out) if source.is_dir() else _in_list(source)
        cohort = Cohort(entries=tuple(sorted(found, key=lambda entry: entry.key)), is_bids=False)
    if not cohort.entries and not cohort.gaps:
        raise MissingInputError(f"{shown_name(source)}: looked for T1-weighted images, found 0; check path and filters")
    return _part(_with_masks(_distinct(_nameable(cohort)), selection), selection)


def require_other_folder(source: Path, out: Path) -> None:
    """Raise UsageError if the results, or the tables of a group, would go among the scans."""
    raw, place = source.resolve(), out.resolve()
    if raw == place:
        raise UsageError(f"{shown_name(out)}: is the folder of the scans; choose another folder for the results")
    is_inside = place.is_relative_to(raw) and raw.is_dir() and is_bids(raw)
    if is_inside and RAW.fullmatch(place.relative_to(raw).parts[0]):
        raise UsageError(f"{shown_name(out)}: lies among the raw data; choose another folder, as derivatives/neuronat")


def write_manifest_text(cohort: Cohort) -> str:
    """Return the manifest as a table: what should come out, by name and folder, with no path of this machine."""
    lines = ["folder\tstem\n", *(f"{entry.folder}\t{entry.stem}\n" for entry in cohort.entries)]
    return "".join(lines)


def _in_folder(root: Path, out: Path) -> Iterator[Entry]:
    """Yield the images below a folder; hidden folders, results, masks and label maps are left out."""
    excluded = out.resolve()
    for place, folders, names in os.walk(root):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(place, name).resolve() != excluded
        )
        folder = PurePosixPath(Path(place).relative_to(root).as_posix())
        for name in names:
            base = _base_name(name)
            if base is not None and not name.startswith(".") and not base.endswith(NO_SCANS):
                yield Entry(scan=Path(place, name), folder="" if folder == PurePosixPath() else str(folder))


def _in_list(path: Path) -> Iterator[Entry]:
    """Yield the scans that a text file or a table names."""
    for number, row in _lines_of(path):
        scan, mask, folder = ((row.get(column) or "").strip() for column in ("scan", "mask", "folder"))
        if not scan:
            raise UsageError(f"{shown_name(path)}: line {number} names no scan; fill it in, or take the line out")
        if "\0" in scan + mask + folder:
            raise UsageError(f"{shown_name(path)}: line {number} holds a zero byte; save the list as plain text")
        place = path.parent / scan
        if place.is_dir():
            with naming(Path(f"{shown_name(path)}, line {number}")):
                require_neutral_name(place, first_series(place))
        yield Entry(
            scan=place,
            folder=_inner_folder(folder, path),
            mask=path.parent / mask if mask not in ("", "n/a") else None,
        )


def _lines_of(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and fields of the lines of a list that are not empty."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # Excel writes a mark first
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown_name(path)}: is neither a folder nor a list of scans in UTF-8") from error
    if path.suffix != ".tsv":
        yield from ((n, {"scan": line}) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#"))
        return
    table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        if "scan" not in (table.fieldnames or ()):
            raise UsageError(f"{shown_name(path)}: has no column scan; its first line must name the columns")
        yield from ((table.line_num, row) for row in table)
    except csv.Error as error:
        raise UsageError(
            f"{shown_name(path)}: line {table.line_num + 1} cannot be read ({error}); shorten it"
        ) from error


def _inner_folder(text: str, path: Path) -> str:
    """Check that a folder of results stays inside the folder of all results."""
    folder = PurePosixPath(text)
    if folder.is_absolute() or ".." in folder.parts:
        raise UsageError(f"{shown_name(path)}: folder {text!r} would leave the results; give one below them")
    return "" if folder == PurePosixPath() else str(folder)


def _base_name(name: str) -> str | None:
    """Return an image's name without its ending; None if it is no image."""
    ending = next((e for e in IMAGE_ENDINGS if name.lower().endswith(e)), None)
    return None if ending is None else name[: -len(ending)]


def _nameable(cohort: Cohort) -> Cohort:
    """Make gaps of the scans whose names are not UTF-8: no table or page could hold them; others go on."""
    gaps = [
        Gap(
            folder=readable(entry.folder),
            stem=readable(entry.stem),
            message="its name is not UTF-8; rename it",
            is_failure=True,
            code=UsageError.exit_code,
        )
        for entry in cohort.entries
        if entry.key != readable(entry.key)
    ]
    kept = tuple(entry for entry in cohort.entries if entry.key == readable(entry.key))
    return replace(cohort, entries=kept, gaps=(*cohort.gaps, *gaps))


def _distinct(cohort: Cohort) -> Cohort:
    """Raise UsageError if results would share a name; in BIDS the subject becomes a gap, and others go on."""
    by_key: dict[str, list[Entry]] = {}
    for entry in cohort.entries:
        by_key.setdefault(entry.key, []).append(entry)
    clashes = {key: group for key, group in by_key.items() if len(group) > 1}
    if not clashes:
        return cohort
    if not cohort.is_bids:
        key, group = next(iter(clashes.items()))
        listed = ", ".join(shown_name(entry.scan) for entry in group[:3])
        raise UsageError(
            f"{listed}: their results would share the name {key}; give a table with the columns scan and folder"
        )
    gaps = [
        Gap(
            folder=group[0].folder,
            stem=group[0].stem,
            message=f"{', '.join(entry.scan.name for entry in group)} would share their results; keep one of them",
            is_failure=True,
            code=UsageError.exit_code,
        )
        for group in clashes.values()
    ]
    kept = tuple(entry for entry in cohort.entries if entry.key not in clashes)
    return replace(cohort, entries=kept, gaps=(*cohort.gaps, *gaps))


def _with_masks(cohort: Cohort, selection: Selection) -> Cohort:
    """Give each scan its mask from a folder laid out like the source."""
    folder = selection.masks
    if folder is None:
        return cohort
    if not folder.is_dir():
        raise MissingInputError(f"{shown_name(folder)}: no folder of masks; check the path")
    entries = tuple(
        replace(entry, mask=folder / entry.folder / f"{entry.stem}_desc-brain_mask.nii.gz") for entry in cohort.entries
    )
    return replace(cohort, entries=entries)


def _part(cohort: Cohort, selection: Selection) -> Cohort:
    """Take one of several parts of equal size, always the same; gaps belong to the first part."""
    number, of = selection.part
    gaps = cohort.gaps if number == 1 else ()
    return replace(cohort, entries=cohort.entries[number - 1 :: of], gaps=gaps)
