"""A wider network that begins with the answers of a narrower one, so that what was learnt is not learnt again."""

import torch
from torch import Tensor

from neuronat.errors import ConfigError
from neuronat.nets.unet import UNet, UNetConfig

__all__ = ["widened"]


def widened(net: UNet, shape: UNetConfig, *, seed: int) -> UNet:
    """Build a network of a shape that scores as `net` does; what it has more is drawn from chance.

    Parameters
    ----------
    net : UNet
        A finished network.
    shape : UNetConfig
        As many scales and coordinates, and nowhere narrower; it may have other protocols, whose heads are new.
    seed : int
        Of the weights that start from chance.

    Returns
    -------
    UNet
        On the CPU. Its new features reach the old ones through weights of zero, which learn from the first step on.

    Raises
    ------
    ConfigError
        If the shape has other scales or coordinates, or is narrower.

    Notes
    -----
    Source: [NET2NET] wider networks; there new units are copies that share their outgoing weights, here they are drawn
    from chance and have no say yet, which also needs no noise to part them.
    """
    old = net.config
    if len(old.filters) != len(shape.filters) or old.n_coordinates != shape.n_coordinates:
        raise ConfigError("a network can be widened, but neither its scales nor its coordinates can change")
    widths = [(*config.filters, config.n_features, config.n_hidden) for config in (old, shape)]
    if any(had > has for had, has in zip(*widths, strict=True)):
        raise ConfigError(f"a network of widths {widths[0]} cannot become one of {widths[1]}: it may only grow")
    torch.manual_seed(seed)
    wide = UNet(shape)
    own = wide.state_dict()
    for name, value in net.state_dict().items():
        if name in own:
            _set_in(own[name], value, _columns(name, value, own[name], n_coordinates=old.n_coordinates))
    return wide


def _set_in(target: Tensor, value: Tensor, columns: Tensor) -> None:
    """Write weights into the wider ones in place: old rows see old columns alone, new rows stay as they are."""
    if value.ndim == 0:
        target.copy_(value)
    elif value.ndim == 1:
        target[: len(value)] = value
    else:
        target[: len(value)] = 0
        target[: len(value), columns] = value


def _columns(name: str, value: Tensor, target: Tensor, *, n_coordinates: int) -> Tensor:
    """Return where the inputs of a layer lie among those of the wider layer: (C,) int64."""
    if value.ndim < 2:
        return torch.arange(0)
    n_old, n_new = value.shape[1], target.shape[1]
    if name == "last.conv.weight" or (name.startswith("merge.") and name.endswith(".0.conv.weight")):
        first = torch.arange(n_old // 2)  # two scales of equal width are joined there
        return torch.cat([first, n_new // 2 + first])
    if name.startswith("heads.") and name.endswith(".0.weight"):
        n_features = n_old - n_coordinates  # coordinates come last
        return torch.cat([torch.arange(n_features), torch.arange(n_new - n_coordinates, n_new)])
    return torch.arange(n_old)
