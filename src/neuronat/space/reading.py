"""A scan from whatever the user names: an image file, or a DICOM folder."""

import hashlib
from dataclasses import replace
from pathlib import Path

from neuronat.errors import UnusableInputError, UsageError
from neuronat.record import is_telling, sha256_of
from neuronat.space.contrast import contrast_objection, is_ct_like
from neuronat.space.dicom import Choice, choose_series, converted, require_neutral_name
from neuronat.space.files import read_volume
from neuronat.space.loading import files_of, naming
from neuronat.space.scan import ReadOptions, Scan
from neuronat.space.series import dicom_files, list_series

__all__ = ["hash_of_scan", "read_scan"]

DEFAULT_OPTIONS = ReadOptions()
TELLING = "its name looks like a date or a record number, and names the outputs; rename it before they are shared"


def read_scan(path: Path, options: ReadOptions = DEFAULT_OPTIONS) -> Scan:
    """Read the grey values of a scan, from a file or from one series of a DICOM folder.

    Parameters
    ----------
    path : Path
        An image as for `read_volume`, or a folder with DICOM files.
    options : ReadOptions
        `series` chooses among those of a folder.

    Returns
    -------
    Scan
        Of a folder it bears the folder's name; nothing else of the DICOM headers comes along.

    Raises
    ------
    UsageError
        If the folder holds no series, or several, that could be meant, or `series` is given for a file.
    MissingInputError, UnusableInputError, MemoryShortError, UnavailableError
        As `read_volume` and `choose_series` say; or if name, header or sidecar say that it is not T1-weighted.

    Notes
    -----
    Source: ours; decision 0015.
    """
    if _is_dicom_folder(path, options):
        scan, objection = _read_series(path, options)
    else:
        scan = read_volume(path, options)
        objection = contrast_objection(path, scan.echo_ms)
    if is_telling(path.name):
        scan = replace(scan, notes=(*scan.notes, TELLING))
    return _with_contrast(scan, path, objection, options)


def hash_of_scan(path: Path, options: ReadOptions = DEFAULT_OPTIONS) -> str:
    """Return the SHA-256 of a file, or of the files of a pair or of the chosen series, whatever they are called.

    Raises
    ------
    MissingInputError, UnusableInputError, UsageError, UnavailableError
        As for `read_scan`, as far as the bytes are not looked at.

    Notes
    -----
    Source: ours.
    """
    if _is_dicom_folder(path, options):
        hashes = sorted(sha256_of(image.path) for image in _choose(path, options).series.images)
        return hashlib.sha256("".join(hashes).encode("ascii")).hexdigest()
    with naming(path):
        parts = dict.fromkeys(files_of(path))
    hashes = [sha256_of(part) for part in parts]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode("ascii")).hexdigest()


def _read_series(path: Path, options: ReadOptions) -> tuple[Scan, str]:
    """Read the one series of a folder that is meant; say what speaks against its contrast."""
    choice = _choose(path, options)
    with converted(choice, path, force=options.force) as (image_path, said):
        scan = read_volume(image_path, options)
    notes, warnings = (choice.note, *scan.notes), (*choice.faults, *said, *scan.warnings)
    contrast = choice.series.contrast
    objection = f"its header says {contrast}" if contrast not in (None, "T1") else ""
    return replace(scan, file_format="DICOM", notes=notes, warnings=warnings), objection


def _with_contrast(scan: Scan, path: Path, objection: str, options: ReadOptions) -> Scan:
    """Refuse a scan of another contrast than T1; a forced one carries a warning."""
    if not objection and is_ct_like(scan.volume.values):
        objection = "its grey values are Hounsfield units, as in CT"
    if not objection:
        return scan
    if not options.force:
        with naming(path):
            raise UnusableInputError(f"is not T1-weighted ({objection}); give the T1, or use --force")
    return replace(scan, warnings=(*scan.warnings, f"forced, though not T1-weighted: {objection}"))


def _is_dicom_folder(path: Path, options: ReadOptions) -> bool:
    """Tell whether this is a folder with DICOM files; refuse a choice among series where there are none."""
    is_dicom = path.is_dir() and next(dicom_files(path), None) is not None
    if options.series is not None and not is_dicom:
        with naming(path):
            raise UsageError("holds no DICOM series to choose from; leave out --series")
    return is_dicom


def _choose(path: Path, options: ReadOptions) -> Choice:
    """Choose the series of a folder; what must not be named is refused without a name."""
    with naming(path):
        found = list_series(path)
    require_neutral_name(path, found)
    with naming(path):
        return choose_series(found, options.series, force=options.force)
