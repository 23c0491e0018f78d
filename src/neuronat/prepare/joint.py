"""One label map from those of several registered atlases: joint label fusion.

An atlas counts at a voxel by how well its grey values fit around it, and the less, the more it errs as others do.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import ConfigError
from neuronat.prepare.extra import private_temporary_files

__all__ = ["JointConfig", "fuse_jointly", "majority_classes", "unanimous_voxels"]


@dataclass(frozen=True, kw_only=True)
class JointConfig:
    """Numbers of [JLF]: how far patches reach, how far they are searched, sharpness and ridge of the weights."""

    patch_reach_vox: int = 2
    search_reach_vox: int = 3
    beta: float = 2.0
    alpha: float = 0.1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ConfigError(f"JointConfig.{name} must be above 0; got {value!r}")


def fuse_jointly(
    intensities: NDArray[np.float32],
    mask: NDArray[np.bool_],
    grey: NDArray[np.float32],
    classes: NDArray[np.uint8],
    config: JointConfig,
) -> NDArray[np.uint8]:
    """Fuse the classes of registered atlases by joint label fusion.

    Parameters
    ----------
    intensities : (I, J, K) float32
        Prepared grey values of the scan.
    mask : (I, J, K) bool
        Its brain mask.
    grey : (N, I, J, K) float32
        Grey values of N atlases, registered.
    classes : (N, I, J, K) uint8
        Their classes.
    config : JointConfig
        The method's numbers.

    Returns
    -------
    (I, J, K) uint8
        Classes; 0 outside the mask.

    Notes
    -----
    Source: [JLF], as antspyx has it, without the corrective learning of [PICSL]. Ours: where all atlases agree,
    their class stands, and weights are found elsewhere only; background is a class like the others; a margin around
    the images, near whose borders ANTs errs.
    """
    fused = np.where(mask, classes[0], 0).astype(np.uint8)
    doubtful = mask & ~unanimous_voxels(classes)
    if not doubtful.any():
        return fused
    import ants

    reach = config.patch_reach_vox + config.search_reach_vox
    images = [_image(values, reach) for values in grey]
    labels = [_image(found + 1.0, reach, outside=1.0) for found in classes]  # ANTs votes for no label 0
    with private_temporary_files():
        found = ants.joint_label_fusion(
            _image(intensities, reach),
            _image(doubtful, reach),
            images,
            label_list=labels,
            rad=config.patch_reach_vox,
            r_search=config.search_reach_vox,
            beta=config.beta,
            rho=config.alpha,
        )
    inner = tuple(slice(reach, -reach) for _ in range(3))
    voted = np.rint(found["segmentation"].numpy()[inner][doubtful]).astype(np.int64)
    fused[doubtful] = np.where(voted > 0, voted - 1, majority_classes(classes[:, doubtful]))
    return fused


def _image(values: NDArray[Any], margin: int, *, outside: float = 0.0) -> Any:
    """Turn an (I, J, K) array into an image of ANTs, with a margin."""
    import ants

    return ants.from_numpy(np.pad(values.astype(np.float32), margin, constant_values=outside))


def unanimous_voxels(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell where N label maps (N, ...) say the same."""
    same: NDArray[np.bool_] = (classes == classes[0]).all(axis=0)
    return same


def majority_classes(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the most frequent class (...) of N label maps (N, ...), the smallest on a tie.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> majority_classes(np.array([[3, 1, 2], [3, 2, 2], [1, 2, 5], [2, 1, 5]], np.uint8)).tolist()
    [3, 1, 2]
    """
    best, most = np.zeros(classes.shape[1:], np.uint8), np.zeros(classes.shape[1:], np.int64)
    for value in np.unique(classes):
        votes = (classes == value).sum(axis=0)
        best[votes > most] = value
        most = np.maximum(most, votes)
    return best
