import numpy as np
import pytest
import torch

from neuronat.errors import ShapeError
from neuronat.infer.vote import add_votes, mean_votes, open_ballot, vote
from neuronat.nets.deepnat import task_offsets

CENTRE_AND_LEFT = np.array([[0, 0, 0], [-1, 0, 0]])
CPU = torch.device("cpu")


def test_a_vote_lands_on_its_voxel_and_outside_votes_are_dropped():
    mean = vote(np.full((1, 2, 1), 0.8, np.float32), np.array([[0, 1, 2]]), CENTRE_AND_LEFT, (2, 3, 4))
    expected = np.zeros((1, 2, 3, 4), np.float32)
    expected[0, 0, 1, 2] = 0.8
    np.testing.assert_array_equal(mean, expected)


def test_a_voxel_hears_all_its_neighbours_and_itself():
    opinions = np.array([[[0.2], [0.4]], [[0.6], [1.0]], [[0.0], [0.5]]], np.float32)
    centres = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    mean = vote(opinions, centres, CENTRE_AND_LEFT, (3, 1, 1)).ravel()
    # voxel 0 hears itself and 1, voxel 1 itself and 2, voxel 2 only itself
    np.testing.assert_allclose(mean, [(0.2 + 1.0) / 2, (0.6 + 0.5) / 2, 0.0], rtol=1e-6)


def test_votes_outside_the_mask_are_dropped_and_rows_are_in_the_order_of_the_voxels():
    mask = np.zeros((3, 4, 5), bool)
    mask[0, 1, 4] = mask[1, 1, 2] = mask[2, 3, 0] = True
    ballot = open_ballot(mask, 2, CPU)
    opinions = torch.tensor([[[0.25, 0.75], [1.0, 0.0]], [[0.5, 0.5], [0.125, 0.875]]])
    add_votes(ballot, opinions, torch.tensor([[1, 1, 2], [1, 1, 4]]), torch.from_numpy(CENTRE_AND_LEFT))
    np.testing.assert_array_equal(mean_votes(ballot), [[0.125, 0.875], [0.25, 0.75], [0.0, 0.0]])


@pytest.mark.parametrize("n_tasks", [1, 7, 27])
def test_votes_agree_with_loops_over_voxels_however_they_come_in(rng, n_tasks):
    mask = rng.random((4, 5, 6)) < 0.6
    centres, offsets = np.argwhere(mask), task_offsets(n_tasks)
    opinions = rng.random((len(centres), n_tasks, 3)).astype(np.float32)
    heard = {tuple(centre): [] for centre in centres.tolist()}
    for centre, opinion in zip(centres, opinions, strict=True):
        for offset, vote_here in zip(offsets, opinion, strict=True):
            heard.get(tuple((centre + offset).tolist()), []).append(vote_here)
    expected = [np.mean(votes, axis=0) for votes in heard.values()]
    ballot = open_ballot(mask, 3, CPU)
    for part in np.array_split(rng.permutation(len(centres)), 5):
        add_votes(ballot, *(torch.from_numpy(x) for x in (opinions[part], centres[part], offsets)))
    np.testing.assert_allclose(mean_votes(ballot), expected, rtol=0, atol=1e-6)  # float32 sums of 27 numbers


def test_probabilities_stay_probabilities(rng):
    mask = np.ones((3, 4, 5), bool)
    opinions = rng.dirichlet(np.ones(4), (60, 7)).astype(np.float32)
    ballot = open_ballot(mask, 4, CPU)
    add_votes(ballot, *(torch.from_numpy(x) for x in (opinions, np.argwhere(mask), task_offsets(7))))
    np.testing.assert_allclose(mean_votes(ballot).sum(axis=1), 1, atol=1e-6)


def test_far_offsets_are_outside_too():
    far = np.array([[0, 0, 0], [-9, 0, 0], [0, 0, 9]])
    mean = vote(np.ones((1, 3, 1), np.float32), np.array([[1, 2, 3]]), far, (2, 3, 4))
    np.testing.assert_array_equal(np.argwhere(mean[0]), [[1, 2, 3]])


def test_misfit_names_both_shapes():
    with pytest.raises(ShapeError, match=r"need centres \(1, 3\).*got \(2, 3\)"):
        vote(np.zeros((1, 2, 1), np.float32), np.zeros((2, 3), int), CENTRE_AND_LEFT, (1, 1, 1))


def test_a_ballot_of_other_classes_is_refused():
    ballot = open_ballot(np.ones((1, 2, 3), bool), 4, CPU)
    with pytest.raises(ShapeError, match=r"ballot of 5 classes; got .* 4"):
        add_votes(ballot, torch.zeros(1, 1, 5), torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 3))
