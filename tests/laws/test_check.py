"""Whatever a header says, checking a scan ends in findings or in one of our errors, soon."""

import gzip
import struct
import tempfile
import time
from pathlib import Path

import hypothesis.strategies as st
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings

from neuronat.errors import NeuronatError
from neuronat.pipeline.inspect import Inspection, inspect_scan
from neuronat.pipeline.settings import SegmentConfig

FIELDS = {  # offset and type of the NIfTI-1 fields that readers trust
    "dim": (40, "8h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scaling": (112, "2f"),
    "units": (123, "B"),
    "codes": (252, "2h"),
    "qform": (256, "6f"),
    "sform": (280, "12f"),
    "magic": (344, "4B"),
}
SHORTS = st.sampled_from([-32768, -5, -1, 0, 1, 2, 3, 4, 7, 40, 48, 56, 512, 30000, 32767])
FLOATS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, 352.0, 1e-30, 1e30, -1e9, float("nan"), float("inf")])
BYTES = st.integers(0, 255)


@pytest.fixture(scope="module")
def whole() -> bytes:
    """A plain NIfTI-1 file of a noisy block with background."""
    values = np.zeros((40, 48, 56), np.int16)
    values[5:35, 5:43, 5:51] = np.random.default_rng(3).integers(100, 900, (30, 38, 46))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.nii"
        nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, 1.0, 1.0, 1.0])), path)
        return path.read_bytes()


@st.composite
def changes(draw: st.DrawFn) -> tuple[int, str, tuple[float, ...]]:
    offset, kind = FIELDS[draw(st.sampled_from(sorted(FIELDS)))]
    count, letter = int(kind[:-1] or 1), kind[-1]
    numbers = {"h": SHORTS, "f": FLOATS, "B": BYTES}[letter]
    start = draw(st.integers(0, count - 1))
    size = struct.calcsize(letter)
    return offset + start * size, letter, (draw(numbers),)


def findings_or_error(path: Path) -> Inspection | NeuronatError:
    try:
        return inspect_scan(path, SegmentConfig())
    except NeuronatError as error:
        return error


@settings(max_examples=60, deadline=None)
@given(
    mutations=st.lists(changes(), min_size=1, max_size=4), is_packed=st.booleans(), cut=st.sampled_from([0, 0, 0, 7])
)
def test_any_header_ends_in_findings_or_an_error_of_ours(whole: bytes, mutations, is_packed: bool, cut: int):
    content = bytearray(whole)
    for offset, letter, numbers in mutations:
        struct.pack_into("<" + letter, content, offset, *numbers)
    stored = gzip.compress(bytes(content), 1) if is_packed else bytes(content)
    stored = stored[: len(stored) - cut]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x.nii.gz" if is_packed else "x.nii")
        path.write_bytes(stored)
        start_s = time.process_time()
        found = findings_or_error(path)
        if isinstance(found, NeuronatError):
            assert str(found).startswith(path.name)
            assert "\n" not in str(found)
        else:
            assert np.isfinite(found.scan.volume.values).all()
        assert time.process_time() - start_s < 2
        assert [p.name for p in Path(folder).iterdir()] == [path.name]
