import numpy as np
from scipy import ndimage

from neuronat.phantom import make_phantom
from neuronat.prepare.warp import find_warp, place_points, resampled

IDENTITY = np.vstack([np.eye(3), np.zeros(3)])


def brain(shape=(56, 64, 60)):
    volume, labels, mask = make_phantom(shape, noise=0.0, bias=0.0)
    grey = ndimage.gaussian_filter(np.pad(np.where(mask, volume.values / volume.values.max(), 0), 8), 0.7)
    return grey.astype(np.float32), np.pad(labels.ids, 8)


def bent(rng, shape, by_vox=6.0):
    """A smooth random deformation (3, I, J, K) in voxels."""
    noise = ndimage.gaussian_filter(rng.normal(size=(3, *shape)), (0, 9, 9, 9))
    return noise * by_vox / np.abs(noise).max()


def test_a_bent_brain_is_found_again(rng):
    grey, ids = brain()
    points = np.indices(grey.shape) + bent(rng, grey.shape)
    fixed = ndimage.map_coordinates(grey, points, order=1)
    truth = ndimage.map_coordinates(ids, points, order=0)
    voxels = np.argwhere(truth > 0)
    found = place_points(voxels, find_warp(fixed, grey, IDENTITY), IDENTITY)
    looked_up = ndimage.map_coordinates(ids, found.T, order=0)
    wrong = np.mean(looked_up != truth[tuple(voxels.T)])
    before = np.mean(ids[tuple(voxels.T)] != truth[tuple(voxels.T)])
    assert before > 0.08
    assert wrong < before / 2


def test_the_affine_map_comes_after_the_displacement():
    grey, _ = brain()
    shifted = np.roll(grey, (0, 4, -3), (0, 1, 2))
    affine = np.vstack([np.eye(3), [0, -4, 3]])
    warp = find_warp(shifted, grey, affine)
    assert warp.shape == (*grey.shape, 3)
    assert warp.dtype == np.float32
    voxels = np.argwhere(shifted > 0.1)
    np.testing.assert_allclose(
        place_points(voxels, warp, affine), voxels + np.array([0, -4, 3]), atol=1e-3
    )  # no displacement


def test_other_extents_and_beyond_the_border():
    grey = np.ones((5, 6, 7), np.float32)
    found = resampled(grey, np.vstack([np.eye(3), [0, 0, 4.0]]), (5, 6, 9))
    np.testing.assert_array_equal(found[..., :3], 1)
    np.testing.assert_array_equal(found[..., 4:], 0)


def test_a_tiny_scan_is_no_reason_to_stop(rng):
    grey = rng.random((7, 20, 9), dtype=np.float32)
    assert find_warp(grey, grey, IDENTITY).shape == (7, 20, 9, 3)
