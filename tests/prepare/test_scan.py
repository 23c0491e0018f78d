import numpy as np
import pytest
from numpy.typing import NDArray

from neuronat.errors import GridError, UnusableInputError
from neuronat.prepare.scan import crop_box, prepare_scan, uncrop
from neuronat.space.volume import Volume

SHAPE = (40, 48, 56)
CENTRE = np.array([18.0, 25.0, 27.0])


def radii(shape: tuple[int, int, int], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from the centre of an ellipsoid, 1 on its surface."""
    grid = np.stack(np.indices(shape), -1) - centre
    return np.sqrt(((grid / [14.0, 17.0, 21.0]) ** 2).sum(-1))


@pytest.fixture
def brain(rng: np.random.Generator) -> tuple[Volume, NDArray[np.bool_]]:
    """White matter 900 inside, grey matter 600 around it, CSF 300 outermost; in RAS, 1 mm."""
    radius = radii(SHAPE, CENTRE)
    mask = radius < 1
    values = np.select([radius < 0.62, radius < 0.93, mask], [900.0, 600.0, 300.0], 0.0)
    values[mask] += rng.normal(0, 20, mask.sum())
    affine = np.eye(4)
    affine[:3, 3] = [-11, 7, 5]
    return Volume(values.astype(np.float32), affine), mask


def test_tissues_reach_their_values_and_nothing_is_outside(brain: tuple[Volume, NDArray[np.bool_]]):
    volume, mask = brain
    prepared = prepare_scan(volume, mask)
    whole = uncrop(prepared.intensities, prepared)
    radius = radii(SHAPE, CENTRE)
    # the noise and N4's smooth field move a tissue's median by a few hundredths
    np.testing.assert_allclose(np.median(whole[radius < 0.55]), 1.0, atol=0.05)
    np.testing.assert_allclose(np.median(whole[(radius > 0.7) & (radius < 0.9)]), 0.65, atol=0.05)
    np.testing.assert_array_equal(whole[~mask], 0)
    np.testing.assert_array_equal(uncrop(prepared.mask, prepared), mask)


def test_the_crop_keeps_its_place_in_the_world(brain: tuple[Volume, NDArray[np.bool_]]):
    volume, mask = brain
    prepared = prepare_scan(volume, mask)
    # spans 5..31, 9..41, 7..47 (open ends at exactly 14, 17 and 21 voxels), two more on each side
    assert [(edge.start, edge.stop) for edge in prepared.box] == [(3, 34), (7, 44), (5, 50)]
    np.testing.assert_allclose(prepared.affine[:3, 3], [-11 + 3, 7 + 7, 5 + 5])
    assert prepared.intensities.shape == (31, 37, 45)


def test_flipped_and_permuted_scans_give_the_same_crop(brain: tuple[Volume, NDArray[np.bool_]]):
    volume, mask = brain
    # stored k, i, j with i and k reversed
    stored, stored_mask = (np.ascontiguousarray(a[::-1, :, ::-1].transpose(2, 0, 1)) for a in (volume.values, mask))
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = -1, -1, 1, 1
    affine[:3, 3] = [-11 + 39, 7, 5 + 55]
    first, second = prepare_scan(volume, mask), prepare_scan(Volume(stored, affine), stored_mask)
    np.testing.assert_array_equal(second.intensities, first.intensities)
    np.testing.assert_array_equal(second.mask, first.mask)
    np.testing.assert_allclose(second.affine, first.affine)


def test_a_positive_factor_and_a_constant_change_nothing_that_matters(
    brain: tuple[Volume, NDArray[np.bool_]],
):
    volume, mask = brain
    changed = Volume(np.float32(0.25) * volume.values - np.float32(64), volume.affine)
    first, second = prepare_scan(volume, mask), prepare_scan(changed, mask)
    # exact in real numbers; float32 rounding goes through N4's optimizer
    np.testing.assert_allclose(second.intensities, first.intensities, atol=2e-3)


def test_a_mask_that_does_not_fit_or_is_empty_is_refused(brain: tuple[Volume, NDArray[np.bool_]]):
    volume, mask = brain
    with pytest.raises(GridError, match=r"the mask has \(39, 48, 56\) voxels, the scan \(40, 48, 56\)"):
        prepare_scan(volume, mask[1:])
    with pytest.raises(UnusableInputError, match="the brain mask is empty on the grid of 40 x 48 x 56"):
        prepare_scan(volume, np.zeros_like(mask))


def test_grey_values_of_one_kind_are_prepared_in_doubt_if_forced(brain, rng):
    volume, mask = brain
    noise = Volume(rng.normal(500, 80, mask.shape).astype(np.float32), volume.affine)
    with pytest.raises(UnusableInputError, match="cannot be told apart"):
        prepare_scan(noise, mask)
    prepared = prepare_scan(noise, mask, force=True)
    (doubt,) = prepared.doubts
    assert "cannot be told apart" in doubt
    assert 0.5 < np.median(prepared.intensities[prepared.mask]) < 1.0
    assert prepare_scan(volume, mask, force=True).doubts == ()


def test_the_box_stops_at_the_border():
    mask = np.zeros((5, 9, 7), bool)
    mask[0, 4, 6] = True
    assert [(edge.start, edge.stop) for edge in crop_box(mask)] == [(0, 3), (2, 7), (4, 7)]
