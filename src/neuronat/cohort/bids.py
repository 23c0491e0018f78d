"""BIDS data sets: their T1-weighted scans, and the files that make a folder of results a derivative of them."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from neuronat import __version__
from neuronat.cohort.entry import Cohort, Entry, Gap, Selection
from neuronat.errors import ConfigError, MissingInputError, UsageError
from neuronat.record import shown_name, write_text

__all__ = ["describe_derivative", "find_bids_scans", "is_bids", "parse_filter", "write_description"]

BIDS_VERSION = "1.10.0"
T1W = re.compile(r"sub-[0-9A-Za-z+]+_(?:[0-9A-Za-z]+-[0-9A-Za-z+]+_)*T1w\.nii(?:\.gz)?")
SHORT = {
    "acquisition": "acq", "ceagent": "ce", "description": "desc", "reconstruction": "rec", "run": "run",
    "session": "ses", "subject": "sub", "part": "part", "space": "space",
}  # fmt: skip
GIVEN = {("suffix", "T1w"), ("datatype", "anat")}
OPAQUE = (
    "*_volumes.tsv", "*_agreement.tsv", "*_desc-agreement_map.*", "*_aseg.stats", "*_itksnap.label", "*_fsleyes.lut",
    "*_freeview.txt", "*_done.json", "*_failed.json", "*_results.zip", "*.html", "*.png", "group*", "status*",
    "failures.tsv", "logs/", ".*",
)  # fmt: skip


def is_bids(folder: Path) -> bool:
    """Tell whether a folder is laid out as BIDS: folders of subjects with `anat`, or with sessions."""
    return any(True for subject in _labelled(folder, "sub") for _ in _anat_folders(folder / subject, ()))


def find_bids_scans(root: Path, selection: Selection) -> Cohort:
    """Find the T1w images of the subjects and sessions wanted; several runs are several scans.

    Parameters
    ----------
    root : Path
        The data set.
    selection : Selection
        Which of them.

    Returns
    -------
    Cohort
        Sorted. A subject without a T1w is a gap, a failure only if it was asked for by name.

    Raises
    ------
    UsageError
        If a subject or session is not there; the message lists near ones.

    Notes
    -----
    Source: ours; a walker of our own, since a cohort needs nothing of BIDS but the names.
    """
    subjects = _wanted("sub", selection.participants, _labelled(root, "sub"))
    entries: list[Entry] = []
    gaps: list[Gap] = []
    seen: set[str] = set()
    for subject in subjects:
        found = list(_scans_of(root, subject, selection, seen))
        entries += found
        if not found:
            message = "no T1w image that fits the filters; check the data set"
            gaps.append(Gap(folder=subject, stem=subject, message=message, is_failure=bool(selection.participants)))
    if selection.sessions:
        _wanted("ses", selection.sessions, sorted(seen))
    return Cohort(entries=tuple(sorted(entries, key=lambda entry: entry.key)), gaps=tuple(gaps), is_bids=True)


def parse_filter(path: Path) -> tuple[tuple[str, str], ...]:
    """Read what the T1w's name must say from a filter file of BIDS apps: `{"t1w": {"acquisition": "mprage"}}`.

    Raises
    ------
    MissingInputError
        If the file is not there.
    ConfigError
        If it is no such filter, or asks for what this reader does not know.

    Notes
    -----
    Source: ours; the file's form is that of fMRIPrep.
    """
    try:
        wanted = json.loads(path.read_text(encoding="utf-8-sig"))["t1w"]
        pairs = {key: value for key, value in wanted.items() if (key, str(value)) not in GIVEN}
    except FileNotFoundError as error:
        raise MissingInputError(f"{shown_name(path)}: not found; give a filter file of BIDS apps") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{shown_name(path)}: no filter such as {{"t1w": {{"acquisition": "mprage"}}}}') from error
    unknown = [key for key in pairs if key not in SHORT and key not in SHORT.values()]
    if unknown or not all(isinstance(value, str | int) for value in pairs.values()):
        raise ConfigError(f"{shown_name(path)}: t1w may name one value each of {', '.join(SHORT)}; got {wanted}")
    return tuple(sorted((SHORT.get(key, key), str(value)) for key, value in pairs.items()))


def describe_derivative(source: Path, out: Path) -> dict[str, Any]:
    """Compose the `dataset_description.json` of results; the source is named, not where it lies."""
    try:
        name = json.loads((source / "dataset_description.json").read_text(encoding="utf-8")).get("Name", "")
    except (OSError, ValueError, AttributeError):
        name = ""
    description: dict[str, Any] = {
        "Name": f"neuronat: structures of {name or shown_name(source.resolve())}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "neuronat", "Version": __version__, "Description": "Not for diagnosis."}],
    }
    if source.resolve() in out.resolve().parents:
        description["DatasetLinks"] = {"raw": os.path.relpath(source.resolve(), out.resolve())}
    return description


def write_description(source: Path, out: Path) -> None:
    """Write the files at the top of a derivative, unless they are there with the same content.

    Raises
    ------
    UsageError
        If the folder holds the results of another program or another version.
    OutputError
        If they cannot be written.

    Notes
    -----
    Source: ours. Many runs may do so at the same time: each file is replaced whole, by the same content.
    """
    path = out / "dataset_description.json"
    if path.is_file():
        by = _generators(path)
        if by != ["neuronat"]:
            raise UsageError(
                f"{shown_name(out)}: holds a data set of {', '.join(by) or 'others'}; choose another folder"
            )
    content = {
        "dataset_description.json": json.dumps(describe_derivative(source, out), indent=1, ensure_ascii=False) + "\n",
        ".bidsignore": "".join(f"{line}\n" for line in OPAQUE),
        "README": README,
    }
    for name, text in content.items():
        there = out / name
        if not there.is_file() or (name != "README" and there.read_text(encoding="utf-8", errors="replace") != text):
            write_text(there, text)


def _generators(path: Path) -> list[str]:
    """Name the programs that say they made a data set."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("GeneratedBy", [])
        return [str(by["Name"]) for by in found]
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return []


