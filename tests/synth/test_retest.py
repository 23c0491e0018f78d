from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.space.volume import Volume
from neuronat.synth.retest import CHANGES, retest


def repeat(specimen, change, seed=5):
    return retest(specimen, change, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("change", CHANGES)
def test_a_seed_gives_the_same_repeat_again_and_the_anatomy_stays(specimen, change):
    first, again = repeat(specimen, change), repeat(specimen, change)
    np.testing.assert_array_equal(first.volume.values, again.volume.values)
    np.testing.assert_array_equal(first.volume.affine, again.volume.affine)
    volumes_mm3 = [
        (one.labels.ids == 3).sum() * abs(np.linalg.det(one.volume.affine[:3, :3])) for one in (specimen, first)
    ]
    assert volumes_mm3[1] == pytest.approx(volumes_mm3[0], rel=0.03)  # a cortex of three voxels, on another grid


@pytest.mark.parametrize("change", ["turn", "bias", "noise", "all"])
def test_another_seed_gives_another_repeat(specimen, change):
    one, other = repeat(specimen, change, 5), repeat(specimen, change, 6)
    near = tuple(slice(0, min(a, b)) for a, b in zip(one.mask.shape, other.mask.shape, strict=True))
    assert np.abs(one.volume.values[near] - other.volume.values[near]).max() > 1


@pytest.mark.parametrize("axis", range(3))
def test_a_shift_is_half_a_voxel_along_each_axis(specimen, axis):
    ramp = np.indices(specimen.mask.shape, np.float32)[axis]
    again = repeat(replace(specimen, volume=Volume(ramp, specimen.volume.affine)), "shift")
    to_source = np.linalg.inv(specimen.volume.affine) @ again.volume.affine
    i, j, k = (int(n) for n in np.argwhere(again.mask).mean(0))
    there = (to_source @ [i, j, k, 1])[axis]
    assert abs(again.volume.values[i, j, k] - there) == pytest.approx(0.5, abs=0.01)


def test_noise_and_bias_leave_the_grid_alone(specimen):
    for change, most in (("noise", 0.15), ("bias", 0.0514)):
        again = repeat(specimen, change)
        np.testing.assert_array_equal(again.labels.ids, specimen.labels.ids)
        inside = specimen.tissue == 3
        assert np.abs(again.volume.values[inside] / specimen.volume.values[inside] - 1).max() < most


def test_finer_voxels_are_nine_tenths(specimen):
    np.testing.assert_allclose(np.diag(repeat(specimen, "resample").volume.affine)[:3], [-0.9, 0.9, 1.125])


def test_an_unknown_change_is_refused(specimen):
    with pytest.raises(ConfigError, match="'wobble' is not known; known are turn, shift"):
        repeat(specimen, "wobble")
