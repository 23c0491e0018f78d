"""What lies at a path: an image file with content, or something else that the user should hear about.

Errors name no file; `space.files` adds the name.
"""

from difflib import get_close_matches
from pathlib import Path

from neuronat.errors import MissingInputError, UnusableInputError

__all__ = ["COMPRESSED_ENDINGS", "IMAGE_ENDINGS", "foreign_type", "partner_of", "require_file"]

IMAGE_ENDINGS = (".nii.gz", ".nii", ".mgz", ".mgh")
"""Of images in one file; pairs (.hdr and .img) are read only."""
COMPRESSED_ENDINGS = (".gz", ".mgz")
POINTER_HINT = "the content was not downloaded (git-annex or git-lfs pointer); run `datalad get` or `git lfs pull`"
FOREIGN = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive; unpack it, and if it holds DICOM give its folder"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"\x89HDF", "an HDF5 file (MINC2, or a model)"),
    (b"CDF", "a MINC1 or NetCDF file"),
    (b"NRRD", "an NRRD image"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"7z\xbc\xaf", "a 7z archive"),
)


def require_file(path: Path) -> None:
    """Raise an error that says what to do unless `path` is a file with content.

    Parameters
    ----------
    path : Path
        What the user named.

    Raises
    ------
    MissingInputError
        If there is nothing, a folder, a link that leads nowhere, or a pointer in place of the content.
    UnusableInputError
        If the file is empty, or no ordinary file.

    Notes
    -----
    Source: ours.
    """
    if path.is_symlink() and not path.exists():
        raise MissingInputError(f"is a link that leads nowhere; {POINTER_HINT}")
    if path.is_dir():
        raise MissingInputError(_describe_folder(path))
    if not path.exists():
        raise MissingInputError(f"not found; {_near_names(path)}")
    if not path.is_file():
        raise UnusableInputError("is not an ordinary file; give a NIfTI or MGZ image")
    if path.stat().st_size == 0:
        raise UnusableInputError("empty file (0 bytes); copy or download it again")
    with path.open("rb") as stream:
        start = stream.read(200)
    if start.startswith(b"version https://git-lfs") or start.lstrip(b"./").startswith(b"annex/objects/"):
        raise MissingInputError(POINTER_HINT)


def partner_of(path: Path, ending: str) -> Path:
    """Return the other file of a pair: `ending` is `.hdr` or `.img`; compressed or not.

    Raises
    ------
    MissingInputError
        If there is no such file.

    Notes
    -----
    Source: ours.
    """
    stem = path.name.removesuffix(".gz")
    stem = stem[: -len(ending)] if stem.lower().endswith((".hdr", ".img")) else stem
    for name in (stem + ending, stem + ending + ".gz", stem + ending.upper()):
        if (path.parent / name).is_file():
            return path.parent / name
    raise MissingInputError(f"belongs to a pair, and {stem}{ending} is not beside it; copy both files")


def foreign_type(head: bytes) -> str:
    """Name what a file is that is no image of ours, by its first bytes."""
    for magic, name in FOREIGN:
        if head.startswith(magic):
            return name
    if head[128:132] == b"DICM":
        return "one file of a DICOM series; give its folder"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"<", b"{")):
        return "XML, HTML or JSON text"
    if text and all(byte >= 32 or byte in b"\t\r\n\f" for byte in text):
        return "text"
    return "of an unknown type"


def _near_names(path: Path) -> str:
    """Suggest names in the same folder."""
    if not path.parent.is_dir():
        return "its folder does not exist either; check the path"
    names = [p.name for p in path.parent.iterdir() if p.name.isprintable()]
    near = get_close_matches(path.name, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else "check the path"


def _describe_folder(path: Path) -> str:
    """Say what a folder holds, where a file was expected."""
    names = sorted(p.name for p in path.iterdir())
    images = [name for name in names if name.lower().endswith((*IMAGE_ENDINGS, ".hdr", ".img"))]
    if images:
        return f"is a folder with {len(images)} images (such as {images[0]}); name the file"
    return "is a folder; looked for NIfTI and MGZ images and DICOM files in it, found 0; name a file"
