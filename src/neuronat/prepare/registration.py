"""Atlases brought onto a scan: deformable registration by ANTs, an optional package.

An **atlas** is a scan with a label map. Both scan and atlas come prepared, so that ANTs sees what the networks see.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import UnusableInputError
from neuronat.prepare.extra import private_temporary_files

__all__ = ["QUALITIES", "register_atlas"]

QUALITIES: Mapping[str, str] = MappingProxyType(
    {"fast": "antsRegistrationSyNQuickRepro[s]", "full": "antsRegistrationSyNRepro[s]"}
)
"""What ANTs calls the settings: SyN down to 2 mm, or down to 1 mm, after a rigid and an affine stage."""
SEED = 1


def register_atlas(
    target: NDArray[np.float32], atlas: NDArray[np.float32], classes: NDArray[np.uint8], quality: str
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Deform an atlas so that it fits a scan.

    Parameters
    ----------
    target : (I, J, K) float32
        Prepared grey values of the scan, 0 outside the brain.
    atlas : (L, M, N) float32
        Those of the atlas.
    classes : (L, M, N) uint8
        Of the atlas: numbers that single precision holds, as ids may not be.
    quality : str
        A key of `QUALITIES`.

    Returns
    -------
    (I, J, K) float32, (I, J, K) uint8
        Grey values (linear) and classes (nearest) of the atlas on the scan's grid.

    Raises
    ------
    UnusableInputError
        If ANTs gives up.

    Notes
    -----
    Source: [SYN], as antspyx has it. Ours: grids go in without their affines, which the rigid and affine stages
    make up for; a fixed seed.
    """
    import ants
    from ants.config import set_ants_deterministic

    set_ants_deterministic(on=False, seed_value=SEED)  # the seed alone; the other switch forbids several threads
    fixed, moving, labels = (ants.from_numpy(a.astype(np.float32)) for a in (target, atlas, classes))
    with private_temporary_files():
        try:
            found = ants.registration(fixed=fixed, moving=moving, type_of_transform=QUALITIES[quality])
        except RuntimeError as error:
            raise UnusableInputError(f"cannot be registered ({error}); leave it out") from error
        moves = found["fwdtransforms"]
        grey = ants.apply_transforms(fixed=fixed, moving=moving, transformlist=moves)
        nearest = ants.apply_transforms(fixed=fixed, moving=labels, transformlist=moves, interpolator="nearestNeighbor")
    return np.asarray(grey.numpy(), np.float32), np.rint(nearest.numpy()).astype(np.uint8)
