import tempfile
import warnings

import numpy as np
import pytest

from neuronat.errors import UnusableInputError
from neuronat.phantom import make_phantom
from neuronat.prepare.registration import register_atlas

SHIFT = (2, -1, 1)


@pytest.fixture(scope="module")
def ants():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("ants", reason="antspyx of the extra tools is not installed")


@pytest.fixture(scope="module")
def scan():
    volume, labels, _ = make_phantom((26, 30, 34))
    return volume.values / 1000, labels.ids


def moved(values):
    return np.roll(np.pad(values, ((2, 2), (1, 1), (0, 2))), SHIFT, (0, 1, 2))


@pytest.mark.usefixtures("ants")
def test_an_atlas_on_another_grid_comes_to_lie_on_the_scan_and_again_so(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    grey, ids = scan
    first, again = (register_atlas(grey, moved(grey), moved(ids), "fast") for _ in range(2))
    assert (first[0].dtype, first[0].shape, first[1].dtype, first[1].shape) == (
        np.dtype(np.float32),
        grey.shape,
        np.dtype(np.uint8),
        grey.shape,
    )
    assert (first[1] == ids)[ids > 0].mean() > 0.97  # a shift by whole voxels can be undone; 0.4 agree without
    assert np.abs(first[0] - grey).mean() < 0.02
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_what_cannot_be_registered_is_said(ants, scan, monkeypatch):
    def fail(**_):
        raise RuntimeError("error code 1")

    monkeypatch.setattr(ants, "registration", fail)
    with pytest.raises(UnusableInputError, match=r"cannot be registered \(error code 1\); leave it out"):
        register_atlas(scan[0], scan[0], scan[1], "fast")
