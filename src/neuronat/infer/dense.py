"""The same predictions at all voxels of a mask, exactly and far faster: neighbouring patches share their convolutions.

The mask's box is cut into tiles, so memory stays bounded. In a tile the first convolution runs once; its features are
then read in eight phases, the centres of a phase lying two voxels apart (`nets.shared`). The fully connected layers
see the voxels of the mask only, a few thousand at a time, and their opinions go straight into the vote.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronat.errors import ConfigError, ShapeError
from neuronat.infer.cells import cell_table
from neuronat.infer.fold import FoldedNet, classify, fold_network
from neuronat.infer.hidden import hidden_values, plan_parts
from neuronat.infer.patches import padded_intensities
from neuronat.infer.plan import PHASES, plan_tiles
from neuronat.infer.vote import add_votes, mean_votes, open_ballot
from neuronat.nets.deepnat import PATCH_SIZE, DeepNat, task_offsets
from neuronat.nets.shared import first_features, lattice_variants

__all__ = ["DenseConfig", "dense_opinions", "predict_dense"]

ROWS = {"cpu": 2048, "cuda": 32768}  # voxels at a time in the fully connected layers: what the caches hold


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """How a volume is computed, in tiles of at most `tile_vox`^3 voxels each.

    `precision`: `float32` computes in the network's own precision and is exact; `bfloat16` is faster and is not.
    `every_voxel`: the cascade's first stage answers at every voxel by itself, not only where there is a doubt
    (`infer.foreground`).
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    tile_vox: int = 64
    precision: str = "float32"
    every_voxel: bool = False

    def __post_init__(self) -> None:
        if self.tile_vox < 1:
            raise ConfigError(f"DenseConfig.tile_vox must be at least 1; got {self.tile_vox}")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"DenseConfig.precision must be float32 or bfloat16; got {self.precision!r}")


def predict_dense(
    net: DeepNat,
    intensities: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    mask: NDArray[np.bool_],
    config: DenseConfig,
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.float32]:
    """Predict the classes of every voxel of a mask, by the vote of all patches centred in the mask.

    Parameters
    ----------
    net : DeepNat
        The network; it stays as it is.
    intensities : (I, J, K) float32
        Normalized intensities, 0 outside the brain.
    coordinates : (6, I, J, K) float32
        Brain coordinates.
    mask : (I, J, K) bool
        Voxels to label.
    config : DenseConfig
        Device, tiles, precision.
    progress : callable, optional
        Takes the share done, after each tile.

    Returns
    -------
    (V, C) float32
        Mean probability at the V voxels of the mask, in the order of `np.argwhere(mask)`.

    Raises
    ------
    ShapeError
        If the arrays do not share one grid.

    Notes
    -----
    Source: [DEEPNAT]; the dense form is ours (decision 0008): `predict_patches` and the vote, up to rounding.
    """
    ballot = open_ballot(mask, net.config.n_classes, config.device)
    offsets = torch.from_numpy(task_offsets(net.config.n_tasks)).to(config.device)
    n_done, n_voxels = 0, int(np.count_nonzero(mask))
    for centres, opinions in dense_opinions(net, intensities, coordinates, mask, config):
        add_votes(ballot, opinions, centres, offsets)
        n_done += len(centres)
        if progress:
            progress(n_done / n_voxels)
    return mean_votes(ballot)


def dense_opinions(
    net: DeepNat,
    intensities: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    mask: NDArray[np.bool_],
    config: DenseConfig,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the opinions of all patches centred in a mask, some thousand patches at a time.

    Parameters
    ----------
    net, intensities, coordinates, mask, config
        As in `predict_dense`.

    Yields
    ------
    centres : (N, 3) int64
        Patch centres ijk; each voxel of the mask comes once.
    opinions : (N, T, C) float
        Their probabilities, in the network's precision (float32 at least).

    Raises
    ------
    ShapeError
        If the arrays do not share one grid.

    Notes
    -----
    Source: ours (decision 0008).
    """
    if not intensities.shape == mask.shape == coordinates.shape[1:] or len(coordinates) != 6:
        raise ShapeError(
            f"intensities {intensities.shape}, coordinates {coordinates.shape} and mask {mask.shape} do not fit; "
            f"expected (I, J, K), (6, I, J, K) and (I, J, K)"
        )
    dtype = torch.bfloat16 if config.precision == "bfloat16" else net.conv1.weight.dtype
    folded = fold_network(net, config.device, dtype)
    padded = padded_intensities(intensities, config.device).to(dtype)
    channels = coordinates[list(net.config.coordinate_channels)]
    for tile in plan_tiles(mask, config.tile_vox):
        i, j, k = (slice(edge.start, edge.stop + PATCH_SIZE) for edge in tile.box)  # one more than the patches see
        with _exactly():
            features = first_features(folded.net, padded[:, :, i, j, k])
        for phase in PHASES:
            inside = mask[tile.box][tuple(slice(first, None, 2) for first in phase)]
            if inside.any():
                for lattice, hidden in _hidden_of_phase(folded, features, inside, phase):
                    centres = 2 * lattice + phase + tile.start
                    here = torch.from_numpy(channels[:, centres[:, 0], centres[:, 1], centres[:, 2]].T.copy())
                    with _exactly():
                        opinions = classify(folded, hidden, here.to(hidden))
                    yield torch.from_numpy(centres).to(config.device), opinions


def _hidden_of_phase(
    folded: FoldedNet, features: Tensor, inside: NDArray[np.bool_], phase: tuple[int, int, int]
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield centres of a phase, counted within it (N, 3), and their hidden values (N, H), some at a time."""
    i, j, k = (slice(first, first + 16 + 2 * n) for first, n in zip(phase, inside.shape, strict=True))
    with _exactly():
        table = cell_table(lattice_variants(folded.net, features[:, :, i, j, k]))
    size = ROWS.get(features.device.type, min(ROWS.values()))
    is_exact = torch.finfo(table.dtype).bits >= 32  # shared products round their differences once more
    for part in plan_parts(inside, size, in_blocks=is_exact):
        with _exactly():
            hidden = hidden_values(folded.hidden, table, inside.shape, part)
        yield part.centres, hidden


@contextmanager
def _exactly() -> Iterator[None]:
    """No gradients, and no TF32 where an accelerator would round with it. Never held over a yield."""
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield
