import numpy as np
import pytest
import torch
from scipy import ndimage

from neuronat.errors import ConfigError
from neuronat.synth.stress import (
    ALTERATIONS,
    AgedConfig,
    aged,
    other_contrast,
    other_position,
    shaded,
    thick,
    with_noise,
)
from neuronat.synth.tissue import GREY, WHITE

VENTRICLES, CORTEX, LEFT_CAUDATE = (4, 43, 14), (3, 42), 11


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def size(specimen, ids):
    return np.isin(specimen.labels.ids, ids).sum()


def middle_mm(specimen, index):
    voxels = np.argwhere(specimen.labels.ids == index).mean(0)
    return specimen.volume.affine[:3, :3] @ voxels + specimen.volume.affine[:3, 3]


def median(specimen, kind):
    return float(np.median(specimen.volume.values[specimen.tissue == kind]))


def test_ventricles_grow_and_the_cortex_thins_the_more_the_older(specimen):
    sizes = [
        (size(older, VENTRICLES) / size(specimen, VENTRICLES), size(older, CORTEX) / size(specimen, CORTEX))
        for older in (
            aged(specimen, AgedConfig(ventricles_vox=v, sulci_vox=s, contrast_loss=0), generator())
            for v, s in ((0, 0), (1, 0.8), (2, 1.2))
        )
    ]
    (none, no_cortex), (mild, mild_cortex), (strong, strong_cortex) = sizes
    assert none == no_cortex == 1
    assert 1.2 < mild < 1.8 < strong < 3
    assert 0.97 > mild_cortex > strong_cortex > 0.6


def test_ageing_tears_nothing_and_labels_stay_on_their_grey_values(specimen):
    older = aged(specimen, AgedConfig(ventricles_vox=5, sulci_vox=0.8, contrast_loss=0), generator())
    np.testing.assert_array_equal(older.mask, specimen.mask)
    for index in (4, 43, 11, 50):
        parts = [ndimage.label(one.labels.ids == index)[1] for one in (specimen, older)]
        assert parts[1] == parts[0], index
    for index in (4, 43, 2, 41):
        values = [np.median(one.volume.values[one.labels.ids == index]) for one in (specimen, older)]
        assert abs(values[1] / values[0] - 1) < 0.1, index


def test_ageing_lowers_the_contrast_between_grey_and_white_matter(specimen):
    older = aged(specimen, AgedConfig(ventricles_vox=0, sulci_vox=0, contrast_loss=0.25), generator())
    before, after = (median(one, WHITE) - median(one, GREY) for one in (specimen, older))
    assert after / before == pytest.approx(0.75, abs=0.05)


def test_a_strength_below_nothing_is_refused():
    with pytest.raises(ConfigError, match="sulci_vox must be at least 0; got -1"):
        AgedConfig(ventricles_vox=1, sulci_vox=-1, contrast_loss=0)


def test_a_turned_head_is_turned_in_the_world_and_nothing_is_cut(specimen):
    turned = other_position(specimen, degrees=30, axis=(0, 0, 2), shift_mm=(3, 0, 0))
    inside = np.argwhere(specimen.mask)
    affine = specimen.volume.affine
    pivot = affine[:3, :3] @ ((inside.min(0) + inside.max(0)) / 2) + affine[:3, 3]
    x, y, z = middle_mm(specimen, LEFT_CAUDATE) - pivot
    c, s = np.sqrt(0.75), 0.5
    there = pivot + np.array([3 + c * x - s * y, s * x + c * y, z])
    np.testing.assert_allclose(middle_mm(turned, LEFT_CAUDATE), there, atol=0.1)
    np.testing.assert_array_equal(turned.volume.affine[:3, :3], affine[:3, :3])
    assert turned.mask.sum() == pytest.approx(specimen.mask.sum(), rel=0.01)
    assert not any(np.take(turned.mask, edge, axis).any() for axis in range(3) for edge in (0, -1))


def test_a_finer_grid_keeps_volumes_and_places(specimen):
    finer = other_position(specimen, step=0.8)
    per_voxel = [abs(np.linalg.det(one.volume.affine[:3, :3])) for one in (specimen, finer)]
    assert per_voxel[1] / per_voxel[0] == pytest.approx(0.512)
    assert size(finer, CORTEX) * 0.512 == pytest.approx(size(specimen, CORTEX), rel=0.01)
    np.testing.assert_allclose(middle_mm(finer, LEFT_CAUDATE), middle_mm(specimen, LEFT_CAUDATE), atol=0.1)


def test_a_shading_reaches_its_strength_in_the_brain(specimen):
    ratio = shaded(specimen, 0.5, generator()).volume.values[specimen.mask] / specimen.volume.values[specimen.mask]
    assert np.log(ratio.min()) == pytest.approx(-0.5, abs=1e-3)
    assert np.log(ratio.max()) == pytest.approx(0.5, abs=1e-3)


def test_noise_has_the_deviation_that_was_asked_for(specimen):
    added = with_noise(specimen, 0.05, generator()).volume.values - specimen.volume.values
    white = specimen.tissue == WHITE
    assert added[white].std() / specimen.levels[2] == pytest.approx(0.05, rel=0.05)


def test_three_slices_become_one_at_the_place_of_the_middle_one(specimen):
    coarse = thick(specimen)
    assert coarse.mask.shape == (40, 48, 19)  # 56 slices: the last one is repeated
    np.testing.assert_allclose(coarse.volume.affine[:3, 2], [0, 0, 3.75])
    np.testing.assert_allclose(
        coarse.volume.affine @ [4, 5, 6, 1], specimen.volume.affine @ [4, 5, 19, 1]
    )  # 6 holds 18, 19 and 20
    values = specimen.volume.values[20, 24, 18:21]
    assert coarse.volume.values[20, 24, 6] == pytest.approx(values.sum() / 3)
    below, middle, above = (specimen.labels.ids[:, :, n:54:3] for n in range(3))
    inside, found = coarse.mask[..., :18], coarse.labels.ids[..., :18]
    pair = inside & (below == above) & (below != middle)
    assert pair.any()
    np.testing.assert_array_equal(found[pair], below[pair])
    three = inside & (below != above) & (below != middle) & (above != middle)
    assert three.any()
    np.testing.assert_array_equal(found[three], middle[three])


def test_another_contrast_brightens_fluid_and_grey_matter_and_moves_no_label(specimen):
    other = other_contrast(specimen)
    before, after = ([median(one, kind) / median(one, WHITE) for kind in (1, GREY)] for one in (specimen, other))
    assert after[0] > before[0] + 0.1
    assert after[1] > before[1] + 0.05
    np.testing.assert_array_equal(other.labels.ids, specimen.labels.ids)


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_a_seed_gives_the_same_scan_again(specimen, kind):
    first, again = (ALTERATIONS[kind](specimen, generator(8)) for _ in range(2))
    np.testing.assert_array_equal(first.volume.values, again.volume.values)
    np.testing.assert_array_equal(first.labels.ids, again.labels.ids)
    if kind in ("biased", "noisy"):
        other = ALTERATIONS[kind](specimen, generator(9))
        assert np.abs(other.volume.values - first.volume.values).max() > 1
