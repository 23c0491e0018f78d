"""Whatever a file's header claims, reading ends in a scan or in one of our errors, soon, and in one line."""

import gzip
import struct
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuronat.errors import MemoryShortError, MissingInputError, UnusableInputError
from neuronat.prepare.conform import plan_grid
from neuronat.space.files import read_volume, write_volume
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import Volume

SHAPE = (40, 42, 44)
SHORTS = st.sampled_from([-32768, -5, -1, 0, 1, 2, 3, 4, 7, 8, 16, 32, 64, 100, 128, 512, 1024, 30_000, 32_767])
FLOATS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-30, -2.0, 352.0, 353.0, 1e9, 3e38, np.inf, -np.inf, np.nan])
BYTES = st.integers(0, 255)
NIFTI1_SHORTS = (40, 42, 44, 46, 48, 50, 70, 72, 252, 254)  # dim, datatype, bitpix, form codes
NIFTI1_FLOATS = (76, 80, 84, 88, 108, 112, 116, *range(256, 328, 4))  # pixdim, offset, scaling, forms
MGH_INTS = (0, 4, 8, 12, 16, 20, 24)
MGH_FLOATS = tuple(range(30, 90, 4))


def changes(shorts, floats, n_bytes):
    """Up to four changes of a header: a field set to a nasty value, or any byte to any other."""
    one = st.one_of(
        st.tuples(st.sampled_from(shorts), st.just("h"), SHORTS),
        st.tuples(st.sampled_from(floats), st.just("f"), FLOATS),
        st.tuples(st.integers(0, n_bytes - 1), st.just("B"), BYTES),
    )
    return st.lists(one, min_size=1, max_size=4)


def contents() -> dict[str, bytes]:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 900, SHAPE).astype(np.int16)
    affine = np.array([[0, -1.0, 0.1, 20], [1.0, 0, 0, -25], [0, 0.1, 1.0, -20], [0, 0, 0, 1]])
    return {
        "nifti1": nibabel.Nifti1Image(values, affine).to_bytes(),
        "nifti2": nibabel.Nifti2Image(values, affine).to_bytes(),
        "mgh": nibabel.MGHImage(values, affine).to_bytes(),
    }


CONTENTS = contents()
CASES = st.one_of(
    st.tuples(st.just("nifti1"), st.just("<"), changes(NIFTI1_SHORTS, NIFTI1_FLOATS, 348)),
    st.tuples(st.just("nifti2"), st.just("<"), changes((12, 14), (4, 112), 540)),
    st.tuples(st.just("mgh"), st.just(">"), changes(MGH_INTS, MGH_FLOATS, 100)),
)


def read_changed(path: Path, case, is_compressed: bool, is_forced: bool) -> None:
    """Read a file with a changed header; all but a scan and our own errors is a failure."""
    kind, order, wanted = case
    content = bytearray(CONTENTS[kind])
    for offset, form, value in wanted:
        struct.pack_into(order + form, content, offset, value)
    path.write_bytes(gzip.compress(bytes(content), 1) if is_compressed else content)
    start = time.monotonic()
    try:
        scan = read_volume(path, ReadOptions(force=is_forced))
        plan_grid(scan.volume.affine, scan.volume.values.shape)
        assert np.isfinite(scan.volume.values).all()
        assert np.isfinite(scan.volume.affine).all()
        lines = scan.warnings
    except (UnusableInputError, MissingInputError, MemoryShortError) as error:
        lines = (str(error),)
    assert not any("\n" in line for line in lines)
    assert time.monotonic() - start < 20  # 2 s on a machine at rest; a test machine may be busy


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(CASES, st.booleans(), st.booleans())
def test_any_header_ends_in_a_scan_or_in_our_error(tmp_path_factory, case, is_compressed, is_forced):
    read_changed(tmp_path_factory.mktemp("law") / "scan.nii.gz", case, is_compressed, is_forced)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CASES, st.booleans(), st.booleans())
def test_any_of_many_headers_ends_in_a_scan_or_in_our_error(tmp_path_factory, case, is_compressed, is_forced):
    path = tmp_path_factory.mktemp("law") / "scan.nii.gz"
    read_changed(path, case, is_compressed, is_forced)
    path.unlink()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.binary(max_size=700), st.sampled_from(["a.nii", "a.nii.gz", "a.mgz", "a.img"]))
def test_any_bytes_end_in_our_error(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("law") / name
    path.write_bytes(content)
    with pytest.raises((UnusableInputError, MissingInputError), match=f"^{name}: .*; .*") as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.sampled_from(["a.nii", "a.nii.gz", "a.mgz"]), st.lists(st.floats(-1, 1), min_size=12, max_size=12))
def test_values_and_affine_survive_writing_and_reading(tmp_path_factory, name, numbers):
    matrix = np.eye(4)
    matrix[:3] = np.float32(np.eye(3, 4) * 2 + 0.3 * np.array(numbers).reshape(3, 4))
    values = np.random.default_rng(3).normal(size=(33, 34, 35)).astype(np.float32)
    path = tmp_path_factory.mktemp("law") / name
    write_volume(path, Volume(values, matrix))
    scan = read_volume(path, ReadOptions(force=True))
    np.testing.assert_array_equal(scan.volume.values, values)
    np.testing.assert_allclose(scan.volume.affine, matrix, atol=0 if "nii" in name else 1e-4)
