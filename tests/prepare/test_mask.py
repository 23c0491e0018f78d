import os
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import GridError, UnusableInputError
from neuronat.prepare.mask import (
    inspect_background,
    is_raw_head,
    require_mask,
    require_stripped_mask,
)
from neuronat.space.files import read_mask, read_volume
from neuronat.space.volume import Volume

AFFINE = np.diag([-3.0, 3.0, 3.0, 1.0])  # three millimetres make a phantom of 40 x 48 x 56 as large as a brain
DATA = Path(os.environ.get("NEURONAT_DATA", "/nowhere"))


@pytest.fixture
def brain(phantom) -> Volume:
    return Volume(phantom[0].values.copy(), AFFINE)


@pytest.fixture
def head(brain, rng) -> Volume:
    """A bright shell around the brain, dark bone between, and an exact background of 0."""
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in brain.values.shape), indexing="ij")
    radius = np.sqrt(i**2 + j**2 + k**2)
    values = np.where(brain.values > 0, brain.values, rng.uniform(1, 20, brain.values.shape))
    values[(radius > 0.97) & (brain.values == 0)] = 1500
    values[radius > 1.1] = 0
    return Volume(values.astype(np.float32), AFFINE)


def test_a_stripped_brain_is_found_whole(brain, phantom):
    found = inspect_background(brain)
    assert found.objection == ""
    np.testing.assert_array_equal(found.mask, phantom[2])
    np.testing.assert_array_equal(require_stripped_mask(brain), phantom[2])


@pytest.mark.parametrize(("factor", "summand"), [(1.0, -700.0), (0.01, 5.0), (2.0, 0.0)])
def test_the_background_may_be_any_one_value(brain, phantom, factor, summand):
    found = inspect_background(Volume(brain.values * np.float32(factor) + np.float32(summand), AFFINE))
    assert found.objection == ""
    np.testing.assert_array_equal(found.mask, phantom[2])


def test_a_normalized_brain_around_a_background_of_zero_is_found(brain, phantom):
    inside = brain.values[phantom[2]]
    values = np.where(phantom[2], (brain.values - np.percentile(inside, 30) + 0.123) / inside.std(), 0).astype(
        np.float32
    )
    found = inspect_background(Volume(values, AFFINE))
    assert found.objection == ""
    np.testing.assert_array_equal(found.mask, phantom[2])


def test_holes_are_filled_and_islets_dropped(brain, phantom):
    brain.values[18:21, 22:25, 30:33] = 0
    brain.values[1:4, 2:5, 51:54] = 900
    found = inspect_background(brain)
    assert found.objection == ""
    np.testing.assert_array_equal(found.mask, phantom[2])


def test_large_separate_parts_stay(brain):
    brain.values[:, :, 18] = 0
    mask = inspect_background(brain).mask
    assert mask[:, :, :18].any()
    assert mask[:, :, 19:].any()


def test_a_raw_head_is_refused_with_the_way_out(head):
    with pytest.raises(UnusableInputError, match=r"ml are not background.*or give a brain mask with --mask"):
        require_stripped_mask(Volume(head.values, np.diag([-3.6, 3.6, 3.6, 1.0])))


def test_dark_bone_gives_a_small_head_away(head):
    small = Volume(head.values, np.diag([2.0, 2.0, 2.0, 1.0]))
    assert "is as dark as bone or air" in inspect_background(small).objection
    with pytest.raises(UnusableInputError, match="is as dark as bone or air"):
        require_stripped_mask(small)
    np.testing.assert_array_equal(require_stripped_mask(small, is_declared=True), inspect_background(small).mask)


def test_noise_in_the_background_is_a_raw_head(brain, rng):
    noisy = Volume(brain.values + rng.normal(0, 5, brain.values.shape).astype(np.float32), AFFINE)
    with pytest.raises(UnusableInputError, match="its background is not one exact value"):
        require_stripped_mask(noisy)


def test_a_raw_head_is_more_than_a_brain(brain, head, phantom, rng):
    assert not is_raw_head(brain)
    assert is_raw_head(Volume(head.values, np.diag([-3.6, 3.6, 3.6, 1.0])))
    assert is_raw_head(Volume(brain.values + rng.normal(0, 5, brain.values.shape).astype(np.float32), AFFINE))
    assert not is_raw_head(phantom[0])  # 35 ml: no head either


def test_the_small_phantom_needs_force(phantom):
    with pytest.raises(UnusableInputError, match="35 ml are not background, and a brain has 500 to 2200 ml"):
        require_stripped_mask(phantom[0])
    with pytest.raises(UnusableInputError, match="what is not background has 35 ml"):
        require_stripped_mask(phantom[0], is_declared=True)
    np.testing.assert_array_equal(require_stripped_mask(phantom[0], force=True), phantom[2])


def test_a_given_mask_is_taken_as_it_is(brain, phantom):
    mask = phantom[2].copy()
    mask[20, 24, 28] = False
    np.testing.assert_array_equal(require_mask(Volume(mask.astype(np.float32), AFFINE), brain), mask)


