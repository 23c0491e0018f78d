import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.infer.dense import DenseConfig, Tile, plan_tiles, predict_dense, tile_opinions
from neuronat.infer.patches import padded_intensities, predict_patches
from neuronat.nets.deepnat import DeepNat, DeepNatConfig, task_offsets

SHAPE = (13, 18, 11)
CPU = torch.device("cpu")


def random_net(dtype=torch.float64, **config):
    torch.manual_seed(4)
    net = DeepNat(DeepNatConfig(n_classes=4, **config)).to(dtype)
    for norm in (net.norm2, net.norm3, net.norm_full2):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.fixture
def brain(rng):
    """Odd extents; the mask touches the border on one side and has a hole and a lonely voxel."""
    mask = np.zeros(SHAPE, bool)
    mask[0:7, 3:12, 2:9] = True
    mask[2:4, 5:7, 4:6] = False
    mask[12, 17, 10] = True
    intensities = rng.uniform(0.1, 1.2, SHAPE).astype(np.float32) * mask
    return intensities, rng.normal(size=(6, *SHAPE)).astype(np.float32), mask


def patchwise_vote(net, intensities, coordinates, mask):
    """The vote by loops over voxels, from single patches."""
    centres = np.argwhere(mask)
    opinions = predict_patches(net, intensities, coordinates, centres)
    heard = {tuple(centre): [] for centre in centres}
    for centre, opinion in zip(centres, opinions, strict=True):
        for offset, votes in zip(task_offsets(net.config.n_tasks), opinion, strict=True):
            if tuple(centre + offset) in heard:
                heard[tuple(centre + offset)].append(votes)
    return np.array([np.mean(heard[tuple(centre)], axis=0) for centre in centres])


@pytest.mark.parametrize(("n_tasks", "coordinates"), [(7, ("spectral", "cartesian")), (1, ()), (27, ("spectral",))])
@pytest.mark.parametrize("tile_vox", [6, 64])
def test_dense_opinions_are_those_of_the_patches_in_double_precision(brain, n_tasks, coordinates, tile_vox):
    net = random_net(n_tasks=n_tasks, coordinates=coordinates)
    intensities, channels, mask = brain
    padded = padded_intensities(intensities, CPU).double()
    found = {}
    for tile in plan_tiles(mask, tile_vox):
        for centres, opinions in tile_opinions(net, padded, channels, mask, tile, DenseConfig(tile_vox=tile_vox)):
            found |= {tuple(c): o for c, o in zip(centres.tolist(), opinions.numpy(), strict=True)}
    centres = np.argwhere(mask)
    assert sorted(found) == [tuple(c) for c in centres.tolist()]
    expected = predict_patches(net, intensities, channels, centres)
    # sums of at most 8000 products in another order, in double precision
    np.testing.assert_allclose(np.array([found[tuple(c)] for c in centres.tolist()]), expected, rtol=0, atol=1e-13)


def test_the_vote_is_that_of_the_patches_in_single_precision(brain):
    net = random_net(torch.float32)
    intensities, coordinates, mask = brain
    found = predict_dense(net, intensities, coordinates, mask, DenseConfig(tile_vox=8))
    # float32 sums of at most 8000 products in another order
    np.testing.assert_allclose(found, patchwise_vote(net, intensities, coordinates, mask), rtol=0, atol=3e-6)


def test_tiles_cover_the_mask_once_and_fit_its_box(brain):
    mask = brain[2]
    hits = np.zeros(np.array(SHAPE) + 8, int)
    for tile in plan_tiles(mask, 6):
        assert all(2 * n <= 6 for n in tile.counts)
        i, j, k = (slice(s, s + 2 * n) for s, n in zip(tile.start, tile.counts, strict=True))
        hits[i, j, k] += 1
    np.testing.assert_array_equal(hits[:13, :18, :11][mask], 1)
    assert plan_tiles(mask[:7, :12, :9], 64) == [Tile((0, 3, 2), (4, 5, 4))]


def test_an_empty_mask_has_no_tiles_and_no_rows(brain):
    intensities, coordinates, mask = brain
    empty = np.zeros_like(mask)
    assert plan_tiles(empty, 8) == []
    found = predict_dense(random_net(torch.float32), intensities, coordinates, empty, DenseConfig())
    np.testing.assert_array_equal(found, np.zeros((0, 4), np.float32))


def test_progress_ends_at_one(brain):
    intensities, coordinates, mask = brain
    seen = []
    predict_dense(random_net(torch.float32), intensities, coordinates, mask, DenseConfig(tile_vox=8), seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_half_precision_is_close_but_not_the_default(brain):
    net = random_net(torch.float32)
    intensities, coordinates, mask = brain
    exact = predict_dense(net, intensities, coordinates, mask, DenseConfig())
    coarse = predict_dense(net, intensities, coordinates, mask, DenseConfig(precision="bfloat16"))
    # bfloat16 keeps 8 bits: a probability moves by a few per cent
    np.testing.assert_allclose(coarse, exact, atol=0.05)
    assert np.abs(coarse - exact).max() > 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_agrees_with_the_cpu(brain):
    net = random_net(torch.float32)
    intensities, coordinates, mask = brain
    expected = predict_dense(net, intensities, coordinates, mask, DenseConfig())
    found = predict_dense(net.cuda(), intensities, coordinates, mask, DenseConfig(device=torch.device("cuda")))
    np.testing.assert_allclose(found, expected, atol=1e-3)  # TF32 off by default; other kernels, other order


@pytest.mark.parametrize(("wrong", "message"), [({"tile_vox": 7}, "even number"), ({"precision": "half"}, "bfloat16")])
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        DenseConfig(**wrong)
