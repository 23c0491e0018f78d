import numpy as np
import pytest
import torch
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.nets.neuronet import NeuroNet, NeuroNetConfig
from neuronat.nets.unet import UNet, UNetConfig
from neuronat.train.crops import Crop
from neuronat.train.lessons import LossConfig, score_crops

PROTOCOLS = {"tissue": 4, "brain": 2}


def make_crop(*protocols: str) -> Crop:
    torch.manual_seed(2)
    voxels = torch.randint(16**3, (200,))
    return Crop(torch.rand(1, 1, 16, 16, 16), voxels, {p: torch.randint(PROTOCOLS[p], (200,)) for p in protocols})


def make_unet() -> UNet:
    torch.manual_seed(0)
    return UNet(UNetConfig(protocols=PROTOCOLS, filters=(4, 6, 8)))


def test_the_loss_is_the_mean_over_protocols_of_the_cross_entropy():
    torch.manual_seed(0)
    net = NeuroNet(NeuroNetConfig(protocols=PROTOCOLS)).eval()
    crop = make_crop("tissue", "brain")
    scores = net(crop.grey)
    expected = [
        functional.cross_entropy(scores[p][0].flatten(1).T[crop.voxels], crop.classes[p]) for p in ("tissue", "brain")
    ]
    loss, correct, n_answers = score_crops(net, [crop], ["tissue", "brain"], LossConfig())
    torch.testing.assert_close(loss, sum(expected) / 2)
    assert (correct.shape, n_answers) == ((2,), 200)


def test_a_crop_without_a_protocol_still_trains_the_others():
    net = make_unet()
    loss, _, _ = score_crops(net, [make_crop("brain")], ["tissue", "brain"], LossConfig())
    loss.backward()
    assert net.heads["tissue"][0].weight.grad is None
    assert float(net.heads["brain"][0].weight.grad.abs().sum()) > 0
    assert float(net.first[0].conv.weight.grad.abs().sum()) > 0


def test_weights_shift_the_mean():
    net, crop = make_unet().eval(), make_crop("tissue", "brain")
    alone = [float(score_crops(net, [crop], [p], LossConfig())[0].detach()) for p in ("tissue", "brain")]
    weighted = score_crops(net, [crop], ["tissue", "brain"], LossConfig(weights={"brain": 3.0}))[0]
    np.testing.assert_allclose(float(weighted.detach()), (alone[0] + 3 * alone[1]) / 4, rtol=1e-5)


def test_coarser_scales_learn_where_they_are_asked():
    net = make_unet()
    score_crops(net, [make_crop("tissue")], ["tissue"], LossConfig(deep=1.0))[0].backward()
    assert all(float(layer.weight.grad.abs().sum()) > 0 for layer in net.deep["tissue"])
    assert all(layer.weight.grad is None for layer in net.deep["brain"])


@pytest.mark.parametrize("deep", [0.0, 0.5])
def test_losses_are_summed_in_float32_where_a_network_is_not(deep):
    net, crop, config = make_unet().eval(), make_crop("tissue"), LossConfig(dice=0.5, deep=deep)
    exact = score_crops(net, [crop], ["tissue"], config)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = score_crops(net, [crop], ["tissue"], config)[0]
    assert loss.dtype == torch.float32
    assert loss.item() != exact.item()
    np.testing.assert_allclose(loss.item(), exact.item(), rtol=2e-2)  # 8 bits of mantissa, twelve layers


def test_the_soft_dice_of_a_sure_answer_is_near_nothing():
    class Sure(UNet):
        """Answers what it is told."""

        def score(self, voxels, protocol):  # noqa: ARG002
            return 50 * functional.one_hot(told, 4).float()

    crop = make_crop("tissue")
    told = crop.classes["tissue"]
    net = Sure(UNetConfig(protocols=PROTOCOLS, filters=(4, 6, 8)))
    assert float(score_crops(net, [crop], ["tissue"], LossConfig(dice=1.0))[0]) < 1e-4
    told = (told + 1) % 4
    assert float(score_crops(net, [crop], ["tissue"], LossConfig(dice=1.0))[0]) > 40


def test_negative_weights_are_refused():
    with pytest.raises(ConfigError, match="at least 0"):
        LossConfig(weights={"brain": -1.0})


def test_all_that_a_step_sums_stays_on_the_accelerator():
    crop = make_crop("tissue", "brain")  # torch's device without numbers stands for one that is not there
    classes = {protocol: found.to("meta") for protocol, found in crop.classes.items()}
    crop = Crop(crop.grey.to("meta"), crop.voxels.to("meta"), classes)
    loss, correct, _ = score_crops(make_unet().to("meta"), [crop, crop], ["tissue", "brain"], LossConfig())
    assert (loss.device.type, correct.device.type) == ("meta", "meta")
