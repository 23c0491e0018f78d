"""A synthetic skull-stripped brain with known labels, for tests, documentation and a first try.

It is built of ellipsoids in the scheme of 25 structures: cortex around white matter, ventricles and deep grey
matter in pairs, a cerebellum and a brain stem. It is no believable brain, and small by default.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.labels.scheme import load_scheme
from neuronat.space.volume import LabelMap, Volume

__all__ = ["make_phantom"]

RIGHT_OF_LEFT = {2: 41, 3: 42, 4: 43, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54}
CONTRAST = {
    0: 0.0, 2: 1.0, 3: 0.65, 4: 0.25, 7: 0.95, 8: 0.62, 10: 0.8, 11: 0.68, 12: 0.72, 13: 0.88, 14: 0.25,
    15: 0.25, 16: 0.92, 17: 0.66, 18: 0.64,
}  # fmt: skip
BODIES = (  # id, centre and half axes in the unit cube of the brain (x left to right, y back to front, z up)
    (3, (-0.02, 0.05, 0.15), (0.94, 0.93, 0.82)),
    (2, (-0.06, 0.05, 0.15), (0.76, 0.77, 0.64)),
    (8, (-0.02, -0.62, -0.62), (0.50, 0.34, 0.30)),
    (7, (-0.06, -0.62, -0.60), (0.32, 0.20, 0.16)),
    (4, (-0.15, 0.05, 0.32), (0.11, 0.46, 0.14)),
    (11, (-0.28, 0.28, 0.26), (0.10, 0.24, 0.16)),
    (12, (-0.46, 0.16, 0.08), (0.11, 0.26, 0.17)),
    (13, (-0.32, 0.12, 0.04), (0.09, 0.15, 0.13)),
    (10, (-0.18, -0.12, 0.10), (0.12, 0.20, 0.14)),
    (17, (-0.44, -0.18, -0.22), (0.12, 0.28, 0.11)),
    (18, (-0.42, 0.18, -0.20), (0.12, 0.13, 0.12)),
)
MIDLINE_BODIES = (
    (16, (0.0, -0.28, -0.62), (0.17, 0.19, 0.34)),
    (15, (0.0, -0.46, -0.55), (0.09, 0.09, 0.14)),
    (14, (0.0, -0.06, 0.12), (0.06, 0.22, 0.16)),
)


def make_phantom(
    shape: tuple[int, int, int] = (40, 48, 56),
    rng: np.random.Generator | None = None,
    *,
    noise: float = 0.03,
    bias: float = 0.15,
    affine: NDArray[np.float64] | None = None,
) -> tuple[Volume, LabelMap, NDArray[np.bool_]]:
    """Make a brain of ellipsoids.

    Parameters
    ----------
    shape : (I, J, K)
        Extents in voxels; the axes are right, front and up.
    rng : Generator, optional
        Source of the noise and the bias field; a fixed one if left out.
    noise : float
        Standard deviation of the noise, in units of the contrast between white matter and background.
    bias : float
        Largest deviation of the bias field from 1.
    affine : (4, 4) float64, optional
        Voxel to world mm; by default 1 mm, RAS, the world's origin in the centre.

    Returns
    -------
    Volume, LabelMap, (I, J, K) bool
        The scan, 0 outside the brain; its labels in the scheme `deepnat25`, all 25 structures at the default
        shape; its brain mask.

    Notes
    -----
    Source: ours.
    """
    rng = np.random.default_rng(20_151) if rng is None else rng
    if affine is None:
        affine = np.eye(4)
        affine[:3, 3] = -(np.array(shape) - 1) / 2
    ids = _draw_labels(shape)
    mask = ids > 0
    contrast = np.zeros(max(RIGHT_OF_LEFT.values()) + 1, np.float32)
    for index, grey in CONTRAST.items():
        contrast[[index, RIGHT_OF_LEFT.get(index, index)]] = grey
    blurred = ndimage.gaussian_filter(contrast[ids], 0.4)
    field = ndimage.zoom(rng.uniform(-1, 1, (3, 3, 3)), np.array(shape) / 3, order=3, mode="nearest")
    clean = blurred * (1 + bias * np.clip(field, -1, 1))
    noisy = clean + noise * rng.standard_normal(shape)
    values = np.where(mask, np.clip(1000 * noisy, 1, None), 0).astype(np.float32)
    return Volume(values, affine), LabelMap(ids, affine, load_scheme("deepnat25")), mask


def _draw_labels(shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """Draw the ellipsoids, outer ones first; the left half is mirrored into the right one."""
    steps = [(np.arange(n) - (n - 1) / 2) / (0.46 * n) for n in shape]
    x, y, z = np.meshgrid(*steps, indexing="ij")
    ids = np.zeros(shape, np.int32)
    for index, centre, half_axes in BODIES:
        inside = _is_inside((-np.abs(x), y, z), centre, half_axes)
        ids[inside & (x < 0)] = index
        ids[inside & (x >= 0)] = RIGHT_OF_LEFT[index]
    for index, centre, half_axes in MIDLINE_BODIES:
        ids[_is_inside((x, y, z), centre, half_axes)] = index
    return ids


def _is_inside(
    point: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    centre: tuple[float, float, float],
    half_axes: tuple[float, float, float],
) -> NDArray[np.bool_]:
    """Tell which points lie inside an ellipsoid."""
    squares = [((p - c) / h) ** 2 for p, c, h in zip(point, centre, half_axes, strict=True)]
    return np.asarray(squares[0] + squares[1] + squares[2] <= 1)
