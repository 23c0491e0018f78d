"""What a DICOM folder holds: its series, read from the headers alone.

A **series** is what a scanner stored in one go: one image per slice, or all in one file. Nothing that could name the
patient is kept, with one exception that never leaves memory: the words of the name, to compare them with
the name of the folder. Of free text, which operators fill in, only the words that every scanner speaks are kept.
"""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from neuronat.errors import MissingInputError, UnavailableError, UsageError
from neuronat.record import shown_name
from neuronat.space.contrast import told_contrast

__all__ = ["Image", "Series", "dicom_files", "first_series", "list_series"]

MOST_FILES = 100_000
LONGEST_WORD = 12
MANY_SLICES = 64
CODED = {  # Acquisition Contrast of enhanced files
    "T1": "T1", "T2": "T2", "PROTON_DENSITY": "PD", "FLUID_ATTENUATED": "FLAIR", "T2_STAR": "susceptibility",
    "DIFFUSION": "diffusion", "PERFUSION": "EPI", "TOF": "angiography", "FLOW_ENCODED": "angiography",
}  # fmt: skip
TAGS = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "Modality", "ImageType",
    "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "MRAcquisitionType", "ScanningSequence",
    "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "ImageOrientationPatient", "ImagePositionPatient",
    "BurnedInAnnotation", "NumberOfFrames", "Rows", "Columns", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "PatientName", "AcquisitionContrast",
)  # fmt: skip
SPOKEN = {  # runs of letters; T1w is t and w
    "t", "w", "d", "g", "p", "s", "ns", "mm", "mp", "rage", "mpr", "mprage", "spgr", "fspgr", "bravo", "fl", "tfl",
    "tfe", "ffe", "tse", "fse", "gre", "se", "ir", "vibe", "space", "cube", "vista", "flair", "pd", "swi", "swan",
    "tof", "mra", "dwi", "dti", "adc", "trace", "epi", "bold", "fmri", "asl", "loc", "localizer", "scout", "survey",
    "sag", "sagittal", "tra", "ax", "axial", "cor", "coronal", "iso", "isotropic", "pre", "post", "gd", "fs", "nd",
    "norm", "head", "brain", "wip", "adni", "star", "map", "field",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Image:
    """One file of a series: the place of each of its frames in mm (LPS), and the direction cosines of its rows."""

    path: Path
    uid: str
    number: int | None
    orientation: tuple[float, ...]
    positions: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series: its images, what kind of scan its header claims to be, and `words`, fit to be shown.

    `contrast` is what names and header say (`T1`, `FLAIR`, ...) or None; `acquisition` is `3D`, `2D` or empty;
    `kind` are the words of the image type; `name_words` those of the patient's name, never to be shown.
    """

    uid: str
    number: int | None
    images: tuple[Image, ...]
    modality: str
    kind: tuple[str, ...]
    words: str
    contrast: str | None
    acquisition: str
    has_text: bool
    name_words: frozenset[str]

    @property
    def n_slices(self) -> int:
        """Number of frames in all files."""
        return sum(len(image.positions) for image in self.images)

    @property
    def is_3d(self) -> bool:
        """Whether slices were acquired together; many slices, where the header does not say."""
        return self.acquisition == "3D" or (self.acquisition == "" and self.n_slices >= MANY_SLICES)

    @property
    def is_t1(self) -> bool:
        """Whether the header says: a T1-weighted 3D scan as it came from the scanner."""
        return self.contrast == "T1" and self.is_3d and self.modality == "MR" and not self.oddity

    @property
    def oddity(self) -> str:
        """What the header says against using it at all; empty if nothing."""
        if self.modality != "MR":
            return f"its modality is {self.modality or 'not given'}, not MR"
        if "SECONDARY" in self.kind or not any(image.positions for image in self.images):
            return "it was derived from other images, or is a picture of them"
        return "its images carry burned-in text" if self.has_text else ""

    def describe(self) -> str:
        """Say in a few words which series this is, for a list to choose from."""
        number = "without a number" if self.number is None else f"{self.number}"
        kind = f"{self.contrast or 'contrast unknown'}, {'3D' if self.is_3d else 'not 3D'}"
        return f"{number} ({self.words + ', ' if self.words else ''}{kind}, {self.n_slices} images, {self.uid})"


def dicom_files(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder` that are DICOM by their first bytes, whatever they are called.

    Raises
    ------
    UsageError
        If there are more than 100000 files.

    Notes
    -----
    Source: ours.
    """
    paths = (Path(at) / name for at, _, names in sorted(os.walk(folder)) for name in sorted(names))
    for path in islice(paths, MOST_FILES):
        if path.is_file() and _is_dicom(path):
            yield path
    if next(paths, None) is not None:
        raise UsageError(f"{shown_name(folder)}: holds more than {MOST_FILES} files; name the folder of one session")


def list_series(folder: Path) -> tuple[Series, ...]:
    """Read the headers of all DICOM files below a folder.

    Parameters
    ----------
    folder : Path
        Its other files are left alone.

    Returns
    -------
    tuple of Series
        By number. A file that is there twice counts once.

    Raises
    ------
    UnavailableError
        If the extra `dicom` is not installed.
    MissingInputError
        If no file has a header that can be read.

    Notes
    -----
    Source: ours; the words of the headers are those of the DICOM standard, part 3.
    """
    found: dict[str, dict[str, Series]] = {}
    for part in _parts(folder, _reader()):
        found.setdefault(part.uid, {}).setdefault(part.images[0].uid, part)
    if not found:
        raise MissingInputError("holds DICOM files, and none of them an image; give the folder of a scan")
    whole = (_joined(list(parts.values())) for parts in found.values())
    return tuple(sorted(whole, key=lambda series: (series.number or 0, series.uid)))


def first_series(folder: Path) -> tuple[Series, ...]:
    """Read the header of the first DICOM file below a folder alone, as a series of one image; nothing if there is none.

    Raises
    ------
    UnavailableError
        If the extra `dicom` is not installed, and there is such a file.

    Notes
    -----
    Source: ours.
    """
    return tuple(islice(_parts(folder, _reader()), 1)) if next(dicom_files(folder), None) else ()


def _reader() -> Callable[..., Any]:
    """Return what reads the header of a DICOM file."""
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise UnavailableError("DICOM folders need the extra `dicom`; pip install 'neuronat[dicom]'") from error
    return dcmread


def _parts(folder: Path, read: Callable[..., Any]) -> Iterator[Series]:
    """Yield the DICOM files below a folder, each as a series of its own; files that cannot be read are left out."""
    for path in dicom_files(folder):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = read(path, stop_before_pixels=True, force=True, specific_tags=list(TAGS))
                part = _series(path, header)
        except Exception:  # a reader of 30 years of vendors' files fails in every way that there is
            continue
        yield part


def _is_dicom(path: Path) -> bool:
    """Tell from the first bytes: the DICOM mark, or an element of group 8 where old files have no preamble."""
    try:
        with path.open("rb") as stream:
            head = stream.read(132)
    except OSError:
        return False
    is_bare = head[:2] == b"\x08\x00" and head[2:4] in (b"\x00\x00", b"\x01\x00", b"\x05\x00", b"\x08\x00")
    return head[128:] == b"DICM" or is_bare


def _joined(parts: list[Series]) -> Series:
    """Join the files of one series; the first speaks for all."""
    return replace(parts[0], images=tuple(part.images[0] for part in parts))


def _series(path: Path, head: Any) -> Series:
    """Read the header of one file as that of a series of its own."""
    said = " ".join(_text(head, tag) for tag in ("SeriesDescription", "SequenceName", "PulseSequenceName"))
    return Series(
        uid=str(head.SeriesInstanceUID),
        number=_whole(head, "SeriesNumber"),
        images=(_image(path, head),),
        modality=_text(head, "Modality"),
        kind=tuple(str(word).upper() for word in _many(head, "ImageType")),
        words=_spoken(_text(head, "SeriesDescription")),
        contrast=told_contrast(said, _text(head, "ProtocolName")) or _contrast_by_timing(head),
        acquisition=_text(head, "MRAcquisitionType"),
        has_text=_text(head, "BurnedInAnnotation") == "YES",
        name_words=_name_words(_text(head, "PatientName")),
    )


def _image(path: Path, header: Any) -> Image:
    """Keep what is needed of one file; an enhanced file holds the place of each of its frames."""
    shared = _first(header, "SharedFunctionalGroupsSequence")
    frames = _many(header, "PerFrameFunctionalGroupsSequence") or [header]
    orientation = _numbers(header, "ImageOrientationPatient")
    positions = []
    for frame in frames:
        plane = _first(frame, "PlanePositionSequence") or frame
        turned = _first(frame, "PlaneOrientationSequence") or _first(shared, "PlaneOrientationSequence")
        orientation = orientation or _numbers(turned, "ImageOrientationPatient")
        if place := _numbers(plane, "ImagePositionPatient"):
            positions.append(place)
    return Image(
        path=path,
        uid=str(header.SOPInstanceUID),
        number=_whole(header, "InstanceNumber"),
        orientation=orientation,
        positions=tuple(positions),
    )


def _contrast_by_timing(header: Any) -> str | None:
    """Return the coded contrast of an enhanced file, or T1 for a gradient echo of short times and a fair flip angle."""
    if (coded := _text(header, "AcquisitionContrast")) in CODED:
        return CODED[coded]
    echo_ms, repetition_ms, angle = (
        next(iter(_numbers(header, tag)), 0.0) for tag in ("EchoTime", "RepetitionTime", "FlipAngle")
    )
    is_short = 0 < echo_ms < 8 and (0 < repetition_ms < 50 or bool(_numbers(header, "InversionTime")))
    return "T1" if "GR" in _many(header, "ScanningSequence") and is_short and angle >= 5 else None


def _spoken(description: str) -> str:
    """Keep the words of a description that every scanner speaks; all others might be a name."""
    words = [word for word in re.split(r"[^0-9A-Za-z]+", description) if 0 < len(word) <= LONGEST_WORD]
    runs = {word: re.findall(r"[a-z]+", word.lower()) for word in words}
    return " ".join(word for word in words if runs[word] and SPOKEN.issuperset(runs[word]))


def _name_words(name: str) -> frozenset[str]:
    """Return the words of a patient's name; what holds a digit is a code, not a name."""
    return frozenset(word.casefold() for word in re.split(r"[\^=\s,]+", name) if len(word) > 2 and word.isalpha())


def _text(header: Any, tag: str) -> str:
    return " ".join(str(value) for value in _many(header, tag)).strip()


def _many(header: Any, tag: str) -> list[Any]:
    value = getattr(header, tag, None)
    if value is None or isinstance(value, str | int | float):
        return [] if value is None or value == "" else [value]
    return list(value) if hasattr(value, "__iter__") and not hasattr(value, "family_name") else [value]


def _first(header: Any, tag: str) -> Any:
    return next(iter(_many(header, tag)), None)


def _numbers(header: Any, tag: str) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in _many(header, tag))
    except (TypeError, ValueError):
        return ()


def _whole(header: Any, tag: str) -> int | None:
    numbers = _numbers(header, tag)
    return int(numbers[0]) if numbers else None
