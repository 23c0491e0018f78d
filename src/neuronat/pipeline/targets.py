"""Label maps by tools that can be installed: what a network is taught to reproduce, and what it is compared with."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat import __version__
from neuronat.errors import NeuronatError, UnusableInputError, UsageError
from neuronat.labels.scheme import load_scheme
from neuronat.pipeline.outputs import DISCLAIMER, move_files, require_same_tables, staged, write_json, write_table
from neuronat.pipeline.plan import require_distinct, require_unclaimed, require_usable_name
from neuronat.pipeline.segment import Inputs, prepare_brain, read_inputs
from neuronat.pipeline.settings import Progress, SegmentConfig, no_progress
from neuronat.prepare.conform import labels_to_native
from neuronat.prepare.scan import PreparedScan, uncrop
from neuronat.prepare.tissue import TissueTool, require_tool, tissue_map
from neuronat.record import (
    Marker,
    broken_outputs,
    differences,
    make_folder,
    marker_path,
    read_marker,
    sha256_of,
    shown_name,
    stem_of,
    write_marker,
)
from neuronat.space.files import write_label_map
from neuronat.space.loading import naming
from neuronat.space.reading import hash_of_scan
from neuronat.space.volume import LabelMap

__all__ = ["Target", "TargetOutcome", "plan_targets", "prepare_stripped", "target_files"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """One scan and one tool: to do, or `is_done` (a verified result is there), or `failure` says why not."""

    scan: Path
    tool: TissueTool
    wanted: Marker | None = None
    is_done: bool = False
    failure: NeuronatError | None = None

    @property
    def name(self) -> str:
        """What the files of this target begin with."""
        return f"{stem_of(self.scan)}_seg-{self.tool.name}"


@dataclass(frozen=True, eq=False, kw_only=True)
class TargetOutcome:
    """What became of a target: `done`, `already done` or `failed`; `tool_s` is the tool alone, in seconds."""

    target: Target
    state: str
    outputs: tuple[str, ...] = ()
    failure: BaseException | None = None
    tool_s: float = 0.0


def target_files(
    scans: Sequence[Path],
    tools: Sequence[str],
    out: Path,
    config: SegmentConfig,
    progress: Progress = no_progress,
) -> Iterator[TargetOutcome]:
    """Run tools on scans, one label map per scan and tool; one failure stops no other scan.

    Parameters
    ----------
    scans : sequence of Path
        Images of one head each.
    tools : sequence of str
        Names of tools (`prepare.tissue`).
    out : Path
        Folder for the results; made if need be.
    config : SegmentConfig
        How scans are read, whether results may be overwritten.
    progress : callable, optional
        Takes the step's name and the share of this scan that is done.

    Yields
    ------
    TargetOutcome
        Per scan, in their order, one per tool.

    Raises
    ------
    UsageError
        Before anything is computed: a tool is not known, two scans would give one name, an output would replace
        an input, or the folder holds another result.
    UnavailableError, OutputError
        Before anything is computed: a tool's package is missing, or the folder cannot be used.

    Notes
    -----
    Source: ours.
    """
    require_distinct(scans, out, config)
    if not tools:
        raise UsageError("no tool is named; name at least one")
    ready = [require_tool(name) for name in dict.fromkeys(tools)]
    planned = [plan_targets(scan, ready, out, config) for scan in scans]
    make_folder(out)
    require_same_tables(out, [load_scheme(tool.name) for tool in ready])
    for targets in planned:
        for target in targets:
            if target.failure is not None:
                yield TargetOutcome(target=target, state="failed", failure=target.failure)
            elif target.is_done:
                yield TargetOutcome(target=target, state="already done")
        if to_do := [target for target in targets if not target.is_done and target.failure is None]:
            yield from _run(to_do, out, config, progress)


def plan_targets(scan: Path, tools: Sequence[TissueTool], out: Path, config: SegmentConfig) -> tuple[Target, ...]:
    """Decide for each tool whether a scan is to do, done already, or cannot be done.

    Raises
    ------
    UsageError
        If the folder holds a result of another scan, tool version or settings, or of `segment` under the same name,
        unless it may be overwritten.

    Notes
    -----
    Source: ours. A result whose files are missing or changed counts as not there.
    """
    try:
        require_usable_name(scan, [tool.name for tool in tools])
        inputs = {shown_name(scan): hash_of_scan(scan, config.reading)}
        if config.mask is not None:
            inputs[f"mask {shown_name(config.mask)}"] = hash_of_scan(config.mask)
    except NeuronatError as error:
        return tuple(Target(scan=scan, tool=tool, failure=error) for tool in tools)
    return tuple(
        _plan(Target(scan=scan, tool=tool, wanted=_marker(tool, inputs, config)), out, config) for tool in tools
    )


def _plan(target: Target, out: Path, config: SegmentConfig) -> Target:
    """Look whether what a target wants is there."""
    there = read_marker(_marker_path(target, out))
    if there is None or target.wanted is None or broken_outputs(there, out):
        require_unclaimed(f"{target.name}_dseg", marker_path(out, stem_of(target.scan)), config)
        return target
    differing = differences(there, target.wanted)
    if differing and not config.overwrite:
        raise UsageError(
            f"{shown_name(target.scan)}: the output folder holds another result of {target.name} "
            f"({'; '.join(differing)}); use --overwrite or another folder"
        )
    return replace(target, is_done=not differing)


def _marker(tool: TissueTool, inputs: Mapping[str, str], config: SegmentConfig) -> Marker:
    """Say what a result of a tool depends on."""
    settings = {
        "tool": dict(tool.settings),
        "stripped": config.stripped,
        "format": config.file_format,
        "force": config.force,
        "frame": config.reading.frame,
        "use_form": config.reading.use_form,
        "assume_orientation": config.reading.assume_orientation,
    }
    models = {tool.package: tool.version}
    return Marker(version=__version__, inputs=inputs, models=models, settings=settings, outputs={})


def _marker_path(target: Target, out: Path) -> Path:
    return out / f"{target.name}_done.json"


def _run(targets: Sequence[Target], out: Path, config: SegmentConfig, progress: Progress) -> Iterator[TargetOutcome]:
    """Prepare one scan and run its tools; every exception becomes part of an outcome."""
    stem = stem_of(targets[0].scan)
    progress(f"{stem}: preparing", 0.0)
    try:
        inputs = read_inputs(targets[0].scan, config)
        with naming(targets[0].scan):
            prepared = prepare_stripped(inputs, config)
    except Exception as error:
        logger.debug("%s failed", stem, exc_info=True)
        for target in targets:
            yield TargetOutcome(target=target, state="failed", failure=error)
        return
    for number, target in enumerate(targets):
        progress(f"{stem}: {target.tool.name}", (0.2 + number) / (0.2 + len(targets)))
        try:
            with naming(target.scan):
                yield _label(target, inputs, prepared, out, config)
        except Exception as error:
            logger.debug("%s failed", target.name, exc_info=True)
            yield TargetOutcome(target=target, state="failed", failure=error)


def prepare_stripped(inputs: Inputs, config: SegmentConfig) -> PreparedScan:
    """Prepare a scan that has a mask; UnusableInputError for a raw head, and as `prepare_brain` raises it."""
    if inputs.mask is None:
        raise UnusableInputError("is a raw head; give its brain --mask (neuronat segment writes one)")
    prepared, _ = prepare_brain(inputs, config)
    return prepared


def _label(target: Target, inputs: Inputs, prepared: PreparedScan, out: Path, config: SegmentConfig) -> TargetOutcome:
    """Run one tool on a prepared scan and write its files, the marker last."""
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    tissues = tissue_map(target.tool, prepared.intensities, prepared.mask)
    tool_s, cpu_s = time.monotonic() - start_s, time.process_time() - start_cpu_s
    sidecar = _sidecar(target, inputs, config) | {"ToolSeconds": round(tool_s, 2), "ToolCpuSeconds": round(cpu_s, 2)}
    labels = _native(tissues, prepared, target)
    _marker_path(target, out).unlink(missing_ok=True)
    names = [f"{target.name}_dseg.{config.file_format}", f"{target.name}_dseg.json"]
    with staged(out, target.name) as stage:
        write_label_map(stage / names[0], labels, space_code=inputs.scan.space_code)
        write_json(stage / names[1], sidecar)
        move_files(names, stage, out)
    write_table(labels.scheme, out)
    names.append(f"seg-{target.tool.name}_dseg.tsv")
    if target.wanted is not None:
        write_marker(
            _marker_path(target, out), replace(target.wanted, outputs={name: sha256_of(out / name) for name in names})
        )
    return TargetOutcome(target=target, state="done", outputs=tuple(names), tool_s=tool_s)


def _native(tissues: NDArray[np.uint8], prepared: PreparedScan, target: Target) -> LabelMap:
    """Take a tissue map back to the scan's own grid."""
    whole = labels_to_native(uncrop(tissues.astype(np.int32), prepared), prepared.grid)
    return LabelMap(whole, prepared.grid.native_affine, load_scheme(target.tool.name))


def _sidecar(target: Target, inputs: Inputs, config: SegmentConfig) -> dict[str, Any]:
    """Say which tool made a label map, of what and how: names of files, never their paths."""
    tool = target.tool
    return {
        "Manual": False,
        "Protocol": tool.name,
        "Sources": list(inputs.names),
        "SpatialReference": inputs.scan.name,
        "OrientationKnown": inputs.scan.is_orientation_known,
        "Forced": config.force,
        "Warnings": list(inputs.scan.warnings),
        "Tool": {"Name": tool.title, "Package": tool.package, "Version": tool.version, "Settings": dict(tool.settings)},
        "GeneratedBy": [{"Name": "neuronat", "Version": __version__}, {"Name": tool.title, "Version": tool.version}],
        "Disclaimer": DISCLAIMER,
    }
