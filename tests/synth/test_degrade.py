import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.synth.degrade import DegradeConfig, blurred, degrade

NOTHING = DegradeConfig(gain=0, gamma=0, bias=0, noise=0, share_blurred=0, share_sliced=0)


@pytest.fixture
def chance() -> torch.Generator:
    return torch.Generator().manual_seed(4)


@pytest.fixture
def image(rng) -> torch.Tensor:
    return torch.from_numpy(rng.random((24, 24, 24), dtype=np.float32))


def test_no_degradation_changes_nothing(image, chance):
    np.testing.assert_allclose(degrade(image, NOTHING, chance), image, atol=2e-4)  # dark voxels are lifted to 1e-4


@pytest.mark.parametrize("changed", ["gain", "gamma", "bias", "noise"])
def test_each_degradation_changes_the_image_and_keeps_it_positive(image, chance, changed):
    spoilt = degrade(image, DegradeConfig(**{**vars(NOTHING), changed: 0.5}), chance)
    assert float((spoilt - image).abs().max()) > 0.002
    assert float(spoilt.min()) >= 0


def test_thick_slices_are_smooth_along_one_axis(image, chance):
    spoilt = degrade(image, DegradeConfig(**{**vars(NOTHING), "share_sliced": 1.0, "slice_vox": 6.0}), chance)
    roughness = [float(spoilt.diff(dim=axis).abs().mean()) for axis in range(3)]
    assert min(roughness) < 0.6 * max(roughness)


def test_a_blurred_point_is_a_gaussian_that_keeps_its_mass():
    point = torch.zeros(15, 15, 15)
    point[7, 7, 7] = 1
    spread = blurred(point, 1.0)
    assert abs(float(spread.sum()) - 1) < 1e-5
    assert abs(float(spread[8, 7, 7] / spread[7, 7, 7]) - np.exp(-0.5)) < 1e-4


def test_negative_strengths_are_refused():
    with pytest.raises(ConfigError, match=r"DegradeConfig.noise must be at least 0; got -0.1"):
        DegradeConfig(noise=-0.1)
