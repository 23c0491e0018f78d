import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.nets.unet import UNet, UNetConfig
from neuronat.nets.widen import widened

NARROW = UNetConfig(protocols={"tissue": 4}, filters=(4, 6, 8), n_features=5, n_hidden=7, n_coordinates=6)
WIDE = UNetConfig(protocols={"tissue": 4, "brain": 2}, filters=(6, 9, 8), n_features=8, n_hidden=12, n_coordinates=6)


def trained(config: UNetConfig) -> UNet:
    """Return a network whose normalization has seen scans."""
    torch.manual_seed(0)
    net = UNet(config)
    for _ in range(20):
        net.encode(3 * torch.randn(2, 7, 8, 12, 8) + 1)
    return net


def test_a_wider_network_scores_as_the_narrow_one():
    net = trained(NARROW)
    wide = widened(net, WIDE, seed=3)
    assert wide.config == WIDE
    scans = torch.randn(1, 7, 8, 8, 12)
    for mode in (False, True):
        scales = (net.train(mode).encode(scans), wide.train(mode).encode(scans))
        for depth, narrow, more in zip((-1, 1, 0), *scales, strict=False):  # only training gives coarser ones
            rows, more_rows = (x.movedim(1, -1).reshape(-1, x.shape[1]) for x in (narrow, more))
            if depth < 0:
                assert more_rows.shape[1] == 8 + 6
                torch.testing.assert_close(wide.score(more_rows, "tissue"), net.score(rows, "tissue"))
            else:
                expected = net.score_deep(rows, "tissue", depth=depth)
                torch.testing.assert_close(wide.score_deep(more_rows, "tissue", depth=depth), expected)
    assert "brain" in wide.heads


def test_what_is_new_learns_from_the_first_steps_on():
    wide = widened(trained(NARROW), WIDE, seed=3).train()
    optimizer = torch.optim.SGD(wide.parameters(), 0.1)
    scans, truth = torch.randn(1, 7, 8, 8, 8), torch.randint(0, 4, (512,))
    before = {name: value.clone() for name, value in wide.named_parameters()}
    for _ in range(3):
        rows = wide.encode(scans)[0].movedim(1, -1).reshape(512, -1)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(wide.score(rows, "tissue"), truth).backward()
        optimizer.step()
    for name, value in wide.named_parameters():
        if "conv" in name or "heads.tissue.0" in name:
            moved = (value - before[name]).flatten(1).abs().amax(1) if value.ndim > 1 else value - before[name]
            assert (moved != 0).float().mean() > 0.5, name


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"filters": (4, 5, 8)}, "may only grow"),
        ({"n_hidden": 6}, "may only grow"),
        ({"filters": (4, 6, 8, 8)}, "neither its scales"),
        ({"n_coordinates": 0}, "nor its coordinates"),
    ],
)
def test_a_network_is_never_made_narrower_or_deeper(shape, message):
    given = {"protocols": {"tissue": 4}, "filters": (4, 6, 8), "n_features": 5, "n_hidden": 7, "n_coordinates": 6}
    with pytest.raises(ConfigError, match=message):
        widened(trained(NARROW), UNetConfig(**(given | shape)), seed=0)
