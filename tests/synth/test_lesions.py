import numpy as np
import pytest
import torch
from scipy import ndimage

from neuronat.errors import ConfigError
from neuronat.synth.lesions import lesioned
from neuronat.synth.tissue import GREY, WHITE


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def test_lesions_lie_in_white_matter_near_ventricles_and_look_like_grey_matter(specimen):
    older = lesioned(specimen, 0.1, generator())
    change = older.volume.values / specimen.volume.values.clip(min=1)
    is_white = specimen.mask & (specimen.tissue == WHITE)
    lesions = change < 0.85
    assert lesions.sum() == pytest.approx(0.1 * is_white.sum(), rel=0.5)
    assert (lesions & is_white).sum() > 0.9 * lesions.sum()
    ventricles = np.isin(specimen.labels.ids, (4, 43, 14))
    distance = ndimage.distance_transform_edt(~ventricles)
    assert distance[lesions].mean() < 0.8 * distance[is_white].mean()
    grey = np.median(specimen.volume.values[specimen.tissue == GREY])
    deep = ndimage.binary_erosion(lesions & is_white)
    assert np.median(older.volume.values[deep]) == pytest.approx(grey, rel=0.12)
    np.testing.assert_array_equal(older.labels.ids, specimen.labels.ids)
    np.testing.assert_array_equal(older.tissue, specimen.tissue)


def test_no_share_changes_nothing_and_chance_decides_where(specimen):
    np.testing.assert_array_equal(lesioned(specimen, 0, generator()).volume.values, specimen.volume.values)
    first, other = (lesioned(specimen, 0.1, generator(seed)).volume.values for seed in (1, 2))
    assert (first != other).any()


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(specimen, share):
    with pytest.raises(ConfigError, match=r"a share in \[0, 1\]; got"):
        lesioned(specimen, share, generator())
