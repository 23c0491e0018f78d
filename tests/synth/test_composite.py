import numpy as np
import pytest
import torch

from neuronat.errors import UnusableInputError
from neuronat.labels import load_scheme
from neuronat.space.volume import LabelMap
from neuronat.synth.composite import composite
from neuronat.synth.specimen import write_specimen

AIR, SCALP, SKULL, FLUID = 0, 511, 515, 24


@pytest.fixture(scope="module")
def head():
    """Four ellipsoids around each other, 1 mm, stored from front to back and from above to below."""
    i, j, k = np.indices((66, 60, 70))
    reach = np.sqrt(((i - 33) / 30) ** 2 + ((j - 30) / 27) ** 2 + ((k - 36) / 31) ** 2)
    ids = np.select([reach < 0.7, reach < 0.75, reach < 0.85, reach < 1], [2, FLUID, SKULL, SCALP], AIR)
    affine = np.array([[0.0, 0, 1, -30], [-1, 0, 0, 40], [0, -1, 0, 25], [0, 0, 0, 1]])
    return LabelMap(ids.astype(np.int32), affine, load_scheme("wholehead"))


def made(specimen, head, seed=2):
    return composite(specimen, head, torch.Generator().manual_seed(seed))


def middle_mm(labels):
    return labels.affine[:3, :3] @ np.argwhere(labels.ids == 11).mean(0) + labels.affine[:3, 3]


def test_the_brain_stays_where_it_is_voxel_by_voxel(specimen, head):
    raw = made(specimen, head)
    assert raw.is_raw
    assert raw.mask.sum() == specimen.mask.sum()
    np.testing.assert_allclose(middle_mm(raw.labels), middle_mm(specimen.labels))
    np.testing.assert_array_equal(np.bincount(raw.labels.ids.ravel())[1:], np.bincount(specimen.labels.ids.ravel())[1:])
    np.testing.assert_array_equal(np.sign(np.diag(raw.volume.affine)), 1)
    deep = specimen.labels.ids == 41, raw.labels.ids == 41
    ratio = np.median(raw.volume.values[deep[1]]) / np.median(specimen.volume.values[deep[0]])
    assert 0.8 < ratio < 1.25  # the shading


def test_fluid_skull_and_scalp_lie_around_it(specimen, head):
    raw = made(specimen, head)
    assert all(a > b for a, b in zip(raw.mask.shape, specimen.mask.shape, strict=True))
    i, j, k = (int(n) for n in np.argwhere(raw.mask).mean(0))
    outwards = raw.volume.values[i, j:, k]
    beyond = outwards[np.flatnonzero(raw.mask[i, j:, k])[-1] + 1 :]
    white = specimen.levels[2]
    assert beyond.max() > 0.5 * white  # the scalp
    assert beyond[: int(beyond.argmax())].min() < 0.4 * white  # fluid and skull before it
    assert beyond[-2:].max() < 0.15 * white  # air


def test_what_is_loose_in_the_mask_is_left_out(specimen, head):
    loose = specimen.mask.copy()
    loose[0:2, 0:2, 0:2] = True
    assert not specimen.mask[0:3, 0:3, 0:3].any()
    tablet = made(type(specimen)(**{**vars(specimen), "mask": loose}), head)
    assert tablet.mask.sum() == specimen.mask.sum()


def test_a_seed_gives_the_same_head_again(specimen, head):
    first, again, other = made(specimen, head), made(specimen, head), made(specimen, head, 3)
    np.testing.assert_array_equal(first.volume.values, again.volume.values)
    assert np.abs(first.volume.values - other.volume.values).max() > 1


def test_the_scan_of_a_raw_head_is_not_called_a_brain(specimen, head, tmp_path):
    scan, mask, _ = write_specimen(made(specimen, head), tmp_path, "sub-01_acq-composite03")
    assert (scan.name, mask.name) == (
        "sub-01_acq-composite03_T1w.nii.gz",
        "sub-01_acq-composite03_desc-brain_mask.nii.gz",
    )


def test_a_head_without_a_brain_is_refused(specimen, head):
    empty = LabelMap(np.where(head.ids == 2, SKULL, head.ids), head.affine, head.scheme)
    with pytest.raises(UnusableInputError, match="holds no brain; give a whole head"):
        made(specimen, empty)
