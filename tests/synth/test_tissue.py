import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.synth.tissue import TissueConfig, vary_tissue


@pytest.fixture
def scan() -> tuple[torch.Tensor, torch.Tensor]:
    tissue = torch.zeros(32, 32, 32, dtype=torch.uint8)
    tissue[4:12], tissue[12:20], tissue[20:] = 1, 2, 3
    return torch.tensor([0.0, 0.2, 0.65, 1.0])[tissue.long()], tissue


def test_contrast_between_tissues_changes_and_the_outside_stays_empty(scan):
    image, tissue = scan
    config = TissueConfig(share_varied=1, share_lesioned=0)
    varied = vary_tissue(image, tissue, config, torch.Generator().manual_seed(2))
    np.testing.assert_array_equal(varied[:4], 0)
    change = [float((varied - image)[part].mean()) for part in (slice(7, 9), slice(15, 17), slice(24, 30))]
    assert len({round(c, 3) for c in change}) == 3
    assert max(abs(c) for c in change) <= 0.12


def test_lesions_darken_white_matter_only(scan):
    image, tissue = scan
    config = TissueConfig(share_varied=0, share_lesioned=1)
    darkest = min(
        float((vary_tissue(image, tissue, config, torch.Generator().manual_seed(seed)) - image)[24:].min())
        for seed in range(6)
    )
    spotted = vary_tissue(image, tissue, config, torch.Generator().manual_seed(0))
    assert darkest < -0.05
    np.testing.assert_allclose(spotted[:16], image[:16])


def test_shares_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"TissueConfig.lesion must be in \[0, 1\]; got 2"):
        TissueConfig(lesion=2)
