import numpy as np
import pytest

from neuronat.errors import ConfigError
from neuronat.prepare.joint import majority_classes
from neuronat.prepare.staple import StapleConfig, fuse_by_staple

SHAPE = (18, 10, 13)
ONE_WINDOW = StapleConfig(middle_vox=40, margin_vox=0)


def spoilt(truth, shares, rng):
    """An opinion that is another class by chance, at a share of the voxels."""
    wrong = (truth - 1 + rng.integers(1, 3, truth.shape)) % 3 + 1
    return np.where(rng.random(truth.shape) < shares, wrong, truth).astype(np.uint8)


@pytest.fixture
def truth(rng):
    return rng.integers(1, 4, SHAPE).astype(np.uint8)


def test_two_reliable_atlases_win_against_three_that_err(truth, rng):
    opinions = np.stack([spoilt(truth, share, rng) for share in (0.02, 0.02, 0.55, 0.55, 0.55)])
    mask = np.ones(SHAPE, bool)
    fused = fuse_by_staple(opinions, mask, ONE_WINDOW)
    assert (majority_classes(opinions) == truth).mean() < 0.93
    assert (fused == truth).mean() > 0.97


def test_windows_find_who_is_reliable_where(truth, rng):
    is_left = np.indices(SHAPE)[0] < 9
    left, right = np.where(is_left, 0.02, 0.55), np.where(is_left, 0.55, 0.02)
    opinions = np.stack([spoilt(truth, shares, rng) for shares in (left, left, right, right)])
    mask = np.ones(SHAPE, bool)
    whole = fuse_by_staple(opinions, mask, ONE_WINDOW)
    windowed = fuse_by_staple(opinions, mask, StapleConfig(middle_vox=9, margin_vox=0))
    assert (windowed == truth).mean() > 0.97
    assert (windowed == truth).mean() > (whole == truth).mean() + 0.02


def test_outside_the_mask_is_background_and_agreement_stands(truth, rng):
    mask = np.ones(SHAPE, bool)
    mask[:3, 4:] = False
    opinions = np.stack([spoilt(truth, share, rng) for share in (0.1, 0.1, 0.1)])
    seen = []
    fused = fuse_by_staple(opinions, mask, StapleConfig(middle_vox=5, margin_vox=3), seen.append)
    np.testing.assert_array_equal(fused[~mask], 0)
    same = mask & (opinions == opinions[0]).all(0)
    np.testing.assert_array_equal(fused[same], opinions[0][same])
    assert (fused == truth)[mask].mean() > 0.95
    assert seen[-1] == 1
    assert seen == sorted(seen)


def test_atlases_that_all_agree_need_no_window(truth):
    seen = []
    fused = fuse_by_staple(np.stack([truth, truth]), np.ones(SHAPE, bool), StapleConfig(), seen.append)
    np.testing.assert_array_equal(fused, truth)
    assert seen == []


def test_what_is_undecided_goes_to_the_majority():
    opinions = np.zeros((2, 1, 1, 2), np.uint8)
    opinions[:, 0, 0, 0], opinions[:, 0, 0, 1] = (3, 1), (1, 3)
    fused = fuse_by_staple(opinions, np.ones((1, 1, 2), bool), StapleConfig())
    np.testing.assert_array_equal(fused, np.ones((1, 1, 2)))


def test_numbers_are_checked():
    with pytest.raises(ConfigError, match="StapleConfig needs positive numbers"):
        StapleConfig(middle_vox=0)
