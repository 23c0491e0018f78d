"""Three tissues of a prepared brain, told apart by published tools: 1 cerebrospinal fluid, 2 grey, 3 white matter.

The tools are optional packages and load only when they are asked for. They see what the networks see:
bias-corrected grey values inside a brain mask, grey matter 0.65, white matter 1. A tool's name is that of its
protocol (decision 0013).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import ShapeError, UnusableInputError, UsageError
from neuronat.prepare.extra import private_temporary_files, require_package

__all__ = ["TOOLS", "TissueTool", "atropos_tissue", "hmrf_tissue", "ordered_tissues", "require_tool", "tissue_map"]

N_TISSUES = 3
HMRF = MappingProxyType({"beta": 0.3, "max_iter": 10})
HMRF_SCALE = 0.75  # takes grey matter near 0.5 and white matter to 0.75, where DIPY starts its classes
ATROPOS = MappingProxyType({"i": f"kmeans[{N_TISSUES}]", "m": "[0.1,1x1x1]", "c": "[5,0]", "r": 0})


def hmrf_tissue(intensities: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Label tissues by a hidden Markov random field, fitted by expectation maximization.

    Parameters
    ----------
    intensities : (I, J, K) float32
        Prepared grey values, 0 outside the mask.
    mask : (I, J, K) bool
        Brain mask.

    Returns
    -------
    (I, J, K) int
        The tool's own classes.

    Notes
    -----
    Source: [HMRF], as DIPY's `TissueClassifierHMRF` has it. Ours: outside the mask stands a weak checkerboard,
    since DIPY fills zeros with noise that no seed fixes, and divides by the spread of its background class.
    """
    from dipy.segment.tissue import TissueClassifierHMRF

    parity = np.indices(mask.shape, np.uint8).sum(0) % 2
    image = np.where(mask, np.clip(intensities * HMRF_SCALE, 0.0, 1.0), 0.01 * (1 + parity)).astype(np.float64)
    _, found, _ = TissueClassifierHMRF(verbose=False).classify(image, N_TISSUES, **HMRF)
    return np.asarray(found)


def atropos_tissue(intensities: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Label tissues by a finite mixture with a Markov random field, started by k-means (see `hmrf_tissue`).

    Notes
    -----
    Source: [ATROPOS], as antspyx has it. Ours: a fixed seed, and a private folder for its intermediate files.
    """
    import ants

    image, inside = ants.from_numpy(intensities), ants.from_numpy(mask.astype(np.float32))
    with private_temporary_files():
        found = ants.atropos(a=image, x=inside, **ATROPOS)
    return np.asarray(found["segmentation"].numpy())


@dataclass(frozen=True)
class TissueTool:
    """A published tool: `package` is what pip installs, `module` what Python imports; `label` runs it."""

    name: str
    title: str
    package: str
    module: str
    settings: Mapping[str, Any]
    label: Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[Any]]

    @property
    def version(self) -> str:
        """The installed package's version."""
        return version(self.package)


TOOLS = {
    "hmrf": TissueTool("hmrf", "DIPY TissueClassifierHMRF", "dipy", "dipy.segment.tissue", HMRF, hmrf_tissue),
    "atropos": TissueTool("atropos", "ANTs Atropos", "antspyx", "ants", ATROPOS, atropos_tissue),
}


def require_tool(name: str) -> TissueTool:
    """Return the tool called `name`, ready to run.

    Raises
    ------
    UsageError
        If the name is not known.
    UnavailableError
        If its package is not installed, or does not load.

    Notes
    -----
    Source: ours.
    """
    if name not in TOOLS:
        raise UsageError(f"tool {name} is not known; known are {', '.join(TOOLS)}")
    tool = TOOLS[name]
    require_package(f"tool {name}", tool.package, tool.module)
    return tool


def tissue_map(tool: TissueTool, intensities: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Run a tool on a prepared brain.

    Parameters
    ----------
    tool : TissueTool
        Of `TOOLS`.
    intensities : (I, J, K) float32
        Prepared grey values.
    mask : (I, J, K) bool
        Brain mask.

    Returns
    -------
    (I, J, K) uint8
        1 cerebrospinal fluid, 2 grey matter, 3 white matter; 0 outside the mask, and only there.

    Raises
    ------
    UnusableInputError
        If the tool finds fewer than three classes.
    ShapeError
        If it answers on another grid.

    Notes
    -----
    Source: ours.
    """
    found = tool.label(intensities, mask)
    if found.shape != mask.shape:
        raise ShapeError(f"{tool.title} answered with shape {found.shape}; {mask.shape} was asked for")
    return ordered_tissues(found, intensities, mask)


def ordered_tissues(
    found: NDArray[Any], intensities: NDArray[np.float32], mask: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Give the classes that a tool found inside a mask the numbers 1, 2, 3 by their mean grey value.

    What the tool left as background inside the mask joins the darkest class.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> grey, inside = np.array([0.0, 0.2, 0.3, 1.0, 0.7]), np.array([False, True, True, True, True])
    >>> ordered_tissues(np.array([0, 3, 0, 1, 2]), grey, inside).tolist()
    [0, 1, 1, 3, 2]
    """
    classes = [c for c in np.unique(found[mask]).tolist() if c > 0]
    if len(classes) != N_TISSUES:
        raise UnusableInputError(
            f"{len(classes)} of three tissues were found in the brain mask; check that the scan is a T1 of a brain"
        )
    by_mean = sorted(classes, key=lambda c: float(intensities[mask & (found == c)].mean()))
    tissues = mask.astype(np.uint8)
    for number, found_class in enumerate(by_mean, start=1):
        tissues[mask & (found == found_class)] = number
    return tissues
