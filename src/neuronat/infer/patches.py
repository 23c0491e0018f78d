"""The slow reference: patch by patch, exactly as the network is drawn."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.nets.deepnat import PATCH_SIZE, DeepNat

__all__ = ["padded_intensities", "predict_patches"]

REACH = PATCH_SIZE // 2


def padded_intensities(intensities: NDArray[np.float32], device: torch.device) -> Tensor:
    """Return (1, 1, I+22, J+22, K+22) float32: what patches at the volume's border see outside is 0."""
    return torch.from_numpy(np.pad(intensities, REACH)).to(device)[None, None]


@torch.inference_mode()
def predict_patches(
    net: DeepNat,
    intensities: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    centres: NDArray[np.int64],
    *,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Predict the classes at the tasks of patches, one patch for each centre.

    Parameters
    ----------
    net : DeepNat
        The network, in evaluation mode.
    intensities : (I, J, K) float32
        Normalized intensities, 0 outside the mask.
    coordinates : (6, I, J, K) float32
        Brain coordinates.
    centres : (N, 3) int64
        Patch centres ijk.
    batch_size : int
        Patches at a time.

    Returns
    -------
    (N, T, C) float
        Probabilities, sum 1 over C, in the network's precision.

    Notes
    -----
    Source: [DEEPNAT].
    """
    weight = net.conv1.weight
    padded = padded_intensities(intensities, weight.device).to(weight.dtype)
    channels = list(net.config.coordinate_channels)
    opinions = []
    for batch in np.array_split(centres, max(-(-len(centres) // batch_size), 1)):
        patches = torch.stack(
            [padded[0, :, i : i + PATCH_SIZE, j : j + PATCH_SIZE, k : k + PATCH_SIZE] for i, j, k in batch.tolist()]
        )
        here = torch.from_numpy(coordinates[:, batch[:, 0], batch[:, 1], batch[:, 2]].T.copy())[:, channels]
        opinions.append(net(patches, here.to(weight)).softmax(2).cpu().numpy())
    found: NDArray[np.float32] = np.concatenate(opinions)
    return found