def test_a_given_mask_must_fit_the_scan(brain, phantom):
    mask = phantom[2].astype(np.float32)
    with pytest.raises(GridError, match=r"mask lies on 40 x 48 x 56 voxels of 3 x 3 x 3 mm, RAS.*the scan on .*LAS"):
        require_mask(Volume(mask, np.diag([3.0, 3.0, 3.0, 1.0])), brain)
    with pytest.raises(GridError, match="resample the mask to the scan"):
        require_mask(Volume(mask[:-1], AFFINE), brain)
    with pytest.raises(UnusableInputError, match="the mask is empty"):
        require_mask(Volume(0 * mask, AFFINE), brain)
    with pytest.raises(UnusableInputError, match=r"covers no contrast \(every voxel is 0\)"):
        require_mask(Volume(1 - mask, AFFINE), brain)
    half = mask.copy()
    half[:, :, 22:] = 0
    with pytest.raises(UnusableInputError, match=r"the mask has \d+ ml, and a brain has 500 to 2200 ml; check it"):
        require_mask(Volume(half, AFFINE), brain)
    np.testing.assert_array_equal(require_mask(Volume(half, AFFINE), brain, force=True), half)


@pytest.mark.parametrize(("n_voxels", "is_brain"), [(499, False), (501, True), (2199, True), (2201, False)])
def test_a_brain_has_500_to_2200_ml(rng, n_voxels: int, is_brain: bool):
    values = np.zeros((24, 26, 28), np.float32)
    inside = np.zeros(values.shape, bool)
    inside[2:22, 3:14, 4:19] = True
    inside.reshape(-1)[np.flatnonzero(inside)[n_voxels:]] = False
    values[inside] = rng.uniform(100, 200, n_voxels)
    scan = Volume(values, np.diag([-10.0, 10.0, 10.0, 1.0]))  # a voxel has 1 ml
    found = inspect_background(scan)
    np.testing.assert_array_equal(found.mask, inside)
    assert (found.objection == "") == is_brain
    given = Volume(inside.astype(np.float32), scan.affine)
    if is_brain:
        np.testing.assert_array_equal(require_mask(given, scan), inside)
    else:
        with pytest.raises(UnusableInputError, match=rf"the mask has {n_voxels} ml, and a brain has 500 to 2200 ml"):
            require_mask(given, scan)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_hollow_that_is_open_on_any_side_is_not_filled(axis: int):
    along = np.linspace(-12, 12, 25)
    radius = np.sqrt(along[:, None] ** 2 + along**2)
    tube = np.broadcast_to((radius > 4) & (radius < 9), (25, 25, 25))
    tube = np.moveaxis(tube, 0, axis)  # open at both ends of this axis alone
    found = inspect_background(Volume(np.where(tube, 100, 0).astype(np.float32), AFFINE))
    np.testing.assert_array_equal(found.mask, tube)


def test_dark_bone_gives_a_head_away_whatever_the_background(head):
    objections = {inspect_background(Volume(head.values + summand, AFFINE)).objection for summand in (0, 1000, -300)}
    assert len(objections) == 1
    assert "as dark as bone or air" in objections.pop()


def scans_of_malc() -> list[Path]:
    return sorted((DATA / "malc").glob("*/anat/*_desc-brain_T1w.nii.gz"))


@pytest.mark.data
@pytest.mark.slow
def test_all_stripped_scans_are_recognised_and_agree_with_their_masks():
    if not scans_of_malc():
        pytest.skip("NEURONAT_DATA holds no malc folder")
    for path in scans_of_malc():
        found = inspect_background(read_volume(path).volume)
        given = read_mask(Path(str(path).replace("T1w", "mask"))).values > 0
        dice = 2 * np.count_nonzero(found.mask & given) / (np.count_nonzero(found.mask) + np.count_nonzero(given))
        assert found.objection == "", path.name
        assert dice > 0.999, path.name


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ms01/T1w", "ms01/T2w", "ms01/FLAIR", "ms12/T1w", "studyforrest/T1w"])
def test_raw_heads_are_refused(name):
    path = DATA / "heads" / f"{name}.nii.gz"
    if not path.exists():
        pytest.skip(f"NEURONAT_DATA holds no heads/{name}")
    with pytest.raises(UnusableInputError, match=r"is not a skull-stripped brain.*give a brain mask with --mask"):
        require_stripped_mask(read_volume(path).volume)


@pytest.mark.data
def test_the_artificial_spheres_beside_a_stripped_brain_are_dropped():
    path = DATA / "heads" / "philips" / "brain.nii.gz"
    if not path.exists():
        pytest.skip("NEURONAT_DATA holds no heads/philips")
    scan = read_volume(path).volume
    found = inspect_background(scan)
    assert found.objection == ""
    np.testing.assert_allclose(
        np.count_nonzero((scan.values > 0) & ~found.mask), 7100, atol=300
    )  # two spheres of 5.0 and 2.1 ml
