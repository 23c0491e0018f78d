"""Places in the world, volumes and sides do not depend on how a grid is stored."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neuronat.prepare.conform import labels_to_native, plan_grid, to_working
from neuronat.space.affine import nearest_axes, reorient, reoriented_affine, voxel_volume_mm3
from neuronat.space.volume import Volume

SHAPE = (13, 15, 17)
ANGLES = st.tuples(*[st.floats(-180, 180)] * 3)
SPACINGS = st.tuples(*[st.sampled_from([0.7, 0.995, 1.0, 1.3, 2.5])] * 3)
SIGNS = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)


def affine_of(angles, spacing, signs) -> np.ndarray:
    matrix = np.diag(np.array(spacing) * signs)
    for axis, degrees in enumerate(angles):
        a, b = [k for k in range(3) if k != axis]
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        turn[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
        matrix = turn @ matrix
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = [9, -5, 31]
    return affine


def three_blocks() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 4:9, 5:12], labels[7:11, 3:6, 4:8], labels[6:9, 9:12, 9:14] = 2, 41, 53
    return labels


def centroid_mm(labels: np.ndarray, label: int, affine: np.ndarray) -> np.ndarray:
    return affine[:3, :3] @ np.argwhere(labels == label).mean(axis=0) + affine[:3, 3]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ANGLES, SPACINGS, SIGNS)
def test_centroids_and_volumes_survive_reorientation(angles, spacing, signs):
    affine, labels = affine_of(angles, spacing, signs), three_blocks()
    moves = nearest_axes(affine)
    turned, turned_affine = reorient(labels, moves), reoriented_affine(affine, SHAPE, moves)
    np.testing.assert_allclose(voxel_volume_mm3(turned_affine), np.prod(spacing), rtol=1e-9)
    cosines = turned_affine[:3, :3] / np.linalg.norm(turned_affine[:3, :3], axis=0)
    assert np.trace(cosines) > 1.5
    for label in (2, 41, 53):
        np.testing.assert_allclose(
            centroid_mm(turned, label, turned_affine), centroid_mm(labels, label, affine), atol=1e-9
        )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(ANGLES, SPACINGS, SIGNS)
def test_blobs_come_to_the_working_grid_and_back_where_they_were(angles, spacing, signs):
    affine = affine_of(angles, spacing, signs)
    grid = plan_grid(affine, SHAPE)
    centre = affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + affine[:3, 3]
    xyz = np.tensordot(grid.affine[:3, :3], np.indices(grid.shape), 1) + grid.affine[:3, 3].reshape(3, 1, 1, 1)
    ball = (((xyz - centre.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 4**2).astype(np.uint8) * 41
    native = labels_to_native(ball, grid)
    np.testing.assert_allclose(centroid_mm(native, 41, affine), centre, atol=0.1)
    volume = np.count_nonzero(native) * np.prod(spacing)
    # in or out by the largest share: under a voxel of 2.5 mm the surface of a 4 mm ball curves away, so volume is lost
    np.testing.assert_allclose(volume, np.count_nonzero(ball), rtol=0.2)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(ANGLES, SPACINGS, st.integers(0, 2))
def test_mirrored_voxels_with_a_mirrored_affine_change_nothing(angles, spacing, axis):
    values = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    affine = affine_of(angles, spacing, (1, 1, 1))
    mirrored = affine.copy()
    mirrored[:3, axis] *= -1
    mirrored[:3, 3] += affine[:3, axis] * (SHAPE[axis] - 1)
    first = to_working(Volume(values, affine), plan_grid(affine, SHAPE))
    second = to_working(Volume(np.flip(values, axis).copy(), mirrored), plan_grid(mirrored, SHAPE))
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-9)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(SPACINGS)
def test_mirrored_voxels_alone_mirror_the_brain(spacing):
    values = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    affine = affine_of((0, 0, 0), spacing, (-1, 1, 1))
    grid = plan_grid(affine, SHAPE)
    first = to_working(Volume(values, affine), grid).values
    second = to_working(Volume(values[::-1].copy(), affine), grid).values
    np.testing.assert_allclose(second, first[::-1], atol=1e-5)
