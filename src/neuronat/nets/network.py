"""The networks there are: by the architecture's name, never by a path to code."""

from neuronat.nets.deepnat import DeepNat, DeepNatConfig
from neuronat.nets.mirrored import MirroredUNet
from neuronat.nets.neuronet import NeuroNet, NeuroNetConfig
from neuronat.nets.unet import UNet, UNetConfig

__all__ = ["ARCHITECTURES", "Network", "NetworkShape", "ScanNetwork", "build_network"]

ARCHITECTURES = ("deepnat", "neuronet", "unet")
Network = DeepNat | NeuroNet | UNet
ScanNetwork = NeuroNet | UNet | MirroredUNet
"""Networks that label a whole scan at once."""
NetworkShape = DeepNatConfig | NeuroNetConfig | UNetConfig


def build_network(shape: NetworkShape) -> Network:
    """Return a new network of a shape, its weights drawn at random."""
    if isinstance(shape, DeepNatConfig):
        return DeepNat(shape)
    if isinstance(shape, NeuroNetConfig):
        return NeuroNet(shape)
    return UNet(shape)
