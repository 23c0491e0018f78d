from itertools import product

import numpy as np
import pytest

from neuronat.errors import LabelError, ShapeError
from neuronat.labels.scheme import LabelScheme
from neuronat.measure.surface import (
    grid_diagonal_mm,
    surface_distances,
    surface_per_structure,
    surface_voxels,
)

FOUR = LabelScheme("four", (0, 7, 3, 900), ("none", "a", "b", "c"), ("#000000",) * 4, (0, 3, 7, 900))
ANISOTROPIC = np.array([[-0.5, 0, 0, 40], [0, 2.0, 0, -7], [0, 0, 3.0, 11], [0, 0, 0, 1]])


def turned(spacing, *, shear=0.0):
    """An affine that turns by 20 degrees about z and 30 about x; `shear` tilts the first axis."""
    a, b = np.radians(20), np.radians(30)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.array([[1, shear, 0], [0, 1, 0], [0, 0, 1]]) @ np.diag(spacing)
    affine[:3, 3] = [5, -80, 31]
    return affine


def slow_distances(predicted, reference, affine):
    """Both distances by comparing all pairs of surface voxels in the world."""

    def surface_mm(mask):
        points = []
        for ijk in np.argwhere(mask):
            for axis, step in product(range(3), (-1, 1)):
                near = ijk.copy()
                near[axis] += step
                is_beyond = near[axis] < 0 or near[axis] >= mask.shape[axis]
                if is_beyond or not mask[tuple(near)]:
                    points.append(affine[:3, :3] @ ijk + affine[:3, 3])
                    break
        return np.array(points)

    first, second = surface_mm(predicted), surface_mm(reference)
    pairs = np.linalg.norm(first[:, None] - second[None], axis=2)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    hd95 = max(np.quantile(there, 0.95), np.quantile(back, 0.95))
    return [hd95, np.concatenate([there, back]).mean()]


