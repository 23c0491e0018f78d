"""The paper's opponents: atlases registered to a scan, and one label map made from theirs.

Each method has a folder of its own in the results' folder; the registrations are kept beside them, for both.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat import __version__
from neuronat.errors import UsageError
from neuronat.measure.volumes import is_coarse, structure_volumes, volumes_table
from neuronat.pipeline.apart import processor_s, run_apart
from neuronat.pipeline.atlases import RegisteredAtlas, Target, register_atlases
from neuronat.pipeline.baseline_plan import METHODS, BaselineConfig, Job, plan_baseline, reading_settings
from neuronat.pipeline.outputs import DISCLAIMER, move_files, require_same_tables, staged, write_json, write_table
from neuronat.pipeline.segment import Inputs, read_inputs
from neuronat.pipeline.settings import Progress, SegmentConfig, no_progress
from neuronat.pipeline.targets import prepare_stripped
from neuronat.prepare.conform import labels_to_native
from neuronat.prepare.joint import fuse_jointly
from neuronat.prepare.registration import QUALITIES
from neuronat.prepare.scan import PreparedScan, uncrop
from neuronat.prepare.staple import StapleConfig, fuse_by_staple
from neuronat.record import (
    broken_outputs,
    differences,
    make_folder,
    marker_path,
    read_marker,
    sha256_of,
    shown_name,
    write_marker,
    write_text,
)
from neuronat.space.files import write_label_map
from neuronat.space.loading import naming
from neuronat.space.volume import LabelMap

__all__ = ["BaselineOutcome", "label_by_atlases"]

REGISTERING = 0.8  # share of the time


@dataclass(frozen=True, eq=False, kw_only=True)
class BaselineOutcome:
    """What became of a scan: folder and names of its files, and how long they took; `is_new` unless they were there."""

    stem: str
    folder: Path
    outputs: tuple[str, ...]
    n_atlases: int
    is_new: bool = False
    registration_s: float = 0.0
    fusion_s: float = 0.0


def label_by_atlases(
    scan: Path, out: Path, baseline: BaselineConfig, config: SegmentConfig, progress: Progress = no_progress
) -> BaselineOutcome:
    """Label a scan by registered atlases.

    Parameters
    ----------
    scan : Path
        Image of one head, skull-stripped or with a mask.
    out : Path
        Folder for the results; made if need be. The label map goes into its folder of the method's name.
    baseline : BaselineConfig
        Method and atlases.
    config : SegmentConfig
        How the scan is read, threads, whether a result may be overwritten.
    progress : callable, optional
        Takes the step's name and the share done.

    Returns
    -------
    BaselineOutcome

    Raises
    ------
    UsageError
        If a scheme is not known or has no mapping to the protocol, too few atlases are there, or the folder holds
        another result.
    UnavailableError
        If antspyx is not installed.
    MissingInputError, UnusableInputError
        If the scan or an atlas cannot be read or used.
    OutputError
        If the folder cannot be written to.

    Notes
    -----
    Source: [JLF], [STAPLE], and [SYN] for the registration; decision 0030.
    """
    job = plan_baseline(scan, out, baseline, config)
    folder = out / baseline.method
    there = read_marker(marker_path(folder, job.stem))
    if there is not None and not broken_outputs(there, folder):
        differing = differences(there, job.wanted)
        if not differing:
            names = tuple(sorted(there.outputs))
            return BaselineOutcome(stem=job.stem, folder=folder, outputs=names, n_atlases=len(job.atlases))
        if not config.overwrite:
            raise UsageError(
                f"{shown_name(scan)}: the output folder holds another {baseline.method} of {job.stem} "
                f"({'; '.join(differing)}); use --overwrite or another folder"
            )
    make_folder(folder)
    require_same_tables(folder, [job.protocol])
    return _run(job, out, progress)


def _run(job: Job, out: Path, progress: Progress) -> BaselineOutcome:
    """Register, fuse and write, the marker last."""
    inputs = read_inputs(job.scan, job.config)
    progress(f"{job.stem}: preparing", 0.0)
    with naming(job.scan):
        prepared = prepare_stripped(inputs, job.config)
    made_from = {name: digest for name, digest in job.wanted.inputs.items() if not name.startswith("atlas ")}
    registered = register_atlases(
        Target(job.stem, prepared, made_from | reading_settings(job.config), job.config.n_threads),
        job.atlases,
        job.scheme,
        quality=job.baseline.atlases.quality,
        out=out,
        progress=lambda step, done: progress(f"{job.stem}: {step}", REGISTERING * done),
    )
    start_s, start_cpu_s = time.monotonic(), processor_s()
    classes = _fuse(job, prepared, registered, progress)
    fusion_s, fusion_cpu_s = time.monotonic() - start_s, processor_s() - start_cpu_s
    taken = {"FusionSeconds": round(fusion_s, 2), "FusionCpuSeconds": round(fusion_cpu_s, 2)}
    sidecar = _sidecar(job, inputs, registered) | taken
    folder = out / job.baseline.method
    names = _write(job, folder, classes, prepared, space_code=inputs.scan.space_code, sidecar=sidecar)
    hashes = {name: sha256_of(folder / name) for name in names}
    write_marker(marker_path(folder, job.stem), replace(job.wanted, outputs=hashes))
    return BaselineOutcome(
        stem=job.stem,
        folder=folder,
        outputs=names,
        n_atlases=len(registered),
        registration_s=sum(atlas.seconds for atlas in registered),
        fusion_s=fusion_s,
        is_new=True,
    )


def _fuse(
    job: Job, prepared: PreparedScan, registered: Sequence[RegisteredAtlas], progress: Progress
) -> NDArray[np.uint8]:
    """Make one map of classes of the protocol from the registered atlases."""
    step = f"{job.stem}: fusing by {job.baseline.method}"
    progress(step, REGISTERING)
    classes = np.stack(
        [job.protocol.classes_of(job.scheme.mapped_ids(atlas.ids, job.protocol.name)) for atlas in registered]
    )
    fusion = job.baseline.fusion
    if isinstance(fusion, StapleConfig):
        return fuse_by_staple(
            classes, prepared.mask, fusion, lambda done: progress(step, REGISTERING + (1 - REGISTERING) * done)
        )
    grey = np.stack([atlas.grey for atlas in registered])
    arrays = (prepared.intensities, prepared.mask, grey, classes)
    return run_apart(fuse_jointly, *arrays, fusion, n_threads=job.config.n_threads)


def _write(
    job: Job,
    folder: Path,
    classes: NDArray[np.uint8],
    prepared: PreparedScan,
    *,
    space_code: int,
    sidecar: Mapping[str, Any],
) -> tuple[str, ...]:
    """Write the label map on the scan's own grid, its sidecar and volumes; no marker stands there meanwhile."""
    working = uncrop(job.protocol.ids_of(classes), prepared)
    native = labels_to_native(working, prepared.grid)
    labels = LabelMap(native, prepared.grid.native_affine, job.protocol)
    fine = LabelMap(working, prepared.grid.affine, job.protocol) if is_coarse(labels.affine) else None
    name = f"{job.stem}_seg-{job.protocol.name}"
    files = (f"{name}_dseg.{job.config.file_format}", f"{name}_dseg.json", f"{name}_volumes.tsv")
    marker_path(folder, job.stem).unlink(missing_ok=True)
    with staged(folder, name) as stage:
        write_label_map(stage / files[0], labels, space_code=space_code)
        write_json(stage / files[1], dict(sidecar))
        write_text(stage / files[2], volumes_table(structure_volumes(labels, fine)))
        move_files(files, stage, folder)
    write_table(job.protocol, folder)
    return (*files, f"seg-{job.protocol.name}_dseg.tsv")


