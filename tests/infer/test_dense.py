import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError, ShapeError
from neuronat.infer.dense import DenseConfig, dense_opinions, predict_dense
from neuronat.infer.patches import predict_patches
from neuronat.nets.deepnat import DeepNat, DeepNatConfig, task_offsets

BOTH = ("spectral", "cartesian")


def opinions_by_voxel(net, brain, **config):
    """The dense opinions (V, T, C), each voxel once, in the order of np.argwhere."""
    found = {}
    for centres, opinions in dense_opinions(net, *brain, DenseConfig(**config)):
        for centre, opinion in zip(centres.tolist(), opinions.cpu().numpy(), strict=True):
            assert tuple(centre) not in found
            found[tuple(centre)] = opinion
    voxels = [tuple(voxel) for voxel in np.argwhere(brain[2]).tolist()]
    assert sorted(found) == voxels
    return np.array([found[voxel] for voxel in voxels])


def voted_by_hand(opinions, mask, offsets):
    """The mean of what each voxel hears, by loops."""
    heard = {tuple(voxel): [] for voxel in np.argwhere(mask).tolist()}
    for centre, opinion in zip(np.argwhere(mask), opinions, strict=True):
        for offset, vote in zip(offsets, opinion, strict=True):
            heard.get(tuple((centre + offset).tolist()), []).append(vote)
    return np.array([np.mean(votes, axis=0) for votes in heard.values()])


@pytest.mark.parametrize(
    ("tile_vox", "n_tasks", "coordinates"),
    [(64, 7, BOTH), (5, 7, BOTH), (6, 1, ()), (64, 27, ("spectral",)), (64, 1, ("cartesian",))],
)
def test_opinions_are_those_of_the_patches_in_double_precision(brain, make_net, tile_vox, n_tasks, coordinates):
    net = make_net(n_tasks=n_tasks, coordinates=coordinates)
    found = opinions_by_voxel(net, brain, tile_vox=tile_vox)
    some = np.r_[0:3, 20:434:45, 431:434]  # the corners at the border, the hole's rim, the lonely voxel
    expected = predict_patches(net, brain[0], brain[1], np.argwhere(brain[2])[some])
    # sums of at most 1000 products of numbers near 1 in another order, in double precision
    np.testing.assert_allclose(found[some], expected, rtol=0, atol=1e-13)


@pytest.mark.slow
def test_opinions_are_those_of_the_patches_at_every_voxel_in_double_precision(brain, make_net):
    net = make_net()
    expected = predict_patches(net, brain[0], brain[1], np.argwhere(brain[2]))
    np.testing.assert_allclose(opinions_by_voxel(net, brain, tile_vox=7), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("tile_vox", [8, 64])
def test_the_vote_is_that_of_the_patches_at_every_voxel(brain, make_net, tile_vox):
    net = make_net(torch.float32)
    found = predict_dense(net, *brain, DenseConfig(tile_vox=tile_vox))
    opinions = predict_patches(net, brain[0], brain[1], np.argwhere(brain[2]))
    # float32 sums of at most 1000 products of numbers near 1, in another order
    np.testing.assert_allclose(found, voted_by_hand(opinions, brain[2], task_offsets(7)), rtol=0, atol=2e-6)
    assert found.dtype == np.float32


def test_the_network_at_its_real_size_agrees_with_its_patches(brain):
    torch.manual_seed(1)
    net = DeepNat(DeepNatConfig(n_classes=26)).eval()
    mask = np.zeros_like(brain[2])
    mask[3:5, 0:3, 9:11] = True
    found = opinions_by_voxel(net, (brain[0], brain[1], mask))
    expected = predict_patches(net, brain[0], brain[1], np.argwhere(mask))
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6)  # float32 sums of 4000 products


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 3), (2, 5, 1)])
def test_volumes_smaller_than_a_phase_work(make_net, rng, shape):
    net = make_net(torch.float32)
    brain = (rng.random(shape, np.float32), rng.random((6, *shape), np.float32), np.ones(shape, bool))
    expected = predict_patches(net, brain[0], brain[1], np.argwhere(brain[2]))
    np.testing.assert_allclose(opinions_by_voxel(net, brain), expected, rtol=0, atol=2e-6)


def test_many_rows_are_calculated_in_several_parts(brain, make_net, monkeypatch):
    net = make_net(torch.float32)
    expected = predict_dense(net, *brain, DenseConfig())
    monkeypatch.setattr("neuronat.infer.dense.ROWS", {"cpu": 7})
    found = predict_dense(net, *brain, DenseConfig())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_network_in_training_is_used_in_evaluation_and_left_alone(brain, make_net):
    net = make_net(torch.float32)
    expected = predict_dense(net, *brain, DenseConfig())
    means = net.norm2.running_mean.clone()
    found = predict_dense(net.train(), *brain, DenseConfig())
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(net.norm2.running_mean, means)
    assert net.training


def test_an_empty_mask_has_no_rows(brain, make_net):
    intensities, coordinates, mask = brain
    found = predict_dense(make_net(torch.float32), intensities, coordinates, np.zeros_like(mask), DenseConfig())
    np.testing.assert_array_equal(found, np.zeros((0, 4), np.float32))


def test_progress_rises_to_one(brain, make_net):
    seen = []
    predict_dense(make_net(torch.float32), *brain, DenseConfig(tile_vox=8), seen.append)
    assert len(seen) > 8
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_half_precision_is_close_and_is_not_the_default(brain, make_net):
    net = make_net(torch.float32)
    exact = predict_dense(net, *brain, DenseConfig())
    coarse = predict_dense(net, *brain, DenseConfig(precision="bfloat16"))
    # bfloat16 keeps 8 bits: a probability moves by a few per cent
    np.testing.assert_allclose(coarse, exact, atol=0.05)
    assert np.abs(coarse - exact).max() > 1e-5
    np.testing.assert_allclose(coarse.sum(1), 1, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_agrees_with_the_cpu(brain, make_net, dtype):
    net = make_net(dtype)
    expected = predict_dense(net, *brain, DenseConfig())
    found = predict_dense(net, *brain, DenseConfig(device=torch.device("cuda")))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)  # other kernels, other order of the sums, no TF32


@pytest.mark.parametrize("wrong", ["intensities", "coordinates", "channels"])
def test_arrays_of_different_grids_are_refused(brain, make_net, wrong):
    intensities, coordinates, mask = brain
    if wrong == "intensities":
        intensities = intensities[1:]
    coordinates = {"coordinates": coordinates[:, :, 1:], "channels": coordinates[:3]}.get(wrong, coordinates)
    with pytest.raises(ShapeError, match=r"do not fit; expected \(I, J, K\), \(6, I, J, K\)"):
        predict_dense(make_net(), intensities, coordinates, mask, DenseConfig())


@pytest.mark.parametrize(("wrong", "message"), [({"tile_vox": 0}, "at least 1"), ({"precision": "half"}, "bfloat16")])
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        DenseConfig(**wrong)
