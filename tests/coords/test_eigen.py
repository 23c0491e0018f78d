import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from numpy.polynomial.chebyshev import chebval
from scipy import ndimage
from scipy.sparse.linalg import eigsh

from neuronat.coords import eigen
from neuronat.coords.eigen import smooth_eigenvectors

EXACT = 5e-4  # 1 - |cos|, the budget


def dense_laplacian(mask):
    """Laplacian by comparing all pairs of voxels: slow, and shares nothing with the code."""
    voxels = np.argwhere(mask)
    adjacency = (np.abs(voxels[:, None] - voxels[None]).sum(axis=2) == 1).astype(float)
    return np.diag(adjacency.sum(1)) - adjacency


def dense_eigenvectors(mask):
    values, vectors = np.linalg.eigh(dense_laplacian(mask))
    return values[1:4], vectors[:, 1:4] * np.sqrt(len(vectors))


def assert_same_vectors(found, expected, tolerance):
    cosines = np.abs((found[:, : expected.shape[1]] * expected).mean(axis=0))
    np.testing.assert_array_less(1 - cosines, tolerance)


def ball(shape):
    index = np.indices(shape)
    half = np.array(shape).reshape(3, 1, 1, 1) / 2
    return (((index + 0.5 - half) / half) ** 2).sum(axis=0) < 1


@pytest.fixture
def many_levels(monkeypatch):
    """Use the whole hierarchy on masks that a dense solver can check."""
    monkeypatch.setattr(eigen, "COARSEST_NODES", 60)


def hollow():
    mask = ball((12, 11, 10))
    mask[5:9, 4:8, 3:7] = False
    return mask


def fissured():
    mask = ball((13, 12, 10))
    mask[6, :, 4:] = False
    return mask


def dumbbell():
    mask = np.zeros((22, 8, 7), bool)
    mask[:7] = mask[15:] = True
    mask[:, 4, 3] = True
    return mask


@pytest.mark.parametrize("make_mask", [hollow, fissured, dumbbell])
def test_nested_graphs_find_the_eigenvectors_of_a_dense_solver(make_mask, many_levels):  # noqa: ARG001
    mask = make_mask()
    values, vectors = smooth_eigenvectors(mask)
    expected_values, expected_vectors = dense_eigenvectors(mask)
    np.testing.assert_allclose(values[:3], expected_values, rtol=1e-3)
    assert_same_vectors(vectors, expected_vectors, EXACT)


def test_large_graphs_are_refined_in_single_precision_within_the_budget(many_levels, monkeypatch):  # noqa: ARG001
    monkeypatch.setattr(eigen, "LARGE_NODES", 300)
    mask = ball((14, 12, 9))
    _, vectors = smooth_eigenvectors(mask)
    assert vectors.dtype == np.float32
    assert_same_vectors(vectors, dense_eigenvectors(mask)[1], EXACT)


def test_a_ragged_mask_of_thin_sheets_is_within_the_budget():
    rng = np.random.default_rng(4)
    noise = ndimage.gaussian_filter(rng.standard_normal((36, 32, 24)), 2)
    parts, _ = ndimage.label(np.abs(noise) < 0.5 * noise.std())
    mask = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    pairs = [
        (np.delete(number, -1, axis)[joined], np.delete(number, 0, axis)[joined])
        for axis in range(3)
        for joined in [np.delete(mask, -1, axis) & np.delete(mask, 0, axis)]
    ]
    lower, upper = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    adjacency = sp.coo_array((np.ones(len(lower)), (lower, upper)), shape=(mask.sum(),) * 2)
    adjacency = adjacency + adjacency.T
    laplacian = sp.diags_array(adjacency.sum(axis=1)) - adjacency
    _, expected = eigsh(sp.csc_array(laplacian), 4, sigma=-1e-6, v0=np.ones(mask.sum()))
    assert mask.sum() > eigen.COARSEST_NODES
    assert_same_vectors(smooth_eigenvectors(mask)[1], expected[:, 1:] * np.sqrt(mask.sum()), EXACT)


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 3, 1), (1, 2, 2), (2, 3, 4), (7, 5, 4)])
def test_small_masks_are_exact(shape):
    mask = np.ones(shape, bool)
    values, vectors = smooth_eigenvectors(mask)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(dense_laplacian(mask))[1:7], atol=1e-9)
    np.testing.assert_allclose(dense_laplacian(mask) @ vectors, vectors * values, atol=1e-7)
    np.testing.assert_allclose((vectors**2).mean(axis=0), 1, atol=1e-12)


@pytest.mark.parametrize("effort", [eigen.QUICK, eigen.THOROUGH])
def test_smoothing_multiplies_each_mode_by_the_chebyshev_polynomial(effort):
    laplacian = dense_laplacian(ball((7, 6, 5)))
    degrees = np.diag(laplacian)
    rates, modes = scipy.linalg.eigh(laplacian, np.diag(degrees))
    level = eigen.Level(effort, sp.csr_array(laplacian / degrees[:, None]), degrees[:, None], np.ones((len(rates), 1)))
    smoothed = eigen.smooth(level, np.zeros(len(rates)), modes)
    centre, radius = (2 + effort.damped_from) / 2, (2 - effort.damped_from) / 2
    polynomial = chebval((centre - np.append(rates, 0)) / radius, np.eye(effort.steps + 1)[-1])
    np.testing.assert_allclose(smoothed, modes * polynomial[:-1] / polynomial[-1], atol=1e-9)


def test_smoothing_leaves_an_eigenvector_as_it_is():
    laplacian = dense_laplacian(ball((7, 6, 5)))
    degrees = np.diag(laplacian)
    values, vectors = np.linalg.eigh(laplacian)
    ones = np.ones((len(values), 1))
    level = eigen.Level(eigen.QUICK, sp.csr_array(laplacian / degrees[:, None]), degrees[:, None], ones)
    np.testing.assert_allclose(eigen.smooth(level, values[1:7], vectors[:, 1:7]), vectors[:, 1:7], atol=1e-12)


def test_the_span_is_searched_without_its_constants(rng):
    laplacian = dense_laplacian(ball((7, 6, 5)))
    degrees = np.diag(laplacian)
    values, vectors = np.linalg.eigh(laplacian)
    ones = np.ones((len(values), 1))
    level = eigen.Level(eigen.QUICK, sp.csr_array(laplacian / degrees[:, None]), degrees[:, None], ones)
    mixed = vectors[:, 1:5] @ rng.standard_normal((4, 4)) + [3.0, 0.0, -1.0, 2.0]
    found_values, found = eigen.project(level, mixed)
    np.testing.assert_allclose(found_values, values[1:5], rtol=1e-9)
    assert_same_vectors(found, vectors[:, 1:5] * np.sqrt(len(values)), 1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)


def test_a_chain_of_many_voxels_is_solved_although_its_eigenvalues_are_tiny():
    n = 20_000
    _, vectors = smooth_eigenvectors(np.ones((1, n, 1), bool))
    modes = np.sqrt(2) * np.cos(np.pi * np.outer(np.arange(n) + 0.5, [1, 2, 3]) / n)
    assert_same_vectors(vectors, modes, EXACT)
