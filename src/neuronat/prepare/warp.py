"""One brain deformed onto another, in seconds: demons, coarse to fine.

Both brains come prepared, so that equal tissue has equal grey values; that is what demons ask for.
"""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

__all__ = ["LEVELS", "find_warp", "place_points", "resampled"]

LEVELS = ((4, 50), (2, 40), (1, 15))
"""Grid in voxels, and iterations on it."""
SMOOTHING_VOX = 1.0
STEP_VOX = 2.0
LEAST_EXTENT = 16


def find_warp(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    affine: NDArray[np.float64],
    levels: Sequence[tuple[int, int]] = LEVELS,
) -> NDArray[np.float32]:
    """Find where each voxel of a brain lies in another one.

    Parameters
    ----------
    fixed : (I, J, K) float32
        Prepared grey values, 0 outside the brain.
    moving : (L, M, N) float32
        Those of the other brain.
    affine : (4, 3) float64
        `[i, j, k, 1] @ affine` is, roughly, the place in the other brain.
    levels : sequence of (int, int)
        Grid in voxels and iterations, coarse to fine.

    Returns
    -------
    (I, J, K, 3) float32
        Displacements on the fixed grid, in voxels, before the affine map: see `place_points`.

    Notes
    -----
    Source: [DEMONS], diffeomorphic, symmetric forces, as SimpleITK has it (decision 0043).
    """
    target, source = _image(fixed), _image(resampled(moving, affine, fixed.shape))
    field = None
    for step, iterations in levels:
        coarse, other = (_shrunken(image, step) for image in (target, source))
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(SMOOTHING_VOX)
        demons.SetMaximumUpdateStepLength(STEP_VOX)
        field = demons.Execute(coarse, other, *([_on_grid(field, coarse)] if field is not None else []))
    if field is None:
        return np.zeros((*fixed.shape, 3), np.float32)
    found = sitk.GetArrayFromImage(_on_grid(field, target))
    return np.ascontiguousarray(found.transpose(2, 1, 0, 3), np.float32)


def place_points(
    voxels: NDArray[np.integer], warp: NDArray[np.float32], affine: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return where voxels (V, 3) of the fixed grid lie in the other brain, (V, 3), in its voxels.

    Notes
    -----
    Source: ours.
    """
    moved = voxels + warp[tuple(voxels.T)]
    found: NDArray[np.float32] = (moved @ affine[:3] + affine[3]).astype(np.float32)
    return found


def resampled(moving: NDArray[np.float32], affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return grey values (L, M, N) on a grid (I, J, K) by an affine map, linear, 0 beyond the border.

    Notes
    -----
    Source: ours.
    """
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(affine[:3].T.ravel().tolist())
    transform.SetTranslation(affine[3].tolist())
    grid = sitk.Image([int(extent) for extent in shape], sitk.sitkFloat32)
    found = sitk.Resample(_image(moving), grid, transform, sitk.sitkLinear, 0.0)
    return np.ascontiguousarray(sitk.GetArrayFromImage(found).T)


def _image(values: NDArray[np.float32]) -> sitk.Image:
    """Hand an array to ITK, whose first axis is our last."""
    return sitk.GetImageFromArray(np.ascontiguousarray(values.T, np.float32))


def _shrunken(image: sitk.Image, step: int) -> sitk.Image:
    """Smooth an image and take every so many voxels, fewer along a short axis."""
    steps = [min(step, max(extent // LEAST_EXTENT, 1)) for extent in image.GetSize()]
    return image if max(steps) == 1 else sitk.Shrink(sitk.DiscreteGaussian(image, [(0.5 * step) ** 2] * 3), steps)


def _on_grid(field: sitk.Image, image: sitk.Image) -> sitk.Image:
    """Return a displacement field on the grid of an image."""
    return sitk.Resample(field, image, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64)
