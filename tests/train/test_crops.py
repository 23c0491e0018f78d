from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.labels.scheme import parse_scheme
from neuronat.synth.degrade import DegradeConfig
from neuronat.synth.fields import DeformConfig
from neuronat.synth.lesions import LesionSites
from neuronat.synth.tissue import TissueConfig
from neuronat.train.crops import CropConfig, CropSource, draw_crop
from neuronat.train.volumes import PackedVolume, to_device

HALVES = parse_scheme("halves", "index\tname\tpair\n0\tNothing\t0\n1\tLeft\t2\n2\tRight\t1\n")
HEAD_IDS = (0, 2, 24, 511)
PALETTE = parse_scheme("wholehead", "index\tname\n" + "".join(f"{i}\tn{i}\n" for i in HEAD_IDS))
STILL = {
    "deform": DeformConfig(rotation_degrees=0, scaling=0, shear=0, bending_vox=0),
    "degrade": DegradeConfig(gain=0, gamma=0, bias=0, noise=0, share_blurred=0, share_sliced=0),
    "tissue": TissueConfig(share_varied=0, share_lesioned=0),
    "ageing_vox": 0.0,
    "extent": 48,
    "n_inside": 3000,
    "n_anywhere": 500,
}


@pytest.fixture
def source() -> CropSource:
    """A brain of two halves, brighter on the right, and a head with fluid around its brain and a shell."""
    i, j, k = np.indices((30, 34, 38), np.float32)
    radius = np.sqrt(((i - 14.5) / 13) ** 2 + ((j - 16.5) / 15) ** 2 + ((k - 18.5) / 17) ** 2)
    mask = radius < 0.8
    halves = (np.where(i < 15, 1, 2) * mask).astype(np.int16)
    grey = np.select([halves == 1, halves == 2], [60, 100], 0).astype(np.uint8)
    head = np.select([radius < 0.7, radius < 0.85, radius < 1], [2, 24, 511], 0).astype(np.int16)
    device = torch.device("cpu")
    brain = to_device(PackedVolume("sub-01", mask, {"halves": halves}, grey), {"halves": HALVES}, device)
    painted = to_device(PackedVolume("head-01", head == 2, {"wholehead": head}), {"wholehead": PALETTE}, device)
    mirrored = torch.from_numpy(HALVES.mirrored_classes)
    return CropSource([brain], [painted], {"halves": {"halves": torch.arange(3)}}, {"halves": mirrored}, HEAD_IDS)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_labels_fit_the_grey_values_also_when_mirrored(source, flip):
    crop = draw_crop(source, CropConfig(flip=flip, share_composite=0, share_painted=0, **STILL), chance())
    grey = crop.grey.flatten()[crop.voxels]
    left, right = (grey[crop.classes["halves"] == side].median() for side in (1, 2))
    # a mirrored brain has its brighter half on the left
    assert bool(left < right) == (flip == 0.0)
    halves = crop.classes["halves"]
    places = crop.voxels // (48 * 48)
    assert bool(places[halves == 1].float().mean() < places[halves == 2].float().mean())


def test_a_stripped_crop_is_empty_outside_and_its_mask_is_the_protocol_brain(source):
    crop = draw_crop(source, CropConfig(share_composite=0, share_painted=0, **STILL), chance(1))
    grey = crop.grey.flatten()[crop.voxels]
    assert float((grey > 0.25)[crop.classes["halves"] > 0].float().mean()) > 0.99  # the rim is a partial volume
    assert float((grey == 0)[crop.classes["brain"] == 0].float().mean()) > 0.85
    np.testing.assert_array_equal(crop.classes["brain"] == 1, crop.classes["halves"] > 0)


def test_a_misjudged_mask_takes_in_rim_and_calls_what_it_cuts_off_background(source):
    config = CropConfig(share_composite=0, share_painted=0, share_misjudged=1, **STILL)
    n_rim = n_cut = 0
    for seed in range(4):
        crop = draw_crop(source, config, chance(seed))
        grey, is_brain = crop.grey.flatten()[crop.voxels], crop.classes["brain"] == 1
        n_rim += int((grey[~is_brain] > 0.05).sum())
        is_cut = is_brain & (grey == 0)
        n_cut += int(is_cut.sum())
        assert not crop.classes["halves"][is_cut].any()
        assert float((crop.classes["halves"][is_brain] > 0).float().mean()) > 0.6
    assert n_rim > 200
    assert n_cut > 20


