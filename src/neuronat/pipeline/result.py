"""What comes out of one scan."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.labels.scheme import LabelScheme
from neuronat.measure.volumes import StructureVolume
from neuronat.pipeline.answers import Answer
from neuronat.prepare.conform import values_to_native
from neuronat.prepare.scan import PreparedScan, uncrop
from neuronat.space.volume import LabelMap, Probabilities

__all__ = ["BrainProbabilities", "Result"]


@dataclass(frozen=True, eq=False)
class BrainProbabilities:
    """One protocol's answer as computed, and where its voxels lie."""

    answer: Answer
    scheme: LabelScheme
    scan: PreparedScan
    is_native: bool

    def channels(self) -> Iterator[NDArray[np.float32]]:
        """Yield an (I, J, K) channel per class on the grid of the results."""
        for number, inside in enumerate(self.answer.channels()):
            cropped = np.zeros(self.scan.mask.shape, np.float32)
            cropped[self.scan.mask] = inside
            whole = uncrop(cropped, self.scan)
            if number == 0:
                whole[~uncrop(self.scan.mask, self.scan)] = 1
            yield values_to_native(whole, self.scan.grid) if self.is_native else whole


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """Labels, volumes and probabilities by protocol, the brain mask used, and what the user should know.

    `verdict` is `plausible` or `review`; `warnings` are lines for the user; `provenance` says how it came
    about, for the sidecars, without any path.
    """

    name: str
    stem: str
    labels: Mapping[str, LabelMap]
    volumes: Mapping[str, tuple[StructureVolume, ...]]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    space_code: int
    warnings: tuple[str, ...]
    verdict: str
    provenance: Mapping[str, Any]
    computed: Mapping[str, BrainProbabilities]

    @cached_property
    def probabilities(self) -> Mapping[str, Probabilities]:
        """Probabilities by protocol on the grid of the labels: made on request, large."""
        return {
            protocol: Probabilities(np.stack(list(found.channels())), self.affine, found.scheme)
            for protocol, found in self.computed.items()
        }

    def save(self, out: Path) -> tuple[Path, ...]:
        """Write the label maps, the mask and the tables into the folder `out`; return the files."""
        from neuronat.pipeline.outputs import write_result

        return write_result(self, out)