@pytest.mark.parametrize("affine", [ANISOTROPIC, turned([1.0, 0.7, 2.5]), turned([1.0, 0.7, 2.5], shear=0.3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_distances_agree_with_all_pairs_on_any_grid(affine, seed):
    rng = np.random.default_rng(seed)
    blobs = []
    for _ in range(2):
        grid = np.indices((11, 9, 13)) - rng.uniform(3.5, 6.5, (3, 1, 1, 1))
        blobs.append((grid**2).sum(axis=0) < rng.uniform(6, 30))
    found = surface_distances(*blobs, affine)
    np.testing.assert_allclose([found.hd95_mm, found.asd_mm], slow_distances(*blobs, affine), rtol=1e-9)


def test_two_plates_are_as_far_apart_as_they_were_drawn():
    predicted, reference = np.zeros((2, 9, 8, 7), bool)
    predicted[:, 2, :], reference[:, 5, :] = True, True
    found = surface_distances(predicted, reference, ANISOTROPIC)
    np.testing.assert_allclose([found.hd95_mm, found.asd_mm], [6.0, 6.0], rtol=1e-12)


def test_the_larger_direction_and_the_pooled_mean_are_taken():
    predicted, reference = np.zeros((2, 12, 3, 4), bool)
    predicted[1, 1, 1] = True
    reference[1:5, 1, 1] = True  # from the reference: 0, 1, 2, 3 voxels; from the prediction: 0
    found = surface_distances(predicted, reference, np.diag([2.0, 1.0, 1.0, 1.0]))
    # the 95th percentile of (0, 2, 4, 6) mm lies at position 2.85 of 3: 4 + 0.85 * 2
    np.testing.assert_allclose([found.hd95_mm, found.asd_mm], [5.7, 12 / 5], rtol=1e-12)


def test_equal_masks_have_no_distance():
    mask = np.zeros((4, 5, 6), bool)
    mask[1:, 2:4, 0:5] = True
    found = surface_distances(mask, mask, turned([1.0, 2.0, 3.0]))
    assert (found.hd95_mm, found.asd_mm) == (0.0, 0.0)


def test_the_surface_is_drawn_by_hand_and_the_grid_ends_where_it_ends():
    mask = np.zeros((4, 5, 6), bool)
    mask[0:3, 1:4, 1:5] = True
    expected = mask.copy()
    expected[1, 2, 2:4] = False  # the only two voxels with six neighbours inside
    np.testing.assert_array_equal(surface_voxels(mask), expected)


def test_structures_are_found_among_others_and_empty_ones_are_the_worst_case():
    predicted, reference = np.zeros((2, 8, 7, 6), np.int16)
    predicted[1, 1, 1] = 7
    reference[1, 1, 3] = 7
    reference[6, 5, 4] = 3  # missed
    found = surface_per_structure(predicted, reference, ANISOTROPIC, FOUR)
    diagonal = np.sqrt((7 * 0.5) ** 2 + (6 * 2.0) ** 2 + (5 * 3.0) ** 2)
    np.testing.assert_allclose([found[7].hd95_mm, found[7].asd_mm], [6.0, 6.0], rtol=1e-12)
    np.testing.assert_allclose([found[3].hd95_mm, found[3].asd_mm], [diagonal, diagonal], rtol=1e-12)
    np.testing.assert_array_equal([found[900].hd95_mm, found[900].asd_mm], [np.nan, np.nan])


def test_an_invented_structure_is_as_bad_as_a_missed_one():
    nothing, something = np.zeros((2, 3, 4, 5), np.int16)
    something[1, 1, 1] = 900
    diagonal = np.sqrt(4 + 9 + 16)
    for pair in ((nothing, something), (something, nothing)):
        found = surface_per_structure(*pair, np.eye(4), FOUR)[900]
        np.testing.assert_allclose([found.hd95_mm, found.asd_mm], [diagonal, diagonal], rtol=1e-12)


def test_the_diagonal_of_a_sheared_grid_is_its_longest():
    affine = np.eye(4)
    affine[0, 1] = -1.0  # one step along j also goes one step to the left
    # corner to corner: (2, 0, 0) to (0, 3, 4) is (-5, 3, 4); the other diagonals are shorter
    np.testing.assert_allclose(grid_diagonal_mm((3, 4, 5), affine), np.sqrt(25 + 9 + 16), rtol=1e-12)


@pytest.mark.parametrize("signs", [(1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1)])
def test_whichever_diagonal_of_the_grid_is_the_longest_is_found(signs: tuple[int, int, int]):
    # steps that lean towards one another: along one diagonal they add up to 2 x 2 + 3 x 3 + 4 x 4 in each direction
    affine = np.eye(4)
    affine[:3, :3] = np.array(signs) * [2.0, 3.0, 4.0] + np.diag([0.5, 0.25, 0.125])
    corners = [affine[:3, :3] @ (np.array(ends) * [2, 3, 4]) for ends in product([0, 1], repeat=3)]
    longest = max(float(np.linalg.norm(one - other)) for one, other in product(corners, repeat=2))
    np.testing.assert_allclose(grid_diagonal_mm((3, 4, 5), affine), longest, rtol=1e-12)


def test_each_structure_is_measured_apart_from_those_it_touches():
    predicted, reference = np.zeros((2, 10, 11, 12), np.int16)
    predicted[2:5, 3:9, 4:8] = 7
    predicted[4:9, 2:7, 5:11] = 3
    reference[1:5, 4:8, 2:7] = 3
    reference[3:8, 5:10, 6:9] = 7
    affine = turned([1.0, 0.7, 2.5])
    found = surface_per_structure(predicted, reference, affine, FOUR)
    for index in (7, 3):
        expected = slow_distances(predicted == index, reference == index, affine)
        np.testing.assert_allclose([found[index].hd95_mm, found[index].asd_mm], expected, rtol=1e-9)


def test_an_empty_mask_is_refused():
    mask = np.ones((2, 3, 4), bool)
    with pytest.raises(ShapeError, match="holds no voxel"):
        surface_distances(mask, ~mask, np.eye(4))


def test_misfit_and_unknown_ids_are_named():
    ids = np.zeros((2, 3, 4), np.int16)
    with pytest.raises(ShapeError, match=r"\(2, 3, 4\).*\(2, 3, 5\) differ"):
        surface_per_structure(ids, np.zeros((2, 3, 5), np.int16), np.eye(4), FOUR)
    with pytest.raises(LabelError, match=r"reference labels: ids 8 \(24 voxels\)"):
        surface_per_structure(ids, ids + 8, np.eye(4), FOUR)
