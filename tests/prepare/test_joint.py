import sys
import warnings

import numpy as np
import pytest
from scipy import ndimage

from neuronat.errors import ConfigError
from neuronat.prepare.joint import JointConfig, fuse_jointly, majority_classes, unanimous_voxels

SHAPE = (14, 16, 18)
SMALL = JointConfig(search_reach_vox=1)


@pytest.fixture
def ants():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("ants", reason="antspyx of the extra tools is not installed")


@pytest.fixture
def drawn(rng):
    """A ball of class 2 in class 1 beside background, in a mask; so are an atlas that fits, and one that does not."""
    ijk = np.indices(SHAPE)
    mask = np.ones(SHAPE, bool)
    mask[0] = False

    texture = [ndimage.gaussian_filter(rng.normal(0, 0.5, SHAPE), 1) for _ in range(2)]

    def draw(centre, edge, pattern):
        classes = np.where(((ijk - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0) < 16, 2, 1).astype(np.uint8)
        classes[:, :, :edge] = 0  # background inside the mask
        grey = np.array([0.1, 0.5, 1.0])[classes] + pattern + rng.normal(0, 0.01, SHAPE)
        return np.where(mask, grey, 0).astype(np.float32), np.where(mask, classes, 0).astype(np.uint8)

    return draw((6, 7, 9), 4, texture[0]), draw((6, 7, 9), 4, texture[0]), draw((8, 9, 11), 1, texture[1]), mask


@pytest.mark.usefixtures("ants")
def test_the_atlas_that_fits_wins_against_two_that_err_alike(drawn):
    (grey, truth), right, wrong, mask = drawn
    greys, classes = (np.stack(found) for found in zip(right, wrong, wrong, strict=True))
    fused = fuse_jointly(grey, mask, greys, classes, SMALL)
    doubtful = mask & ~unanimous_voxels(classes)
    assert doubtful.sum() > 100
    assert (majority_classes(classes) == truth)[doubtful].mean() == 0
    assert (fused == truth)[doubtful].mean() > 0.95
    np.testing.assert_array_equal(fused[~doubtful], truth[~doubtful])


@pytest.mark.usefixtures("ants")
def test_background_in_the_mask_is_a_class_like_the_others(drawn):
    (grey, truth), right, wrong, mask = drawn
    greys, classes = (np.stack(found) for found in zip(right, wrong, wrong, strict=True))
    missed = mask & (truth == 0) & (wrong[1] > 0)
    assert missed.sum() > 100
    assert (fuse_jointly(grey, mask, greys, classes, SMALL)[missed] == 0).mean() > 0.9


def test_where_all_agree_nobody_is_asked(drawn, monkeypatch):
    monkeypatch.setitem(sys.modules, "ants", None)
    (grey, truth), right, _, mask = drawn
    full = np.where(mask, truth, 7).astype(np.uint8)  # what atlases say outside the mask does not matter
    fused = fuse_jointly(grey, mask, np.stack([right[0]] * 2), np.stack([full, full]), SMALL)
    np.testing.assert_array_equal(fused, truth)


def test_votes_are_counted_and_the_smallest_class_wins_a_tie():
    votes = np.array([[[9, 0, 5]], [[9, 4, 5]], [[2, 4, 1]], [[2, 0, 5]]], np.uint8)
    np.testing.assert_array_equal(majority_classes(votes), [[2, 0, 5]])
    np.testing.assert_array_equal(unanimous_voxels(votes), [[False, False, False]])
    np.testing.assert_array_equal(unanimous_voxels(votes[:2]), [[True, False, True]])


def test_numbers_are_checked():
    with pytest.raises(ConfigError, match=r"JointConfig.beta must be above 0; got -1"):
        JointConfig(beta=-1)
