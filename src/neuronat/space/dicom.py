"""One series of a DICOM folder becomes an image file, by dcm2niix, in a private folder that vanishes afterwards."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neuronat.errors import UnavailableError, UnusableInputError, UsageError
from neuronat.record import shown_name
from neuronat.space.loading import naming
from neuronat.space.series import Series
from neuronat.space.slices import slice_faults

__all__ = ["Choice", "choose_series", "converted", "require_neutral_name"]

MOST_S = 600
OPTIONS = ("-b", "n", "-z", "n", "-f", "scan", "-w", "1", "-x", "n", "-g", "i", "-d", "0")
FATAL = re.compile(r"missing|interslice|varies|gantry|tilt|slice (order|direction)|not stacked|incompatible", re.I)
PARTS, ECHO = re.compile(r"_(ph|real|imaginary)\w*$"), re.compile(r"_e\d+\w*$")
"""How dcm2niix ends the names of images that are not the magnitude, and of those of one echo of several."""
COMMON_WORDS = frozenset({"anon", "anonymous", "anonymized", "phantom", "test", "patient", "subject", "volunteer"})


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The series to use, a line that says so, and what speaks against it if it was forced."""

    series: Series
    note: str
    faults: tuple[str, ...]


def choose_series(found: tuple[Series, ...], wanted: str | None, *, force: bool = False) -> Choice:
    """Choose the one T1-weighted 3D series of a folder, or the one wanted.

    Parameters
    ----------
    found : tuple of Series
        From `list_series`.
    wanted : str or None
        UID of a series, or its number.
    force : bool
        Accept series of other kinds, and slices that are no whole volume.

    Returns
    -------
    Choice

    Raises
    ------
    UsageError
        If no series, or more than one, is T1-weighted 3D, or none is the one wanted: all are listed.
    UnusableInputError
        If the series is no MR scan, or slices are missing.

    Notes
    -----
    Source: ours; decision 0015.
    """
    if wanted is None:
        fitting = [series for series in found if series.is_t1]
    else:
        fitting = [series for series in found if wanted in (series.uid, str(series.number))]
    if len(fitting) != 1:
        kind = "T1-weighted 3D by their headers" if wanted is None else f"called {wanted}"
        listed = "; ".join(series.describe() for series in found)
        raise UsageError(f"{len(found)} series, {len(fitting)} of them {kind}: {listed}; choose one with --series UID")
    series = fitting[0]
    faults = [*([series.oddity] if series.oddity else []), *slice_faults(series)]
    if faults and not force:
        raise UnusableInputError(
            f"series {series.number} cannot be used: {'; '.join(faults)}; export it again, or use --force"
        )
    words = f"{series.words}, " if series.words else ""
    taken = f"DICOM series {series.number} ({words}{series.n_slices} images) of {len(found)} series was taken"
    return Choice(series=series, note=taken, faults=tuple(faults))


def require_neutral_name(folder: Path, found: tuple[Series, ...]) -> None:
    """Raise UsageError if the folder's name, which names the outputs, holds a word of the patient's name.

    Notes
    -----
    Source: ours; decision 0015. The message does not say the name either.
    """
    words = {word.casefold() for word in re.split(r"[\W\d_]+", folder.resolve().name)}
    if words & frozenset().union(*(series.name_words for series in found)) - COMMON_WORDS:
        raise UsageError("a DICOM folder is called after its patient, and so would be the outputs; rename the folder")


@contextmanager
def converted(choice: Choice, folder: Path, *, force: bool = False) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Lend the image that dcm2niix makes of a series.

    Parameters
    ----------
    choice : Choice
        From `choose_series`.
    folder : Path
        Where the series was found; the image bears its name.
    force : bool
        Turn what dcm2niix says against the series into warnings.

    Yields
    ------
    Path, tuple of str
        A NIfTI file, gone when the block ends, and the warnings of dcm2niix.

    Raises
    ------
    UnavailableError
        If the extra `dicom` is not installed.
    UnusableInputError
        If the series cannot be converted into one image.

    Notes
    -----
    Source: ours. dcm2niix sees links with neutral names, and no file of the user's settings.
    """
    with tempfile.TemporaryDirectory(prefix="neuronat-") as private:
        with naming(folder):
            source, target = Path(private, "in"), Path(private, "out")
            source.mkdir()
            target.mkdir()
            for number, image in enumerate(choice.series.images):
                (source / f"{number:06d}.dcm").symlink_to(image.path.resolve())
            complaints = _run(source, target, choice.series.name_words)
            image_path = _only_image(target, complaints, force=force).rename(target / shown_name(folder))
        yield image_path, tuple(f"dcm2niix: {line}" for line in complaints)


def _only_image(target: Path, complaints: tuple[str, ...], *, force: bool) -> Path:
    """Return the image that dcm2niix made, if it made one of the whole series."""
    images = sorted(target.glob("*.nii"))
    images = [image for image in images if not PARTS.search(image.stem)] or images  # magnitude, where that is there
    fatal = [line for line in complaints if FATAL.search(line)]
    if len(images) == 1 and (force or not fatal):
        return images[0]
    said = f" (dcm2niix: {(fatal or list(complaints))[0]})" if complaints else ""
    what = f"the series became {len(images)} images, where one whole volume was expected{said}"
    if len(images) > 1 and all(ECHO.search(image.stem) for image in images):
        raise UnusableInputError(f"{what}: one per echo; convert it with dcm2niix, and give one of them or their mean")
    raise UnusableInputError(f"{what}; export it again, or convert it with dcm2niix and give the image that is meant")


def _run(source: Path, target: Path, secret: frozenset[str]) -> tuple[str, ...]:
    """Run dcm2niix and return its warnings and errors, without any path or secret word."""
    try:
        from dcm2niix import bin as program
    except ImportError as error:
        raise UnavailableError("DICOM folders need the extra `dicom`; pip install 'neuronat[dicom]'") from error
    command = [program, *OPTIONS, "-o", str(target), str(source)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=MOST_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise UnusableInputError(f"dcm2niix did not end within {MOST_S} s; export the series again") from error
    except OSError as error:
        raise UnavailableError(
            f"dcm2niix cannot be started ({error.strerror}); install neuronat[dicom] again"
        ) from error
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    said = (line.partition(":")[2].strip() for line in lines if line.startswith(("Warning:", "Error:")))
    bare = (re.sub(rf"\S*{re.escape(os.sep)}\S*", "a file", line) for line in said)
    return tuple(dict.fromkeys(re.sub(r"[^\W\d_]+", lambda m: _unless(m[0], secret), line) for line in bare))


def _unless(word: str, secret: frozenset[str]) -> str:
    return "..." if word.casefold() in secret else word
