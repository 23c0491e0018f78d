import numpy as np
import torch

from neuronat.infer.patches import padded_intensities, predict_patches


def test_a_patch_is_what_lies_around_its_centre_and_zero_outside_the_volume(brain, make_net):
    intensities, coordinates, _ = brain
    seen = []
    net = make_net(coordinates=("cartesian",))
    net.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    predict_patches(net, intensities, coordinates, np.array([[0, 5, 10], [7, 8, 9]]))
    first, second = seen[0][:, 0].float().numpy()
    expected = np.zeros((23, 23, 23), np.float32)
    expected[11:23, 6:23, 1:12] = intensities[0:12, 0:17, 0:11]  # centre 0, 5, 10 at 11, 11, 11
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second[11, 11, 11], intensities[7, 8, 9])


def test_coordinates_are_those_of_the_centre_and_of_the_chosen_kind(brain, make_net):
    intensities, coordinates, _ = brain
    seen = []
    net = make_net(coordinates=("cartesian",))
    net.full2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    predict_patches(net, intensities, coordinates, np.array([[4, 5, 6], [12, 17, 0]]))
    expected = np.stack([coordinates[3:, 4, 5, 6], coordinates[3:, 12, 17, 0]])
    np.testing.assert_array_equal(seen[0][:, 16:].float(), expected)


def test_opinions_sum_to_one_and_do_not_depend_on_the_batches(brain, make_net):
    intensities, coordinates, mask = brain
    centres = np.argwhere(mask)[::60]
    net = make_net(torch.float32, n_tasks=7)
    together = predict_patches(net, intensities, coordinates, centres)
    in_threes = predict_patches(net, intensities, coordinates, centres, batch_size=3)
    assert together.shape == (len(centres), 7, 4)
    np.testing.assert_allclose(together.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_allclose(in_threes, together, rtol=0, atol=1e-6)  # float32, other order of the sums


def test_the_padding_is_a_patch_less_its_centre_on_both_sides_together(brain):
    intensities = brain[0]
    padded = padded_intensities(intensities, torch.device("cpu"))
    assert padded.shape == (1, 1, 13 + 22, 18 + 22, 11 + 22)
    np.testing.assert_array_equal(padded[0, 0, 11:-11, 11:-11, 11:-11], intensities)
    np.testing.assert_allclose(padded.sum(), intensities.sum(), rtol=1e-5)
