"""The nouns that hold voxels: Volume (grey values), LabelMap (ids) and Probabilities (one channel per class).

All arrays are indexed ijk; an affine takes ijk to world millimetres, RAS+. The nouns check themselves at birth,
so that nothing downstream has to.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import GridError, ShapeError
from neuronat.labels.scheme import LabelScheme

__all__ = [
    "LEAST_BRAIN_ML",
    "MOST_BRAIN_ML",
    "LabelMap",
    "Probabilities",
    "Volume",
    "require_3d",
    "require_affine",
]

LEAST_BRAIN_ML, MOST_BRAIN_ML = 500.0, 2200.0
"""No human brain is smaller or larger, whether its mask is measured or its tissue."""


def require_affine(affine: NDArray[np.float64]) -> None:
    """Raise GridError unless `affine` is a finite, invertible (4, 4) voxel-to-world matrix."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise GridError(f"affine must be a finite (4, 4) matrix; got shape {affine.shape}: {affine.tolist()}")
    if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise GridError(f"affine is singular: {affine[:3, :3].tolist()}; repair the header's sform or qform")


def require_3d(shape: tuple[int, ...]) -> None:
    """Raise ShapeError unless `shape` has three extents, all above 0."""
    if len(shape) != 3 or min(shape) < 1:
        raise ShapeError(f"expected one 3D volume; got {len(shape)} dimensions {shape}")


@dataclass(frozen=True, eq=False)
class Volume:
    """Grey values (I, J, K) float32 with their affine (4, 4) float64, voxel to world mm, RAS+."""

    values: NDArray[np.float32]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        require_3d(self.values.shape)
        require_affine(self.affine)
        if self.values.dtype != np.float32:
            raise ShapeError(f"grey values must be float32; got {self.values.dtype}")


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Label ids (I, J, K) of any integer type, their affine, and the scheme that names them."""

    ids: NDArray[np.integer]
    affine: NDArray[np.float64]
    scheme: LabelScheme

    def __post_init__(self) -> None:
        require_3d(self.ids.shape)
        require_affine(self.affine)
        if not np.issubdtype(self.ids.dtype, np.integer):
            raise ShapeError(f"label ids must be integers; got {self.ids.dtype}")

    def mapped(self, scheme: LabelScheme) -> "LabelMap":
        """Return the same labels in a scheme that theirs maps onto; LabelError if no mapping to it is known."""
        return LabelMap(self.scheme.mapped_ids(self.ids, scheme.name), self.affine, scheme)


@dataclass(frozen=True, eq=False)
class Probabilities:
    """Probabilities (C, I, J, K) float32 in [0, 1], one channel per class of the scheme, with their affine."""

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    scheme: LabelScheme

    def __post_init__(self) -> None:
        require_3d(self.values.shape[1:])
        require_affine(self.affine)
        if len(self.values) != self.scheme.n_classes:
            raise ShapeError(
                f"{len(self.values)} channels do not fit the {self.scheme.n_classes} classes of {self.scheme.name}"
            )
