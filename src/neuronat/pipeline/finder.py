"""Where the brain lies in a raw head: a coarse network and the mean shape of brains."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from neuronat.errors import ModelError, UnusableInputError
from neuronat.infer.protocols import class_probabilities
from neuronat.infer.shape import fit_shape, weigh_by_shape
from neuronat.infer.tiles import TileConfig, encode_scan
from neuronat.labels.scheme import BRAIN
from neuronat.nets.store import Model
from neuronat.pipeline.settings import Progress
from neuronat.prepare.intensity import scale_brightness
from neuronat.space.voxels import largest_part

__all__ = ["find_brain"]

LEAST_BRAIN_VOX = 300_000
LEAST_SUPPORT = 0.52
"""Overlap of the fitted shape with what the network takes for brain: 0.42 and 0.49 in noise, 0.57 to 0.85 in heads."""
BRIDGE_VOX = 2
"""What hangs on the brain by less than twice this is cut off, as eyes and vessels do."""
RIM_VOX = 2
"""By how much the border may lie further out than the coarse network saw it."""
DARK = 0.4
"""Fluid and bone at the border are darker than this share of the brain's bright tissue."""
PARTIAL = 0.3
"""What touches the tissue and is at least so bright holds some of it."""
CORE_VOX, BRIGHT_PERCENTILE = 10, 75
BRAIN_BRIDGE_VOX = 4
"""What hangs on the tissue by less than twice this is no brain: muscle, dura, skin."""
SULCUS_VOX = 7
"""Clefts of the tissue up to twice as wide belong to the brain."""


def find_brain(model: Model, grey: NDArray[np.float32], device: torch.device, progress: Progress) -> NDArray[np.bool_]:
    """Find the brain in a raw head.

    Parameters
    ----------
    model : Model
        One with the protocol `brain`.
    grey : (I, J, K) float32
        Grey values on the working grid, any scale.
    device : torch.device
        Where to calculate.
    progress : callable
        Takes the step's name and the share done.

    Returns
    -------
    (I, J, K) bool
        The largest part that looks like brain, without holes and without what hangs on it by a thin bridge.

    Raises
    ------
    UnusableInputError
        If nothing of a brain's size does.

    Notes
    -----
    Source: ours.
    """
    net = model.whole
    if net is None:
        raise ModelError(f"model {model.name}: cannot find the brain in a raw head")
    step = model.card.stages["whole"].step_vox
    coarse = _block_means(scale_brightness(grey), step)
    everywhere, config = np.ones(coarse.shape, bool), TileConfig(device=device)
    features = encode_scan(
        net.to(device), coarse[None], everywhere, config, lambda done: progress("finding the brain", 0.8 * done)
    )
    rows = class_probabilities(net, features, BRAIN)
    share = rows[:, 1].reshape(coarse.shape)
    progress("finding the brain", 0.8)
    shape = fit_shape(share, float(step))
    if (support := 2 * float((share * shape).sum()) / float(share.sum() + shape.sum())) < LEAST_SUPPORT:
        raise UnusableInputError(
            f"does not look like a human head: what looks like brain in it has not a brain's shape "
            f"(overlap {support:.2f} of 1); check it, or give a brain mask with --mask"
        )
    body = _body(_refine(weigh_by_shape(share, shape), step, grey.shape) > 0.5, BRIDGE_VOX)
    if body.sum() < LEAST_BRAIN_VOX:
        raise UnusableInputError(
            f"holds no brain that could be found (the largest part like one has {body.sum() / 1000:.0f} ml); "
            f"check that it is a T1-weighted head, or give a brain mask with --mask"
        )
    progress("finding the brain", 0.9)
    brightness = _brightness(grey, body)
    filled = ndimage.binary_fill_holes(_trimmed(body, brightness))
    with_rim: NDArray[np.bool_] = filled | (ndimage.binary_dilation(filled) & (brightness > PARTIAL))
    return with_rim


def _body(is_brain: NDArray[np.bool_], bridge_vox: int) -> NDArray[np.bool_]:
    """Return the largest part of (I, J, K) that stays in one piece when bridges are cut."""
    core = largest_part(ndimage.binary_erosion(is_brain, iterations=bridge_vox))
    body: NDArray[np.bool_] = ndimage.binary_dilation(core, iterations=bridge_vox + 1, mask=is_brain)
    return body


def _brightness(grey: NDArray[np.float32], body: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return grey values (I, J, K), slightly smoothed, as shares of those of a brain's bright tissue."""
    core = ndimage.binary_erosion(body, iterations=CORE_VOX)
    bright = float(np.percentile(grey[core if core.any() else body], BRIGHT_PERCENTILE))
    shares: NDArray[np.float32] = ndimage.gaussian_filter(grey, 0.6) / bright
    return shares


def _trimmed(body: NDArray[np.bool_], brightness: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Move the border (I, J, K) of a brain to where its tissue ends: dark rims go, narrow clefts stay."""
    found = ndimage.find_objects(body.astype(np.uint8))[0]
    box = tuple(slice(max(0, s.start - RIM_VOX - 1), s.stop + RIM_VOX + 1) for s in found)
    outer = ndimage.binary_dilation(body[box], iterations=RIM_VOX)
    tissue = _body(outer & (brightness[box] > DARK), BRAIN_BRIDGE_VOX)
    near = ndimage.distance_transform_edt(~np.pad(tissue, SULCUS_VOX + 1)) <= SULCUS_VOX
    closed = (ndimage.distance_transform_edt(near) > SULCUS_VOX)[(slice(SULCUS_VOX + 1, -SULCUS_VOX - 1),) * 3]
    trimmed = np.zeros_like(body)
    trimmed[box] = (closed | tissue) & outer
    return trimmed


def _block_means(grey: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Average (I, J, K) values over cubes of `step` voxels; the last ones are filled up by repeating the border."""
    if step == 1:
        return grey
    padded = np.pad(grey, [(0, -extent % step) for extent in grey.shape], mode="edge")
    i, j, k = (extent // step for extent in padded.shape)
    means: NDArray[np.float32] = padded.reshape(i, step, j, step, k, step).mean((1, 3, 5))
    return means


def _refine(coarse: NDArray[np.float32], step: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Interpolate values of cubes of `step` voxels linearly at the voxels of a grid of `shape`."""
    if step == 1:
        return coarse
    fine = functional.interpolate(
        torch.from_numpy(coarse)[None, None], scale_factor=step, mode="trilinear", align_corners=False
    )
    i, j, k = shape
    inside: NDArray[np.float32] = fine[0, 0, :i, :j, :k].numpy()
    return inside
