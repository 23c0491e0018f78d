import numpy as np
import pytest
import torch

from neuronat.infer.fold import classify, fold_network

CPU = torch.device("cpu")


@pytest.mark.parametrize("coordinates", [(), ("spectral",), ("spectral", "cartesian")])
def test_folded_layers_answer_as_the_network_does(make_net, rng, coordinates):
    net = make_net(n_tasks=7, coordinates=coordinates)
    features = torch.from_numpy(rng.normal(size=(9, 5, 27)))  # channels, then cells: the network's order
    here = torch.from_numpy(rng.normal(size=(9, 3 * len(coordinates))))
    folded = fold_network(net, CPU, torch.float64)
    with torch.inference_mode():
        expected = net.classify(features.flatten(1), here).softmax(2)
        hidden = features.movedim(1, 2).flatten(1) @ folded.hidden.weights + folded.hidden.bias
        found = classify(folded, hidden.relu(), here)
    # double precision, sums of at most 200 products
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_the_network_itself_stays_as_it_is(make_net):
    net = make_net(torch.float32).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold_network(net, CPU, torch.bfloat16)
    assert net.training
    assert net.conv1.weight.requires_grad
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert not folded.net.training
    assert not any(weight.requires_grad for weight in folded.net.parameters())


def test_half_precision_keeps_the_normalizations_and_the_softmax_in_single(make_net, rng):
    folded = fold_network(make_net(torch.float32), CPU, torch.bfloat16)
    assert folded.net.conv2.weight.dtype == folded.hidden.weights.dtype == torch.bfloat16
    assert folded.net.norm2.running_var.dtype == torch.float32
    hidden = torch.from_numpy(rng.uniform(size=(3, 16))).bfloat16()
    found = classify(folded, hidden, torch.zeros(3, 6, dtype=torch.bfloat16))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-6)
