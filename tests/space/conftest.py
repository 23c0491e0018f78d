"""Scans as files, whole or damaged on purpose."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

SHAPE = (40, 44, 52)
AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.0, 0.125, -25], [0, -0.125, 1.0, -20], [0, 0, 0, 1]])
NIFTI1 = {  # byte offset and struct format of the fields that tests change
    "dim0": (40, "<h"), "dim1": (42, "<h"), "dim2": (44, "<h"), "dim3": (46, "<h"), "dim4": (48, "<h"),
    "datatype": (70, "<h"), "bitpix": (72, "<h"), "qfac": (76, "<f"), "pixdim1": (80, "<f"), "pixdim3": (88, "<f"),
    "vox_offset": (108, "<f"), "scl_slope": (112, "<f"), "scl_inter": (116, "<f"), "xyzt_units": (123, "<b"),
    "descrip": (148, "<80s"), "qform_code": (252, "<h"), "sform_code": (254, "<h"), "quatern_b": (256, "<f"),
    "srow_x0": (280, "<f"), "srow_x3": (292, "<f"), "srow_y1": (300, "<f"), "magic": (344, "<4s"),
}  # fmt: skip


@pytest.fixture(scope="session")
def grey() -> np.ndarray:
    """Head-like int16 values: a smooth bump with noise, no two neighbours alike for long."""
    rng = np.random.default_rng(4)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    bump = 1500 * np.exp(-2 * (x**2 + 1.5 * y**2 + z**2)) + 30 * x
    return np.round(bump + rng.normal(0, 20, SHAPE)).clip(0).astype(np.int16)


@pytest.fixture
def nifti(tmp_path: Path, grey: np.ndarray) -> Callable[..., Path]:
    """Writes a NIfTI-1 file by nibabel, then changes header fields in its bytes."""

    def write(name: str = "scan.nii.gz", values: np.ndarray | None = None, **changes: object) -> Path:
        image = nibabel.Nifti1Image(grey if values is None else values, AFFINE)
        image.set_qform(AFFINE, 1)
        image.set_sform(AFFINE, 1)
        content = bytearray(image.to_bytes())
        for field, value in changes.items():
            offset, form = NIFTI1[field]
            struct.pack_into(form, content, offset, value)
        path = tmp_path / name
        path.write_bytes(gzip.compress(bytes(content), 1) if name.endswith("gz") else bytes(content))
        return path

    return write
