import numpy as np
import pytest
import torch

from neuronat.infer.cascade import brain_probabilities, join_stages
from neuronat.infer.dense import DenseConfig, predict_dense
from neuronat.infer.foreground import predict_foreground


def quiet(_step, _done):
    """No progress is shown."""


@pytest.fixture
def networks(make_net, brain):
    """Two stages; the first one's threshold is moved so that about half of the brain is foreground."""
    first, second = make_net(torch.float32, n_classes=2), make_net(torch.float32, n_classes=5)
    with torch.no_grad():
        first.heads.weight *= 8
    found = predict_dense(first, *brain, DenseConfig())
    odds = np.median(np.log(found[:, 1] / found[:, 0]))
    with torch.no_grad():
        first.heads.bias.view(7, 2)[:, 0] += float(odds)
    return {"foreground": first, "structures": second}


@pytest.mark.parametrize(("every_voxel", "predict_first"), [(True, predict_dense), (False, predict_foreground)])
def test_the_second_stage_answers_in_the_foreground_of_the_first(networks, brain, every_voxel, predict_first):
    intensities, coordinates, mask = brain
    found = brain_probabilities(networks, *brain, DenseConfig(every_voxel=every_voxel), quiet)
    first = predict_first(networks["foreground"], *brain, DenseConfig())
    inside = first[:, 1] > first[:, 0]
    assert 100 < inside.sum() < 334  # of 434
    foreground = np.zeros_like(mask)
    foreground[mask] = inside
    second = predict_dense(networks["structures"], intensities, coordinates, foreground, DenseConfig())
    np.testing.assert_array_equal(found[inside], second)
    np.testing.assert_array_equal(found[~inside, 0], first[~inside, 0])
    np.testing.assert_array_equal(found[~inside].argmax(axis=1), 0)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_a_single_step_is_the_structures_network_over_the_whole_mask(networks, brain):
    found = brain_probabilities({"structures": networks["structures"]}, *brain, DenseConfig(), quiet)
    np.testing.assert_array_equal(found, predict_dense(networks["structures"], *brain, DenseConfig()))


@pytest.mark.parametrize("every_voxel", [True, False])
def test_progress_names_the_stages_and_rises_to_one(networks, brain, every_voxel):
    seen = []
    brain_probabilities(
        networks, *brain, DenseConfig(every_voxel=every_voxel), lambda step, done: seen.append((step, done))
    )
    steps, shares = zip(*seen, strict=True)
    assert list(dict.fromkeys(steps)) == ["foreground", "structures"]
    assert list(shares) == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(("bias", "n_foreground"), [(1000.0, 0), (-1000.0, 434)])
def test_a_brain_all_background_or_all_foreground_is_answered(networks, brain, bias, n_foreground):
    with torch.no_grad():
        networks["foreground"].heads.bias.view(7, 2)[:, 0] += bias
    found = brain_probabilities(networks, *brain, DenseConfig(), quiet)
    assert (found[:, 0] != 1).sum() == n_foreground
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_outside_the_foreground_the_structures_share_as_in_the_nearest_voxel():
    mask = np.ones((2, 1, 5), bool)
    mask[1, 0, 2:] = False
    foreground = np.zeros_like(mask)
    foreground[0, 0, 0] = foreground[0, 0, 4] = True
    first = np.array([[0.1, 0.9], [0.6, 0.4], [1, 0], [0.75, 0.25], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]], np.float32)
    second = np.array([[0.0, 0.25, 0.75], [0.5, 0.5, 0.0]], np.float32)
    expected = [
        [0.0, 0.25, 0.75],  # foreground: the second stage's own answer
        [0.6, 0.1, 0.3],  # 0.4 shared 1 to 3, as in voxel 0
        [1.0, 0.0, 0.0],
        [0.75, 0.25, 0.0],  # 0.25 goes to the only structure of voxel 4
        [0.5, 0.5, 0.0],
        [0.5, 0.125, 0.375],
        [0.5, 0.125, 0.375],
    ]
    np.testing.assert_allclose(join_stages(first, second, mask, foreground), expected, rtol=1e-6)


def test_a_nearest_voxel_that_is_all_background_shares_evenly():
    foreground = np.array([[[True, False, False]]])
    first = np.array([[0.4, 0.6], [0.7, 0.3], [0.7, 0.3]], np.float32)
    joined = join_stages(first, np.array([[1.0, 0, 0, 0]], np.float32), np.ones((1, 1, 3), bool), foreground)
    np.testing.assert_allclose(joined, [[1, 0, 0, 0], [0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1]], rtol=1e-6)
