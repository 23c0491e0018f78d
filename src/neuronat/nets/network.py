"""The networks there are: by the architecture's name, never by a path to code."""

from neuronat.nets.deepnat import DeepNat, DeepNatConfig
from neuronat.nets.neuronet import NeuroNet, NeuroNetConfig
from neuronat.nets.unet import UNet, UNetConfig

__all__ = ["ARCHITECTURES", "Network", "NetworkShape", "build_network"]

ARCHITECTURES = ("deepnat", "neuronet", "unet")
Network = DeepNat | NeuroNet | UNet
NetworkShape = DeepNatConfig | NeuroNetConfig | UNetConfig


def build_network(shape: NetworkShape) -> Network:
    """Return a new network of a shape, its weights drawn at random."""
    if isinstance(shape, DeepNatConfig):
        return DeepNat(shape)
    if isinstance(shape, NeuroNetConfig):
        return NeuroNet(shape)
    return UNet(shape)
