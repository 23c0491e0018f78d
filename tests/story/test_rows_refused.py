"""Bad inputs that are refused, by their rows in the specification of bad and odd inputs (1 to 57).

Each is a file that a user could have. What is accepted stands in `test_rows_accepted.py`, models, folders and tables in
`test_rows_around.py`; a gate looks that no row is forgotten.
"""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("swift_pipeline")

AFFINE = np.diag([-1.0, 1.0, 1.0, 1.0])


def values(shape: tuple[int, ...] = (40, 48, 56)) -> np.ndarray:
    """Grey values with contrast, no background."""
    return np.random.default_rng(4).normal(300, 60, shape).astype(np.float32)


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def change_header(path: Path, offset: int, kind: str, *numbers: float) -> Path:
    """Overwrite header fields of a plain NIfTI-1 file."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + kind, content, offset, *numbers)
    path.write_bytes(content)
    return path


def make_empty(folder: Path) -> Path:
    (folder / "x.nii.gz").touch()
    return folder / "x.nii.gz"


def make_cut_gzip(folder: Path) -> Path:
    path = save(folder / "x.nii.gz", values())
    path.write_bytes(path.read_bytes()[:-20_000])
    return path


def make_flipped_gzip(folder: Path) -> Path:
    path = save(folder / "x.nii.gz", values())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def make_wrong_checksum(folder: Path) -> Path:
    path = save(folder / "x.nii.gz", values())
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    return path


def make_cut_plain(folder: Path) -> Path:
    path = save(folder / "x.nii", values())
    path.write_bytes(path.read_bytes()[:-5])
    return path


def make_text(folder: Path) -> Path:
    (folder / "x.nii.gz").write_text("this is no image\n" * 40)
    return folder / "x.nii.gz"


def make_archive(folder: Path) -> Path:
    (folder / "x.nii").write_bytes(b"PK\x03\x04" + bytes(500))
    return folder / "x.nii"


def make_huge_claim(folder: Path) -> Path:
    plain = change_header(save(folder / "x.nii", values()), 40, "4h", 3, 30000, 30000, 30000)
    packed = folder / "huge.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    return packed


def make_bomb(folder: Path) -> Path:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), AFFINE)
    head = bytearray(image.header.binaryblock)
    struct.pack_into("<4h", head, 40, 3, 600, 600, 600)
    struct.pack_into("<f", head, 108, 352)
    path = folder / "bomb.nii.gz"
    path.write_bytes(gzip.compress(bytes(head) + bytes(4) + bytes(600**3 // 40)))
    return path


def make_four_dimensions(folder: Path) -> Path:
    return save(folder / "x.nii", values((40, 48, 56, 2)))


def make_two_dimensions(folder: Path) -> Path:
    return save(folder / "x.nii", values((40, 48)))


def make_thin(folder: Path) -> Path:
    return save(folder / "x.nii", values((40, 48, 20)))


def make_constant(folder: Path) -> Path:
    return save(folder / "x.nii", np.full((40, 48, 56), 7, np.int16))


def make_much_nan(folder: Path) -> Path:
    array = values()
    array[:20] = np.nan
    return save(folder / "x.nii", array)


def make_more_than_a_hundredth_infinite(folder: Path) -> Path:
    array = values()
    array.ravel()[:1076] = np.inf  # a hundredth of 107,520 voxels is 1075.2
    array.ravel()[5:900] = -np.inf
    return save(folder / "x.nii", array)


def make_singular(folder: Path) -> Path:
    path = save(folder / "x.nii", values())
    change_header(path, 252, "2h", 0, 2)  # no qform; sform below
    return change_header(path, 280, "12f", 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0)


def make_nan_affine(folder: Path) -> Path:
    path = save(folder / "x.nii", values())
    change_header(path, 252, "2h", 0, 2)
    return change_header(path, 280, "f", float("nan"))


def make_negative_extent(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 42, "h", -5)


def make_early_voxels(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 108, "f", 0)


def make_voxels_in_the_header(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 108, "f", 351)


def make_voxels_nowhere(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 108, "f", float("nan"))


def make_voxels_between_bytes(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 108, "f", 352.5)


def make_voxels_behind_the_stream(folder: Path) -> Path:
    plain = change_header(save(folder / "x.nii", values()), 108, "f", 4e5)
    (folder / "behind.nii.gz").write_bytes(gzip.compress(plain.read_bytes()))
    return folder / "behind.nii.gz"


def make_early_voxels_in_nifti_2(folder: Path) -> Path:
    nibabel.save(nibabel.Nifti2Image(values(), AFFINE), folder / "x.nii")
    return change_header(folder / "x.nii", 168, "q", 352)


def make_complex(folder: Path) -> Path:
    return save(folder / "x.nii", values().astype(np.complex64))


def make_label_map(folder: Path) -> Path:
    ids = np.zeros((90, 100, 110), np.int16)
    ids[10:80, 10:50, 10:100], ids[10:80, 50:90, 10:100] = 3, 42
    return save(folder / "x.nii", ids)


def make_noise(folder: Path) -> Path:
    return save(folder / "x.nii", np.abs(values((90, 100, 110)) - 200))


def make_pointer(folder: Path) -> Path:
    (folder / "x.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    return folder / "x.nii.gz"


def make_dangling_link(folder: Path) -> Path:
    (folder / "x.nii.gz").symlink_to(folder / ".git" / "annex" / "objects" / "gone")
    return folder / "x.nii.gz"


def make_folder(folder: Path) -> Path:
    (folder / "x.nii.gz").mkdir()
    return folder / "x.nii.gz"


def make_nothing(folder: Path) -> Path:
    save(folder / "sub-01_T1w.nii.gz", values())
    return folder / "sub-01_T1W.nii.gz"


def make_bare_folder(folder: Path) -> Path:
    (folder / "session").mkdir()
    (folder / "session" / "notes.txt").write_text("no image here")
    return folder / "session"


def make_pdf(folder: Path) -> Path:
    (folder / "x.nii.gz").write_bytes(b"%PDF-1.7\n" + bytes(700))
    return folder / "x.nii.gz"


def make_patient_bomb(folder: Path) -> Path:
    """A header that keeps its word: 195 MB of zeros in a fifth of a megabyte."""
    head = bytearray(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), AFFINE).header.binaryblock)
    struct.pack_into("<4h", head, 40, 3, 580, 580, 580)
    struct.pack_into("<f", head, 108, 352)
    path = folder / "bomb.nii.gz"
    with gzip.open(path, "wb", 9) as stream:
        stream.write(bytes(head) + bytes(4))
        for _ in range(580):
            stream.write(bytes(580 * 580))
    return path


def make_endless(folder: Path) -> Path:
    path = save(folder / "x.nii", values())
    (folder / "endless.nii.gz").write_bytes(gzip.compress(path.read_bytes() + bytes(20 << 20)))
    return folder / "endless.nii.gz"


def make_zero_extent(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 44, "h", 0)


def make_nan_spacing(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 80, "f", float("nan"))


def make_negative_spacing(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 80, "f", -1)


def make_late_voxels(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 108, "f", 1e6)


def make_colours(folder: Path) -> Path:
    return save(folder / "x.nii", np.zeros((40, 48, 56), [("R", "u1"), ("G", "u1"), ("B", "u1")]))


def make_unknown_type(folder: Path) -> Path:
    return change_header(save(folder / "x.nii", values()), 70, "h", 9999)


def make_single_voxel(folder: Path) -> Path:
    return save(folder / "x.nii", np.full((1, 1, 1), 700, np.int16))


def make_zeros(folder: Path) -> Path:
    return save(folder / "x.nii.gz", np.zeros((40, 48, 56), np.int16))


def make_short(folder: Path) -> Path:
    return save(folder / "x.nii", values(), np.diag([-1.0, 0.5, 1.0, 1.0]))


def make_mirrored_forms(folder: Path) -> Path:
    path = save(folder / "x.nii", values())
    change_header(path, 252, "2h", 1, 1)
    return change_header(path, 280, "12f", 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)


def make_slabs(folder: Path) -> Path:
    return save(folder / "x.nii", values(), np.diag([-1.0, 1.0, 7.5, 1.0]))


def make_analyze(folder: Path) -> Path:
    nibabel.save(nibabel.AnalyzeImage(values().astype(np.int16), AFFINE), folder / "x.img")
    return folder / "x.img"


BAD = [
    (1, make_nothing, 66, "not found; did you mean sub-01_T1w.nii.gz"),
    (2, make_folder, 66, "found 0"),
    (2, make_bare_folder, 66, "looked for NIfTI and MGZ images and DICOM files in it, found 0"),
    (3, make_empty, 65, "empty file"),
    (4, make_pointer, 66, "content was not downloaded"),
    (4, make_dangling_link, 66, "content was not downloaded"),
    (5, make_cut_gzip, 65, "cut off"),
    (5, make_cut_plain, 65, "cut off: expected"),
    (6, make_flipped_gzip, 65, ""),
    (6, make_wrong_checksum, 65, "checksum of the compressed stream does not match"),
    (8, make_text, 65, "is no NIfTI or MGZ image but text"),
    (8, make_pdf, 65, "but a PDF"),
    (8, make_archive, 65, "a zip archive; unpack it, and if it holds DICOM give its folder"),
    (9, make_huge_claim, 65, "30000"),
    (10, make_bomb, 65, "600"),
    (10, make_patient_bomb, 65, "no contrast"),
    (10, make_endless, 65, "the compressed stream goes on after the 430432 bytes that the header declares"),
    (11, make_negative_extent, 65, "impossible dimensions"),
    (11, make_zero_extent, 65, "impossible dimensions"),
    (11, make_nan_spacing, 65, "voxel spacing (pixdim) of nan"),
    (11, make_negative_spacing, 65, "voxel spacing (pixdim) of -1"),
    (12, make_early_voxels, 65, "vox_offset"),
    (12, make_voxels_in_the_header, 65, "cannot before byte 352"),
    (12, make_voxels_nowhere, 65, "voxels begin at byte nan (vox_offset)"),
    (12, make_voxels_between_bytes, 65, "voxels begin at byte 352.5 (vox_offset)"),
    (12, make_early_voxels_in_nifti_2, 65, "cannot before byte 544"),
    (12, make_late_voxels, 65, "cut off: expected"),
    (12, make_voxels_behind_the_stream, 65, "cut off: expected"),
    (13, make_complex, 65, "give the magnitude image"),
    (13, make_colours, 65, "colours (RGB)"),
    (13, make_unknown_type, 65, "unknown type 9999"),
    (15, make_four_dimensions, 65, "--frame K, 0 to 1"),
    (16, make_two_dimensions, 65, "neuronat needs a 3D volume"),
    (16, make_thin, 65, "field of view too small for a brain"),
    (16, make_short, 65, "field of view too small for a brain"),
    (17, make_constant, 65, "no contrast"),
    (17, make_zeros, 65, "no contrast"),
    (17, make_single_voxel, 65, "no contrast"),
    (19, make_much_nan, 65, "not a number"),
    (19, make_more_than_a_hundredth_infinite, 65, "1076 of 107520 voxels are not a number or infinite"),
    (24, make_singular, 65, "singular"),
    (24, make_nan_affine, 65, "not finite"),
    (25, make_mirrored_forms, 65, "mirror images of each other; decide with --use-form"),
    (31, make_slabs, 65, "slices thicker than 7 mm"),
    (39, make_noise, 65, "does not look like a human head: its voxels are as unlike as those of noise"),
    (41, make_label_map, 65, "is a label map or a mask"),
    (48, make_analyze, 65, "give --assume-orientation LAS"),
]


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [pytest.param(*rest, id=f"row-{row:02d}-{rest[0].__name__[5:]}") for row, *rest in BAD],
)
def test_a_bad_scan_gets_one_line_and_its_code_and_leaves_nothing(
    run, untrained_folder: Path, tmp_path: Path, make: Callable[[Path], Path], code: int, words: str
):
    (tmp_path / "in").mkdir()
    scan, out = make(tmp_path / "in"), tmp_path / "out"
    done = run("segment", scan, "-o", out, "--model", untrained_folder, "--quiet")
    assert (done.exit_code, done.stderr.count("\n"), done.stdout) == (code, 1, "")
    assert done.stderr.startswith(f"neuronat: {scan.name}: ")
    assert words in done.stderr
    assert str(tmp_path) not in done.stderr
    assert not out.exists()
    checked = run("check", scan)
    assert (checked.exit_code, checked.stderr) == (code, done.stderr)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mask, affine: (mask[:, :, :-1], affine), "the mask lies on 40 x 48 x 55 voxels"),
        (lambda mask, affine: (mask, affine + np.diag([0, 0, 1.0], 1)), "resample the mask to the scan"),
        (lambda mask, affine: (mask * 0, affine), "empty"),
        (lambda mask, affine: (mask + (np.arange(56) == 3), affine), "a mask holds 0 outside and one other value"),
    ],
)
def test_row_43_a_mask_that_does_not_fit_is_refused(
    run, phantom_files, untrained_folder: Path, tmp_path: Path, change: Callable, words: str
):
    image = nibabel.load(phantom_files.mask)
    array, affine = change(np.asarray(image.dataobj), image.affine)
    mask = save(tmp_path / "m.nii", array.astype(np.uint8), affine)
    options = ("--mask", mask, "--model", untrained_folder, "--force", "--quiet")
    done = run("segment", phantom_files.scan, "-o", tmp_path / "out", *options)
    assert (done.exit_code, done.stderr.count("\n")) == (65, 1)
    assert words in done.stderr
    assert not (tmp_path / "out").exists()
