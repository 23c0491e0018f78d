"""What comes out of one scan."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.labels.scheme import LabelScheme
from neuronat.measure.agreement import Agreement
from neuronat.measure.confidence import Calibration, calibrated, expected_dice
from neuronat.measure.plausible import Finding, verdict_of
from neuronat.measure.volumes import StructureVolume, is_coarse
from neuronat.pipeline.answers import Answer
from neuronat.prepare.conform import labels_to_native, values_to_native
from neuronat.prepare.scan import PreparedScan, uncrop
from neuronat.space.affine import voxel_volume_mm3
from neuronat.space.volume import LabelMap, Probabilities, Volume

__all__ = ["BrainProbabilities", "Result"]


@dataclass(frozen=True, eq=False)
class BrainProbabilities:
    """One protocol's answer as computed, and where its voxels lie.

    `calibration` says what its probabilities are worth, if known, `untaught` which ids its model never saw.
    """

    answer: Answer
    scheme: LabelScheme
    scan: PreparedScan
    is_native: bool
    calibration: Calibration | None = None
    untaught: tuple[int, ...] = ()

    @cached_property
    def confidence(self) -> Mapping[int, float]:
        """The Dice coefficient to be expected of each structure found, by id; empty without a calibration."""
        if self.calibration is None:
            return {}
        expected = expected_dice(self.answer.classes, self.answer.certainty, self.answer.masses)
        n_voxels = np.bincount(self.answer.classes, minlength=len(expected))
        found = [number for number in np.flatnonzero(n_voxels).tolist() if number > 0]
        size_ml = n_voxels[found] * voxel_volume_mm3(self.scan.affine) / 1000
        values = calibrated(self.calibration, expected[found], size_ml)
        return {self.scheme.ids[number]: value for number, value in zip(found, values.tolist(), strict=True)}

    def label_map(self) -> LabelMap:
        """Return the most probable class of each voxel, on the grid of the results."""
        grid, whole = self.scan.grid, self._labelled()
        if self.is_native:
            return LabelMap(labels_to_native(whole, grid), grid.native_affine, self.scheme)
        return LabelMap(whole, grid.affine, self.scheme)

    @cached_property
    def fine_map(self) -> LabelMap | None:
        """The labels on the working grid, where volumes are counted, if the results lie on a coarser grid."""
        is_finer = self.is_native and is_coarse(self.scan.grid.native_affine)
        return LabelMap(self._labelled(), self.scan.grid.affine, self.scheme) if is_finer else None

    def channels(self) -> Iterator[NDArray[np.float32]]:
        """Yield an (I, J, K) channel per class on the grid of the results."""
        for number, inside in enumerate(self.answer.channels()):
            cropped = np.zeros(self.scan.mask.shape, np.float32)
            cropped[self.scan.mask] = inside
            whole = uncrop(cropped, self.scan)
            if number == 0:
                whole[~uncrop(self.scan.mask, self.scan)] = 1
            yield values_to_native(whole, self.scan.grid) if self.is_native else whole

    def _labelled(self) -> NDArray[np.int32]:
        """Return the label ids on the working grid."""
        cropped = np.zeros(self.scan.mask.shape, np.int32)
        cropped[self.scan.mask] = self.scheme.ids_of(self.answer.classes)
        return uncrop(cropped, self.scan)


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """Labels, volumes and probabilities by protocol, the brain mask used, and what the user should know.

    `findings` by protocol say what is strange; the verdict, `pass`, `review` or `fail`, follows from them.
    `warnings` are lines about the scan; `provenance` says how it came about, for the sidecars, without any path.
    `computed` holds what the networks saw, for probabilities on request: about 0.8 GB for a large brain.
    `image` is the scan on the grid of the labels; `confidence` holds a number in [0, 1] per protocol and structure
    id, where it is known; `agreement` says how far several protocols agree.
    """

    name: str
    stem: str
    labels: Mapping[str, LabelMap]
    volumes: Mapping[str, tuple[StructureVolume, ...]]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    space_code: int
    warnings: tuple[str, ...]
    findings: Mapping[str, tuple[Finding, ...]]
    provenance: Mapping[str, Any]
    computed: Mapping[str, BrainProbabilities]
    image: Volume
    confidence: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    agreement: Agreement | None = None

    @property
    def verdict(self) -> str:
        """The worst of the findings: `pass`, `review` or `fail`."""
        return verdict_of([finding for found in self.findings.values() for finding in found])

    @property
    def reasons(self) -> tuple[str, ...]:
        """The findings as lines for the user, each once, the worst first."""
        findings = [finding for found in self.findings.values() for finding in found]
        return tuple(dict.fromkeys(finding.reason for finding in sorted(findings, key=lambda finding: finding.level)))

    @cached_property
    def probabilities(self) -> Mapping[str, Probabilities]:
        """Probabilities by protocol on the grid of the labels: made on request, large."""
        return {
            protocol: Probabilities(np.stack(list(found.channels())), self.affine, found.scheme)
            for protocol, found in self.computed.items()
        }

    def named_confidence(self, protocol: str) -> dict[str, float]:
        """Return the confidence of a protocol's structures by their names; empty where it is not known."""
        scheme = self.labels[protocol].scheme
        return {scheme.name_of[index]: round(value, 3) for index, value in self.confidence.get(protocol, {}).items()}

    def save(self, out: Path) -> tuple[Path, ...]:
        """Write the label maps, the mask, the tables and the report into the folder `out`; return the files."""
        from neuronat.pipeline.outputs import write_result
        from neuronat.pipeline.report import page_of

        return write_result(self, out, extras={f"{self.stem}.html": page_of(self).encode()})
