import torch

from neuronat.nets.deepnat import DeepNat, DeepNatConfig
from neuronat.nets.unet import UNet, UNetConfig
from neuronat.train.finetune import adapted_network, head_prefixes, learn_only

SMALL = {"filters": (3, 4), "n_features": 3, "n_hidden": 5, "n_coordinates": 6}
OLD = UNetConfig(protocols={"old": 4, "both": 3}, **SMALL)
NEW = UNetConfig(protocols={"both": 3, "new": 7}, **SMALL)


def test_a_network_takes_along_what_both_have_and_gets_fresh_heads():
    torch.manual_seed(1)
    start = UNet(OLD)
    start.last.norm.running_mean.fill_(0.25)
    network = adapted_network(start, NEW, head_prefixes(start, ("new",)), seed=2)
    before, after = start.state_dict(), network.state_dict()
    shared = [name for name in before if not name.startswith(("heads.old", "deep.old"))]
    assert len(shared) == len(before) - 6  # two layers of the head, one of the coarser scale, weight and bias each
    for name in shared:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=0)
    assert {name for name in after if name not in before} == {
        f"{part}.{kind}" for part in ("heads.new.0", "heads.new.2", "deep.new.0") for kind in ("weight", "bias")
    }
    again = adapted_network(start, NEW, head_prefixes(start, ("new",)), seed=2)
    other = adapted_network(start, NEW, head_prefixes(start, ("new",)), seed=3)
    assert torch.equal(again.heads["new"][0].weight, network.heads["new"][0].weight)
    assert not torch.equal(other.heads["new"][0].weight, network.heads["new"][0].weight)


def test_a_known_head_can_be_forgotten_and_everything_else_too():
    torch.manual_seed(1)
    start = UNet(OLD)
    network = adapted_network(start, OLD, head_prefixes(start, ("both",)), seed=2)
    assert torch.equal(network.heads["old"][0].weight, start.heads["old"][0].weight)
    assert not torch.equal(network.heads["both"][0].weight, start.heads["both"][0].weight)
    nothing = adapted_network(start, OLD, ("",), seed=2)
    assert not torch.equal(nothing.first[0].conv.weight, start.first[0].conv.weight)


def test_a_patchwise_network_gets_a_last_layer_of_another_width():
    torch.manual_seed(1)
    start = DeepNat(DeepNatConfig(n_classes=26))
    assert head_prefixes(start, ()) == ()
    network = adapted_network(start, DeepNatConfig(n_classes=4), head_prefixes(start, ("new",)), seed=2)
    assert tuple(network.heads.weight.shape) == (7 * 4, 512)
    assert torch.equal(network.conv1.weight, start.conv1.weight)


def test_only_named_weights_learn():
    network = UNet(NEW)
    learn_only(network, head_prefixes(network, ("new",)))
    learning = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert {".".join(name.split(".")[:2]) for name in learning} == {"heads.new", "deep.new"}
    assert len(learning) == 6
    learn_only(network, ("",))
    assert all(weight.requires_grad for weight in network.parameters())
