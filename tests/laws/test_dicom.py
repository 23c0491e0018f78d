"""Whatever bytes a DICOM file holds, reading its folder ends in a scan or in one of our errors."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from neuronat.errors import NeuronatError
from neuronat.space.reading import read_scan
from neuronat.space.scan import ReadOptions, Scan


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A series of a noisy block, 32 slices of 33 x 34."""
    write = request.getfixturevalue("dicom_writer")
    values = np.random.default_rng(3).integers(0, 900, (33, 34, 32)).astype(np.int16)
    return write(tmp_path_factory.mktemp("dicom") / "series", values, np.diag([-2.0, 2.0, 2.0, 1.0]))


DAMAGE = st.lists(st.tuples(st.integers(0, 31), st.integers(0, 1400), st.integers(0, 255)), min_size=1, max_size=6)


def scan_or_error(folder: Path, options: ReadOptions) -> Scan | NeuronatError:
    try:
        return read_scan(folder, options)
    except NeuronatError as error:
        return error


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(DAMAGE, st.sampled_from([None, None, 0, 131, 200, 900]), st.booleans())
def test_any_damage_ends_in_a_scan_or_in_our_error(whole: Path, damage, cut: int | None, is_forced: bool):
    with tempfile.TemporaryDirectory() as private:
        folder = Path(shutil.copytree(whole, Path(private, "series")))
        files = sorted(folder.iterdir())
        for number, at, byte in damage:
            content = bytearray(files[number].read_bytes())
            content[at : at + 1] = bytes([byte])
            files[number].write_bytes(content[: cut if number == damage[0][0] else None])
        found = scan_or_error(folder, ReadOptions(force=is_forced))
        if isinstance(found, NeuronatError):
            assert str(found).startswith("series: ")
            assert "\n" not in str(found)
        else:
            assert np.isfinite(found.volume.values).all()
            assert found.name == "series"
