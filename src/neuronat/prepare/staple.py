"""One label map from those of several registered atlases: STAPLE, window by window.

STAPLE estimates for every atlas which classes it takes for which, and weighs its votes by that. An atlas is better
registered in some places than in others, so this is done in windows; each decides the voxels in its middle.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from neuronat.errors import ConfigError
from neuronat.prepare.joint import majority_classes, unanimous_voxels

__all__ = ["StapleConfig", "fuse_by_staple"]

Windows = Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]


@dataclass(frozen=True, kw_only=True)
class StapleConfig:
    """Edge of the middle that a window decides, its margin on each side, and when estimation ends."""

    middle_vox: int = 16
    margin_vox: int = 8
    most_iterations: int = 30
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if self.middle_vox < 1 or self.margin_vox < 0 or self.most_iterations < 1 or not self.tolerance > 0:
            raise ConfigError(f"StapleConfig needs positive numbers (margin_vox may be 0); got {self}")


def fuse_by_staple(
    classes: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    config: StapleConfig,
    progress: Callable[[float], None] = lambda _done: None,
) -> NDArray[np.uint8]:
    """Fuse the classes of registered atlases by STAPLE in overlapping windows.

    Parameters
    ----------
    classes : (N, I, J, K) uint8
        Classes of N atlases.
    mask : (I, J, K) bool
        Brain mask of the scan.
    config : StapleConfig
        Windows and iterations.
    progress : callable, optional
        Takes the share done.

    Returns
    -------
    (I, J, K) uint8
        Classes; 0 outside the mask. What STAPLE leaves undecided goes to the majority.

    Notes
    -----
    Source: [STAPLE], as SimpleITK has it for several classes; windows after the idea of [SPATIALSTAPLE]. Ours: the
    windows do not know of each other, where the paper ties them to the whole brain; voxels outside the mask are
    left out.
    """
    fused = np.where(mask, classes[0], 0).astype(np.uint8)
    doubtful = mask & ~unanimous_voxels(classes)
    windows = [pair for pair in _windows(mask.shape, config) if doubtful[pair[0]].any()]
    for number, (middle, window) in enumerate(windows):
        inside = mask[window]
        answer = np.zeros(inside.shape, np.uint8)
        answer[inside] = _fuse_voxels(classes[(slice(None), *window)][:, inside], config)
        centre = tuple(slice(m.start - w.start, m.stop - w.start) for m, w in zip(middle, window, strict=True))
        fused[middle] = answer[centre]
        progress((number + 1) / len(windows))
    return fused


def _windows(shape: tuple[int, ...], config: StapleConfig) -> Windows:
    """Yield the middles that tile a grid of `shape`, each with its window."""
    n_middles = [-(-extent // config.middle_vox) for extent in shape]
    for index in np.ndindex(*n_middles):
        starts = [i * config.middle_vox for i in index]
        stops = [min(start + config.middle_vox, extent) for start, extent in zip(starts, shape, strict=True)]
        middle = tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))
        edges = zip(starts, stops, shape, strict=True)
        margin = config.margin_vox
        yield middle, tuple(slice(max(a - margin, 0), min(b + margin, extent)) for a, b, extent in edges)


def _fuse_voxels(classes: NDArray[np.uint8], config: StapleConfig) -> NDArray[np.uint8]:
    """Fuse N opinions (N, V) on V voxels; STAPLE asks for no neighbourhood, so a row of voxels will do."""
    known, numbers = np.unique(classes, return_inverse=True)
    if len(known) == 1:
        return majority_classes(classes)
    staple = sitk.MultiLabelSTAPLEImageFilter()
    staple.SetMaximumNumberOfIterations(config.most_iterations)
    staple.SetTerminationUpdateThreshold(config.tolerance)
    staple.SetLabelForUndecidedPixels(len(known))
    rows = numbers.reshape(classes.shape).astype(np.uint16)[:, None, :]
    found = sitk.GetArrayFromImage(staple.Execute([sitk.GetImageFromArray(row) for row in rows]))[0]
    is_decided = found < len(known)
    fused: NDArray[np.uint8] = np.where(is_decided, known[np.where(is_decided, found, 0)], majority_classes(classes))
    return fused