def test_a_composite_has_a_shell_around_the_brain_it_keeps(source):
    crop = draw_crop(source, CropConfig(flip=0, share_composite=1, share_painted=0, **STILL), chance(2))
    grey, brain = crop.grey.flatten()[crop.voxels], crop.classes["brain"]
    assert float((grey[brain == 0] > 0.3).float().mean()) > 0.05
    np.testing.assert_allclose(grey[crop.classes["halves"] == 2].median(), 1.0, atol=0.02)


def test_a_painted_head_knows_its_mask_but_not_the_protocols_of_others(source):
    crop = draw_crop(source, CropConfig(share_composite=0, share_painted=1, **STILL), chance(3))
    assert set(crop.classes) == {"brain"}
    assert 0 < int(crop.classes["brain"].sum()) < len(crop.voxels)
    assert crop.grey.shape == (1, 1, 48, 48, 48)


def test_the_same_seed_draws_the_same_crop(source):
    config = CropConfig(extent=32, n_inside=50, n_anywhere=50)
    first, second = (draw_crop(source, config, chance(5)) for _ in range(2))
    np.testing.assert_array_equal(first.grey, second.grey)
    np.testing.assert_array_equal(first.voxels, second.voxels)


def test_configurations_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="multiple of 16; got 40"):
        CropConfig(extent=40)
    with pytest.raises(ConfigError, match="add up to at most 1"):
        CropConfig(share_composite=0.7, share_painted=0.7)


def test_structures_of_a_protocol_get_other_grey_values_and_keep_their_labels(source):
    kept = {"flip": 0.0, "share_composite": 0, "share_painted": 0}
    plain = draw_crop(source, CropConfig(**kept, **STILL), chance(3))
    varied = draw_crop(source, CropConfig(**kept, structures="halves", structure_spread=0.5, **STILL), chance(3))
    ratio = (varied.grey / plain.grey).flatten()[plain.grey.flatten() > 0.4]
    assert float(ratio.std()) < 0.1  # left and right are partners, so both change alike
    assert abs(float(ratio.median()) - 1) > 0.05
    unknown = draw_crop(source, CropConfig(**kept, structures="deepnat25", structure_spread=0.5, **STILL), chance(3))
    np.testing.assert_array_equal(unknown.grey, plain.grey)


def test_lesions_lie_where_the_protocol_of_the_structures_has_white_matter(source):
    source = replace(source, sites={"halves": LesionSites(torch.tensor([2]), torch.tensor([1]))})
    kept = {"flip": 0.0, "share_composite": 0, "share_painted": 0, "structures": "halves"} | STILL
    always = TissueConfig(share_varied=0, share_lesioned=1, lesion=0.5)
    plain = draw_crop(source, CropConfig(**kept | {"tissue": replace(always, share_lesioned=0)}), chance(4))
    spotted = draw_crop(source, CropConfig(**kept | {"tissue": always}), chance(4))
    darker = (spotted.grey < plain.grey - 0.05)[0, 0].flatten()[plain.voxels]
    halves, planes = plain.classes["halves"], plain.voxels // (48 * 48)
    assert float(darker[halves == 2].float().mean()) > 0.02
    # lesions have partial volumes, so they reach one voxel across the border of the halves
    assert not darker[(halves == 1) & (planes < planes[halves == 2].min() - 1)].any()


def test_voxels_are_drawn_balanced_or_as_frequent_as_they_are(source):
    few = STILL | {"n_inside": 1000, "n_anywhere": 0}
    config = CropConfig(share_composite=0, share_painted=0, n_balanced=4000, **few)
    balanced, frequent = (draw_crop(source, crops, chance(6)) for crops in (config, config.as_frequent()))
    assert len(balanced.voxels) == len(frequent.voxels) == 5000
    inside = float((frequent.classes["halves"][:1000] > 0).float().mean())
    for half in (1, 2):
        np.testing.assert_allclose((balanced.classes["halves"][1000:] == half).float().mean(), 1 / 3, atol=0.03)
    np.testing.assert_allclose((frequent.classes["halves"] > 0).float().mean(), inside, atol=0.05)
    assert inside < 0.5
