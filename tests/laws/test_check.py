"""Whatever bytes a file holds, checking it ends in findings or in one line of ours: soon, and in little memory."""

import gzip
import io
import struct
import tempfile
import time
import tracemalloc
from pathlib import Path

import hypothesis.strategies as st
import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from neuronat.errors import NeuronatError
from neuronat.pipeline.inspect import Inspection, inspect_scan
from neuronat.pipeline.settings import SegmentConfig
from neuronat.space.scan import ReadOptions

SHAPE = (40, 42, 44)
MOST_S, MOST_BYTES = 2, 1 << 30
SHORTS = st.sampled_from([-32768, -5, -1, 0, 1, 2, 3, 4, 7, 8, 16, 40, 128, 512, 1024, 30000, 32767])
INTS = st.sampled_from([-(2**31), -5, -1, 0, 1, 2, 3, 4, 7, 40, 44, 352, 30000, 2**20, 2**31 - 1])
LONGS = st.sampled_from([-(2**63), -5, -1, 0, 1, 2, 3, 4, 7, 40, 44, 544, 30000, 2**31, 2**40, 2**63 - 1])
FLOATS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 352.0, 1e-30, 1e30, -1e9, 3e38, np.nan, np.inf, -np.inf])
NUMBERS = {"h": SHORTS, "i": INTS, "q": LONGS, "f": FLOATS, "d": FLOATS, "B": st.integers(0, 255)}
FIELDS = {  # offset and type of the fields that readers trust, after the definition of each format
    "nifti1": [(40, "8h"), (70, "2h"), (76, "8f"), (108, "3f"), (123, "B"), (252, "2h"), (256, "18f")],
    "nifti2": [(12, "2h"), (16, "8q"), (104, "8d"), (168, "q"), (176, "2d"), (352, "18d")],
    "analyze": [(40, "8h"), (70, "2h"), (76, "8f"), (108, "3f"), (252, "B"), (344, "4B")],
    "mgh": [(4, "4i"), (20, "2i"), (28, "h"), (30, "15f")],
}  # fmt: skip
NAMES = {"nifti1": "x.nii", "nifti2": "x.nii", "analyze": "x.hdr", "mgh": "x.mgh"}


def make_whole() -> dict[str, bytes]:
    """The content of each format: a noisy block with background."""
    values = np.zeros(SHAPE, np.int16)
    values[5:35, 5:37, 5:39] = np.random.default_rng(3).integers(100, 900, (30, 32, 34))
    affine = np.array([[0, -1.0, 0.1, 20], [1.0, 0, 0, -25], [0, 0.1, 1.0, -20], [0, 0, 0, 1]])
    analyze = io.BytesIO()
    nibabel.AnalyzeImage(values, np.diag([-1.0, 1, 1, 1])).header.write_to(analyze)
    return {
        "nifti1": nibabel.Nifti1Image(values, affine).to_bytes(),
        "nifti2": nibabel.Nifti2Image(values, affine).to_bytes(),
        "mgh": nibabel.MGHImage(values, affine).to_bytes(),
        "analyze": analyze.getvalue(),
    }


WHOLE = make_whole()
VOXELS = WHOLE["nifti1"][352:]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes, bool]:
    """A format, its content with a few fields and bytes changed and perhaps cut, and whether it is compressed."""
    kind = draw(st.sampled_from(sorted(WHOLE)))
    content = bytearray(WHOLE[kind])
    order = ">" if kind == "mgh" else "<"
    for _ in range(draw(st.integers(0, 3))):
        offset, form = draw(st.sampled_from(FIELDS[kind]))
        count, letter = int(form[:-1] or 1), form[-1]
        at = offset + draw(st.integers(0, count - 1)) * struct.calcsize(order + letter)
        struct.pack_into(order + letter, content, at, draw(NUMBERS[letter]))
    for _ in range(draw(st.integers(0, 2))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    kept = draw(st.sampled_from([None] * 12 + [-7, 352, 347, 100, 3]))
    is_packed = draw(st.booleans())
    stored = gzip.compress(bytes(content[:kept]), 1) if is_packed else bytes(content[:kept])
    if is_packed and draw(st.integers(0, 7)) == 0:
        broken = bytearray(stored)
        broken[draw(st.integers(0, len(stored) - 1))] ^= 1 << draw(st.integers(0, 7))
        stored = bytes(broken)
    return kind, stored, is_packed


def findings_or_error(path: Path, config: SegmentConfig) -> Inspection | NeuronatError:
    try:
        return inspect_scan(path, config)
    except NeuronatError as error:
        return error


def require_findings_or_error(case: tuple[str, bytes, bool], *, force: bool) -> Inspection | NeuronatError:
    """Check a damaged file; anything but findings or an error of ours, in time and memory, is a failure."""
    kind, stored, is_packed = case
    reading = ReadOptions(force=force, assume_orientation="LAS" if kind == "analyze" else None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NAMES[kind] + (".gz" if is_packed else ""))
        path.write_bytes(stored)
        if kind == "analyze":
            Path(folder, "x.img").write_bytes(VOXELS)
        names = sorted(p.name for p in Path(folder).iterdir())
        tracemalloc.start()
        start_s = time.process_time()
        try:
            found = findings_or_error(path, SegmentConfig(force=force, reading=reading))
            assert time.process_time() - start_s < 2 * MOST_S  # tracing memory doubles the time
            assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
        finally:
            tracemalloc.stop()
        lines = found.scan.warnings if isinstance(found, Inspection) else (str(found),)
        assert not any("\n" in line for line in lines)
        if isinstance(found, Inspection):
            assert np.isfinite(found.scan.volume.values).all()
            assert np.isfinite(found.scan.volume.affine).all()
        else:
            assert str(found).startswith(("x.nii", "x.hdr", "x.img", "x.mgh"))
        assert sorted(p.name for p in Path(folder).iterdir()) == names
    return found


def test_what_is_whole_is_found_usable_when_forced():
    for kind, content in WHOLE.items():
        found = require_findings_or_error((kind, content, False), force=True)
        assert isinstance(found, Inspection), kind
        assert found.refusal is None, kind
        assert found.scan.volume.values.shape == SHAPE


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(damaged(), st.booleans())
def test_any_damage_ends_in_findings_or_an_error_of_ours(case, is_forced: bool):
    require_findings_or_error(case, force=is_forced)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged(), st.booleans())
def test_any_of_many_damages_ends_in_findings_or_an_error_of_ours(case, is_forced: bool):
    require_findings_or_error(case, force=is_forced)