def _scans_of(root: Path, subject: str, selection: Selection, seen: set[str]) -> Iterator[Entry]:
    """Yield the T1w images of one subject; the names of its sessions are added to `seen`."""
    wanted = dict(selection.entities)
    sessions = tuple(_bare("ses", label) for label in selection.sessions)
    for anat in _anat_folders(root / subject, sessions, seen):
        for name in sorted(path.name for path in anat.iterdir()):
            if T1W.fullmatch(name):
                said = dict(part.split("-", 1) for part in name.split("_")[:-1])
                if all(_same(said.get(key), value) for key, value in wanted.items()):
                    yield Entry(scan=anat / name, folder=anat.relative_to(root).as_posix())


def _same(said: str | None, wanted: str) -> bool:
    """Compare values of an entity; run 1 is run 01."""
    return said is not None and (said == wanted or (said.isdigit() and wanted.isdigit() and int(said) == int(wanted)))


def _anat_folders(subject: Path, sessions: Sequence[str], seen: set[str] | None = None) -> Iterator[Path]:
    """Yield the `anat` folders of a subject, of certain sessions if some are named."""
    if not sessions and (subject / "anat").is_dir():
        yield subject / "anat"
    for session in _labelled(subject, "ses"):
        if seen is not None:
            seen.add(session)
        if (not sessions or _bare("ses", session) in sessions) and (subject / session / "anat").is_dir():
            yield subject / session / "anat"


def _labelled(folder: Path, entity: str) -> list[str]:
    """Return the names of folders such as `sub-01`, sorted."""
    pattern = re.compile(f"{entity}-[0-9A-Za-z+]+")
    try:
        with os.scandir(folder) as found:
            return sorted(item.name for item in found if pattern.fullmatch(item.name) and item.is_dir())
    except OSError as error:
        raise MissingInputError(
            f"{shown_name(folder)}: cannot be read ({error.strerror}); check permissions"
        ) from error


def _wanted(entity: str, labels: Sequence[str], there: Sequence[str]) -> Sequence[str]:
    """Return the names asked for, all if none is; UsageError lists near ones where one is not there."""
    wanted = [f"{entity}-{_bare(entity, label)}" for label in labels]
    unknown = [name for name in wanted if name not in there]
    if unknown:
        near = sorted({n for name in unknown for n in get_close_matches(name, there, n=3, cutoff=0.5)}) or there[:5]
        hint = f"near are {', '.join(near)}" if near else "there are none"
        raise UsageError(f"{', '.join(unknown)}: not in the data set; {hint}")
    return sorted(set(wanted)) if labels else there


def _bare(entity: str, label: str) -> str:
    """Take `sub-` off a label."""
    return label.removeprefix(f"{entity}-")


README = """Label maps of brain structures, made by neuronat from T1-weighted scans. Not for diagnosis.

*_seg-<protocol>_dseg.nii.gz     label map on the scan's own grid; seg-<protocol>_dseg.tsv names the ids
*_seg-<protocol>_volumes.tsv     volumes in mm3; n/a where a structure was not found, or not taught to the model
*_desc-brain_mask.nii.gz         the brain mask that was used
*_done.json                      written last: hashes of everything, version, models and settings
*_failed.json                    why a scan has no result
*_results.zip                    with --pack: the files of a scan, but for its marker
logs/                            messages of scans that failed
"""
