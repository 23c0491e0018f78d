import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.synth.fields import DeformConfig, interpolate, random_places, smooth_noise, uniform

STILL = DeformConfig(rotation_degrees=0, scaling=0, shear=0, bending_vox=0)


@pytest.fixture
def chance() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_an_undeformed_crop_lies_around_its_centre(chance):
    places = random_places(torch.tensor([10.0, 20.0, 30.0]), 4, STILL, chance, is_mirrored=False)
    np.testing.assert_allclose(places[:, 0, 0, 0], [8.5, 18.5, 28.5])
    np.testing.assert_allclose(places[:, 3, 1, 2], [11.5, 19.5, 30.5])


def test_a_mirrored_crop_runs_from_right_to_left(chance):
    places = random_places(torch.tensor([10.0, 20.0, 30.0]), 4, STILL, chance, is_mirrored=True)
    np.testing.assert_allclose(places[0, :, 0, 0], [11.5, 10.5, 9.5, 8.5])
    np.testing.assert_allclose(places[1, 0, :, 0], [18.5, 19.5, 20.5, 21.5])


def test_turning_keeps_distances(chance):
    turned = DeformConfig(rotation_degrees=30, scaling=0, shear=0, bending_vox=0)
    places = random_places(torch.zeros(3), 8, turned, chance, is_mirrored=False)
    step = places[:, 1, 0, 0] - places[:, 0, 0, 0]
    assert abs(float(step.norm()) - 1) < 1e-5
    assert abs(float(step[0])) < 0.9999


def test_bending_is_smooth_and_bounded(chance):
    bent = DeformConfig(rotation_degrees=0, scaling=0, shear=0, bending_vox=4)
    places = random_places(torch.zeros(3), 32, bent, chance, is_mirrored=False)
    moved = places - random_places(torch.zeros(3), 32, STILL, chance, is_mirrored=False)
    assert 0 < float(moved.abs().max()) < 20
    assert float(moved.diff(dim=1).abs().max()) < 1  # less than a voxel per voxel: nothing folds


def test_interpolation_is_exact_between_neighbours_and_zero_outside():
    ramp = torch.arange(4 * 5 * 6, dtype=torch.float32).view(1, 4, 5, 6)
    places = torch.tensor([[1.0, 1.5, 9.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]]).view(3, 3, 1, 1)
    np.testing.assert_allclose(interpolate(ramp, places)[0].ravel(), [45, 60, 0], atol=1e-4)


def test_noise_has_deviation_one_and_varies_slowly(chance):
    noise = smooth_noise(2, 48, chance, knots=3)
    assert noise.shape == (2, 48, 48, 48)
    assert 0.3 < float(noise.std()) < 2
    assert float(noise.diff(dim=3).abs().max()) < 0.6


def test_numbers_are_drawn_evenly_and_configurations_checked(chance):
    numbers = uniform(-2, 3, chance, n=4000)
    assert -2 <= float(numbers.min()) < -1.9
    assert 2.9 < float(numbers.max()) < 3
    with pytest.raises(ConfigError, match=r"DeformConfig.shear must be at least 0; got -1"):
        DeformConfig(shear=-1)
