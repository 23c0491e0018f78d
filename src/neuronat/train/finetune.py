"""From a finished network to one that learns on: which weights it takes along, and which of them may change.

A *head* is the part of a network that speaks of one protocol's classes; a *fresh* head starts from chance.
"""

from collections.abc import Collection

import torch
from torch import nn

from neuronat.nets.deepnat import DeepNat
from neuronat.nets.network import Network, NetworkShape, build_network

__all__ = ["adapted_network", "head_prefixes", "learn_only"]

PARTS = ("heads", "deep", "decoders")  # of a UNet, of its coarser scales, of the published NeuroNet


def head_prefixes(network: Network, protocols: Collection[str]) -> tuple[str, ...]:
    """Return how the names of the weights of these protocols' heads begin; a DeepNAT has one head for all it knows.

    Notes
    -----
    Source: ours.
    """
    if isinstance(network, DeepNat):
        return ("heads.",) if protocols else ()
    return tuple(f"{part}.{protocol}." for part in PARTS for protocol in protocols)


def adapted_network(start: Network, shape: NetworkShape, fresh: tuple[str, ...], *, seed: int) -> Network:
    """Build a network of a shape with the weights of another one, wherever both have them.

    Parameters
    ----------
    start : Network
        A finished network of the same architecture.
    shape : NetworkShape
        What to build; it may have other protocols.
    fresh : tuple of str
        Beginnings of the names of weights that are not taken along (`head_prefixes`).
    seed : int
        Of the weights that start from chance.

    Returns
    -------
    Network
        On the CPU, all weights ready to learn.

    Notes
    -----
    Source: ours.
    """
    torch.manual_seed(seed)
    network = build_network(shape)
    own = network.state_dict()
    kept = {name: value for name, value in start.state_dict().items() if name in own and not name.startswith(fresh)}
    network.load_state_dict(own | kept)
    return network


def learn_only(network: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Let only the weights learn whose names begin so; all others stay as they are. An empty prefix lets all learn."""
    for name, weight in network.named_parameters():
        weight.requires_grad_(name.startswith(prefixes))
