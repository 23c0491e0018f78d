from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.nets.deepnat import task_offsets
from neuronat.synth.lesions import LesionSites
from neuronat.train.augment import AugmentConfig, _nudge, augment_blocks, mirror_blocks, vary_blocks
from neuronat.train.examples import draw_anchors, find_candidates, gather_blocks, margin_vox
from neuronat.train.scans import PackedScan, stack_scans

CPU = torch.device("cpu")
OFFSETS = torch.from_numpy(task_offsets(7))
PARTNERS = torch.tensor([0, 2, 1, 4, 3])
NOTHING = AugmentConfig(flip=0, jitter_vox=0, gain=0, shift=0, gamma=0, noise=0, coordinate_noise=0)


def some_blocks(scan, n_centres=3, seed=0):
    examples = stack_scans([scan], margin_vox=margin_vox(n_centres), around_foreground_vox=None, device=CPU)
    generator = torch.Generator().manual_seed(seed)
    anchors = draw_anchors(find_candidates(examples, 5, {}), 6, generator)
    return gather_blocks(examples, anchors, OFFSETS, generator, n_centres=n_centres, has_surroundings=True)


def test_mirroring_twice_changes_nothing(scan):
    block = some_blocks(scan)
    twice = mirror_blocks(mirror_blocks(block, PARTNERS, OFFSETS), PARTNERS, OFFSETS)
    for name in ("intensities", "labels", "coordinates", "eligible"):
        np.testing.assert_array_equal(getattr(twice, name), getattr(block, name))


def test_a_mirrored_block_is_the_block_of_the_mirrored_scan(scan):
    swapped = np.where(scan.classes == 255, 255, PARTNERS.numpy()[np.minimum(scan.classes, 4)]).astype(np.uint8)
    sign = np.array([-1, 1, 1, -1, 1, 1], np.float16).reshape(6, 1, 1, 1)
    other = PackedScan(
        "m", scan.intensities[::-1].copy(), swapped[::-1].copy(), (scan.coordinates * sign)[:, ::-1].copy()
    )
    margin = margin_vox(1)
    examples = [stack_scans([s], margin_vox=margin, around_foreground_vox=None, device=CPU) for s in (scan, other)]
    ijk = np.argwhere(scan.classes == 3)[7] + margin
    mirrored_ijk = ijk * [-1, 1, 1] + [scan.classes.shape[0] - 1 + 2 * margin, 0, 0]
    shape = tuple(examples[0].intensities.shape[1:])
    anchors = [torch.tensor([int(np.ravel_multi_index(tuple(place), shape))]) for place in (ijk, mirrored_ijk)]
    one, expected = (
        gather_blocks(e, a, OFFSETS, torch.Generator().manual_seed(0), n_centres=1)
        for e, a in zip(examples, anchors, strict=True)
    )
    mirrored = mirror_blocks(one, PARTNERS, OFFSETS)
    for name in ("intensities", "labels", "coordinates", "eligible"):
        np.testing.assert_array_equal(getattr(mirrored, name), getattr(expected, name))


def test_no_change_asked_for_is_none_made(scan):
    block = some_blocks(scan)
    same = augment_blocks(block, NOTHING, PARTNERS, OFFSETS, torch.Generator().manual_seed(1))
    # exp(0) and log-free powers of one leave float32 rounding only
    np.testing.assert_allclose(same.intensities, block.intensities, atol=1e-6)
    np.testing.assert_array_equal(same.labels, block.labels)


def test_changes_leave_the_background_at_zero_and_the_labels_alone(scan):
    block = some_blocks(scan)
    config = replace(AugmentConfig(), flip=0.0)
    changed = augment_blocks(block, config, PARTNERS, OFFSETS, torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(changed.intensities == 0, block.intensities == 0)
    np.testing.assert_array_equal(changed.labels, block.labels)
    assert float((changed.intensities - block.intensities).abs().max()) > 0.01
    moved = (changed.coordinates - block.coordinates).flatten(1, 3)
    # one shift for all centres of a block, at most coordinate_noise; 1e-6 is float32 rounding
    np.testing.assert_allclose(moved - moved[:, :1], 0, atol=1e-6)
    assert 0 < float(moved.abs().max()) <= config.coordinate_noise + 1e-6


def test_jitter_of_half_a_voxel_is_the_mean_of_two_neighbours(scan):
    block = some_blocks(scan)
    config = replace(NOTHING, jitter_vox=1.0)
    moved = augment_blocks(block, config, PARTNERS, OFFSETS, torch.Generator().manual_seed(2)).intensities
    inside = block.intensities > 0
    assert float((moved - block.intensities)[inside].abs().max()) > 0.05
    assert float(moved.max()) <= float(block.intensities.max()) + 1e-6


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_amounts_out_of_range_are_refused(value):
    with pytest.raises(ConfigError, match=r"AugmentConfig\.gain must be in \[0, 1\]"):
        AugmentConfig(gain=value)


def test_surroundings_are_the_classes_of_the_intensities(scan):
    block = some_blocks(scan)
    assert block.surroundings.shape == block.intensities[:, 0].shape
    lattice = block.surroundings[:, 11:-11:2, 11:-11:2, 11:-11:2]
    np.testing.assert_array_equal(lattice, block.labels[..., 0])  # the first task is the centre


def test_structures_become_brighter_or_darker_and_labels_stay(scan):
    block = some_blocks(scan)
    same = vary_blocks(block, NOTHING, PARTNERS, None, torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(same.intensities, block.intensities)
    config = replace(NOTHING, structure=0.3)
    varied = vary_blocks(block, config, PARTNERS, None, torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(varied.intensities == 0, block.intensities == 0)
    np.testing.assert_array_equal(varied.labels, block.labels)
    assert float((varied.intensities - block.intensities).abs().max()) > 0.05
    assert augment_blocks(varied, NOTHING, PARTNERS, OFFSETS, torch.Generator()).surroundings is None


def test_lesions_of_blocks_lie_in_the_white_classes_alone(scan):
    block, config = some_blocks(scan), replace(NOTHING, lesion=0.5)
    white = torch.tensor([1, 2])
    sites = LesionSites(white, torch.tensor([3]))
    spots = [vary_blocks(block, config, PARTNERS, sites, torch.Generator().manual_seed(seed)) for seed in range(12)]
    changed = torch.stack([spot.intensities[:, 0] < block.intensities[:, 0] - 1e-3 for spot in spots])
    is_spotted = changed.flatten(1).any(1)
    assert 0 < int(is_spotted.sum()) < 12  # now and then
    near = torch.nn.functional.max_pool3d(torch.isin(block.surroundings, white).float()[:, None], 3, 1, 1)[:, 0] > 0
    assert not bool((changed & ~near).any())


def test_jitter_repeats_what_lies_at_the_edge():
    x = torch.arange(5.0).add(1).expand(1, 1, 5, 5, 5).contiguous()
    for shift, expected in ((0.5, [1, 1.5, 2.5, 3.5, 4.5]), (-0.5, [1.5, 2.5, 3.5, 4.5, 5])):
        moved = _nudge(x, torch.tensor([[0, 0, shift]]))
        np.testing.assert_allclose(moved[0, 0, 2, 3].numpy(), expected, rtol=1e-6)