def _sidecar(job: Job, inputs: Inputs, registered: Sequence[RegisteredAtlas]) -> dict[str, Any]:
    """Say how a label map was made, of what, and in which time: names of files, never their paths."""
    title, packages = METHODS[job.baseline.method], job.wanted.models
    return {
        "Manual": False,
        "Protocol": job.protocol.name,
        "Sources": list(inputs.names),
        "SpatialReference": inputs.scan.name,
        "OrientationKnown": inputs.scan.is_orientation_known,
        "Forced": job.config.force,
        "Warnings": list(inputs.scan.warnings),
        "Method": {"Name": job.baseline.method, "Title": title, "Settings": asdict(job.baseline.fusion)},
        "Registration": QUALITIES[job.baseline.atlases.quality],
        "Atlases": [
            {
                "Name": atlas.files.name,
                "SHA256": atlas.sha256,
                "Seconds": round(found.seconds, 2),
                "CpuSeconds": round(found.cpu_seconds, 2),
            }
            for atlas, found in zip(job.atlases, registered, strict=True)
        ],
        "AtlasScheme": job.scheme.name,
        "RegistrationSeconds": round(sum(found.seconds for found in registered), 2),
        "RegistrationCpuSeconds": round(sum(found.cpu_seconds for found in registered), 2),
        "Threads": job.config.n_threads,
        "GeneratedBy": [
            {"Name": "neuronat", "Version": __version__},
            *({"Name": name, "Version": number} for name, number in packages.items()),
        ],
        "Disclaimer": DISCLAIMER,
    }
