import numpy as np
import pytest
import torch

from neuronat.infer import foreground
from neuronat.infer.dense import DenseConfig, predict_dense
from neuronat.infer.foreground import is_sure, predict_foreground
from neuronat.infer.patches import predict_patches
from neuronat.nets.deepnat import task_offsets


@pytest.fixture
def brain(brain):
    """The common one; its coordinates rise from its front to its back, so that neighbours agree."""
    intensities, _, mask = brain
    ramp = np.linspace(-3, 3, mask.shape[1], dtype=np.float32)[:, None]
    return intensities, np.ascontiguousarray(np.broadcast_to(ramp, (6, *mask.shape))), mask


@pytest.fixture
def first(make_net, brain):
    """A first stage that is sure of some voxels, of both kinds, and doubts others."""
    net = make_net(torch.float32, n_classes=2)
    with torch.no_grad():
        net.heads.weight.view(7, 2, -1)[1:] = 8 * net.heads.weight.view(7, 2, -1)[:1]  # all tasks are of one mind
        net.heads.weight[:2] *= 8
        net.full2.weight[:, 16:] *= 6
        net.full2.weight[:, :16] *= 0.3
    found = predict_dense(net, *brain, DenseConfig())
    with torch.no_grad():
        net.heads.bias.view(7, 2)[:, 0] += float(np.median(np.log(found[:, 1] / found[:, 0])))
    return net


def heard_from_every_second_voxel(net, brain):
    """What the patches at even places say, one by one, in lists per voxel of the mask."""
    mask = brain[2]
    heard = {tuple(voxel): [] for voxel in np.argwhere(mask).tolist()}
    centres = np.argwhere(mask)
    centres = centres[(centres % 2 == 0).all(axis=1)]
    opinions = predict_patches(net, brain[0], brain[1], centres)
    for centre, opinion in zip(centres, opinions, strict=True):
        for offset, answer in zip(task_offsets(7), opinion[:, 1], strict=True):
            heard.get(tuple((centre + offset).tolist()), []).append(answer)
    return heard


def test_doubtful_voxels_get_the_exact_vote_and_sure_ones_the_lattice_s(first, brain):
    mask = brain[2]
    found = predict_foreground(first, *brain, DenseConfig())
    exact = predict_dense(first, *brain, DenseConfig())
    heard = heard_from_every_second_voxel(first, brain)
    means = {voxel: np.mean(answers) for voxel, answers in heard.items() if answers}
    n_sure = n_doubtful = 0
    for row, voxel in enumerate(np.argwhere(mask)):
        near = [mean for place, mean in means.items() if np.abs(np.subtract(place, voxel)).max() <= 1]
        if near and (min(near) > 0.6 or max(near) < 0.4):
            n_sure += 1
            expected = means.get(tuple(voxel.tolist()), np.mean(near))
        else:
            n_doubtful += 1
            expected = exact[row, 1]
        # float32 sums of some thousand products, in another order
        np.testing.assert_allclose(found[row], [1 - expected, expected], rtol=0, atol=3e-6)
    assert min(n_sure, n_doubtful) > 30, (n_sure, n_doubtful)
    assert found.dtype == np.float32


def test_with_everything_in_doubt_the_answer_is_the_exact_one(first, brain, monkeypatch):
    monkeypatch.setattr(foreground, "SURE", 1.0)
    found = predict_foreground(first, *brain, DenseConfig())
    np.testing.assert_allclose(found, predict_dense(first, *brain, DenseConfig()), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("bias", "expected"), [(1000.0, 0.0), (-1000.0, 1.0)])
def test_without_doubt_only_every_second_voxel_is_computed(first, brain, monkeypatch, bias, expected):
    with torch.no_grad():
        first.heads.bias.view(7, 2)[:, 0] += bias
    n_centres = []

    def counted(net, intensities, coordinates, centres, config):
        n_centres.append(int(centres.sum()))
        return original(net, intensities, coordinates, centres, config)

    original = foreground.dense_opinions
    monkeypatch.setattr(foreground, "dense_opinions", counted)
    brain[2][12, 17, 10] = False  # it stands alone at an odd place, where the lattice says nothing
    found = predict_foreground(first, *brain, DenseConfig())
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-6)
    centres = np.argwhere(brain[2])
    assert n_centres == [(centres % 2 == 0).all(axis=1).sum()]


def test_a_voxel_alone_that_the_lattice_misses_is_computed_by_itself(first, brain):
    found = predict_foreground(first, *brain, DenseConfig())
    exact = predict_dense(first, *brain, DenseConfig())
    np.testing.assert_allclose(found[-1], exact[-1], rtol=0, atol=1e-6)  # voxel (12, 17, 10)


def test_one_clear_answer_of_the_other_kind_nearby_makes_a_doubt():
    value = np.full((3, 4, 6), 0.9, np.float32)
    heard = np.zeros((3, 4, 6), bool)
    heard[::2, ::2, ::2] = True
    assert is_sure(value, heard).all()
    value[0, 0, 0] = 0.1
    sure = is_sure(value, heard)
    expected = np.ones((3, 4, 6), bool)
    expected[:2, :2, :2] = False
    expected[0, 0, 0] = True  # hears nobody but itself
    np.testing.assert_array_equal(sure, expected)
    np.testing.assert_array_equal(is_sure(1 - value, heard), expected)


def test_progress_rises_to_one_and_an_empty_mask_has_no_rows(first, brain):
    seen = []
    predict_foreground(first, *brain, DenseConfig(tile_vox=8), seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(set(seen)) > 4
    found = predict_foreground(first, brain[0], brain[1], np.zeros_like(brain[2]), DenseConfig())
    np.testing.assert_array_equal(found, np.zeros((0, 2), np.float32))
