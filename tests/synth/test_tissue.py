import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.synth.tissue import TissueConfig, vary_structures, vary_tissue


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


def test_shares_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"TissueConfig.lesion must be in \[0, 1\]; got 2"):
        TissueConfig(lesion=2)


def test_partners_change_alike_background_stays_and_scans_differ():
    classes = torch.arange(5).repeat_interleave(8).view(1, 40, 1, 1).expand(2, 40, 6, 6)
    images = torch.ones(2, 40, 6, 6)
    varied = vary_structures(
        images, classes, torch.tensor([0, 3, 2, 1, 4]), torch.Generator().manual_seed(1), spread=0.5
    )
    middles = varied[:, 4::8, 3, 3]  # clear of the neighbours' partial volumes
    np.testing.assert_array_equal(middles[:, 0], 1)
    np.testing.assert_allclose(middles[:, 1], middles[:, 3])
    assert len(set(middles[:, 1:].flatten().tolist())) == 6  # three factors for each of the two scans
    assert 0.3 < float(varied.min()) < 1 < float(varied.max()) < 3.5


def test_the_spread_of_structures_is_what_was_asked_for_at_the_most():
    classes = torch.ones(400, 3, 3, 3, dtype=torch.uint8)
    varied = vary_structures(
        torch.ones(400, 3, 3, 3), classes, torch.arange(2), torch.Generator().manual_seed(0), spread=0.2
    )
    # the deviation is drawn evenly from 0 to 0.2, so that of all draws together is 0.2 / sqrt(3)
    assert float(varied[:, 1, 1, 1].log().std()) == pytest.approx(0.2 / 3**0.5, rel=0.15)
