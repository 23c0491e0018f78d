"""Laws of the graph Laplacian and of the coordinates that come from it, on many random masks."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuronat.coords.laplace import assemble_laplacian, main_component
from neuronat.coords.spectral import brain_coordinates, spectral_coordinates

ANISOTROPIC = np.array([[0.9, 0.1, -0.2, 12], [-0.1, 1.1, 0.1, -40], [0.2, 0.0, 1.4, 9], [0, 0, 0, 1]])
BOXES = st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(2, 6))


def lump(shape=(11, 13, 10)):
    """A mask without any symmetry, with a hole and a detached speck."""
    index = np.indices(shape)
    half = np.array(shape).reshape(3, 1, 1, 1) / 2
    mask = (((index + 0.5 - half) / half) ** 2).sum(axis=0) < 1
    mask[4:6, 6:9, 3:6] = False
    mask[:5, :5] = mask[9:, :, :4] = False
    mask[0, 0, 0] = True
    return mask


@settings(max_examples=40, deadline=None)
@given(shape=BOXES, share=st.floats(0.1, 1.0), seed=st.integers(0, 999))
def test_rows_sum_to_zero_the_matrix_is_symmetric_and_no_energy_is_negative(shape, share, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    mask[0, 0, 0] = True
    laplacian = assemble_laplacian(mask).toarray()
    np.testing.assert_array_equal(laplacian.sum(axis=1), 0)
    np.testing.assert_array_equal(laplacian, laplacian.T)
    values = rng.standard_normal(mask.shape)
    joined = [np.diff(values, axis=a)[np.delete(mask, 0, a) & np.delete(mask, -1, a)] for a in range(3)]
    energy = sum((differences**2).sum() for differences in joined)
    np.testing.assert_allclose(values[mask] @ laplacian @ values[mask], energy, atol=1e-9)


@pytest.mark.parametrize("shape", [(9, 8, 7), (31, 24, 20)])  # solved at once, and over several graphs
def test_a_box_has_cosine_eigenvectors(shape):
    index = np.indices(shape)
    waves = [np.sqrt(2) * np.cos(np.pi * (index[axis] + 0.5) / n) for axis, n in enumerate(shape)]
    spectral = spectral_coordinates(np.ones(shape, bool), np.eye(4))
    np.testing.assert_allclose(spectral, -np.stack(waves), atol=2e-3)  # |cos| of 0.999999


def test_permuting_and_flipping_the_array_with_its_affine_leaves_each_voxel_its_value_to_the_bit():
    mask = lump()
    expected = spectral_coordinates(mask, ANISOTROPIC)
    for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        to_old = np.eye(4)  # from the voxels of the turned array to those of the old one
        to_old[:3, :3] = np.eye(3)[:, order] * flips
        corner = [n - 1 if flips[order.index(a)] < 0 else 0 for a, n in enumerate(mask.shape)]
        to_old[:3, 3] = corner
        steps = tuple(slice(None, None, flip) for flip in flips)
        found = spectral_coordinates(mask.transpose(order)[steps], ANISOTROPIC @ to_old)
        np.testing.assert_array_equal(found, expected.transpose(0, *(a + 1 for a in order))[(slice(None), *steps)])


def test_turning_the_array_alone_permutes_the_channels_and_changes_signs():
    mask = main_component(lump())  # the speck has two nearest voxels
    before = spectral_coordinates(mask, np.eye(4))
    after = spectral_coordinates(np.rot90(mask, axes=(0, 1)), np.eye(4))
    # rot90: new i runs against old j, new j along old i
    np.testing.assert_allclose(after[0], -np.rot90(before[1], axes=(0, 1)), atol=1e-5)
    np.testing.assert_allclose(after[1], np.rot90(before[0], axes=(0, 1)), atol=1e-5)
    np.testing.assert_allclose(after[2], np.rot90(before[2], axes=(0, 1)), atol=1e-5)


def test_a_mirrored_brain_has_its_first_channel_negated():
    mask = main_component(lump())
    before, after = (spectral_coordinates(m, np.eye(4)) for m in (mask, mask[::-1]))
    np.testing.assert_allclose(after[:, ::-1], before * np.array([-1, 1, 1]).reshape(3, 1, 1, 1), atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(before=BOXES, after=BOXES)
def test_a_mask_in_a_larger_array_keeps_its_values(before, after):
    mask = lump()
    padding = tuple(zip(before, after, strict=True))
    moved = ANISOTROPIC.copy()
    moved[:3, 3] -= ANISOTROPIC[:3, :3] @ before
    found = brain_coordinates(np.pad(mask, padding), moved)
    expected = np.pad(brain_coordinates(mask, ANISOTROPIC), ((0, 0), *padding))
    np.testing.assert_array_equal(found[:3], expected[:3])
    np.testing.assert_allclose(found[3:], expected[3:], atol=1e-6)


def test_two_runs_agree_to_the_bit():
    index = np.indices((34, 28, 24))
    mask = (((index - np.array([17, 14, 12]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 150) | (index[0] < 20)
    np.testing.assert_array_equal(*(brain_coordinates(mask, ANISOTROPIC) for _ in range(2)))
