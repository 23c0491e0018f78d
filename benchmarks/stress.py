"""Make a stress set from scans held out of training, and measure models on it.

Usage: python benchmarks/stress.py make OUT [--scans NAME...] [--fold N] [--kinds NAME...] [--heads NAME...]
           [--repeats N] [--seed N]
       python benchmarks/stress.py table OUT TABLE.tsv [--model NAME|DIR]... [--protocols NAME...]
           [--kinds NAME...] [--device NAME] [--threads N] [--force]

docs/laboratory.md says what the kinds are, and how to read the table. `make` reads NEURONAT_DATA/malc and
NEURONAT_DATA/labelmaps; what is there is not made again. `table` appends to TABLE.tsv; what stands there is not
measured again.
"""

import argparse
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from neuronat.errors import UnusableInputError
from neuronat.labels.scheme import load_scheme
from neuronat.measure.laboratory import (
    REFUSED,
    LaboratoryRow,
    kinds_against_models,
    laboratory_row,
    parse_rows,
    rows_table,
)
from neuronat.measure.overlap import dice_per_structure
from neuronat.measure.repeats import MeasuredVolume, parse_volumes, variation_table, volumes_rows
from neuronat.measure.scores import map_together
from neuronat.measure.volumes import structure_volumes
from neuronat.pipeline.device import choose_device, limit_threads
from neuronat.pipeline.networks import BRAIN, Networks, chosen_protocols, load_models
from neuronat.pipeline.segment import read_inputs, segment_scan
from neuronat.pipeline.settings import SegmentConfig
from neuronat.record import make_folder
from neuronat.space.files import read_label_map, read_mask, read_volume
from neuronat.space.scan import ReadOptions
from neuronat.synth.composite import composite
from neuronat.synth.retest import CHANGES, retest
from neuronat.synth.specimen import Specimen, file_names, make_specimen, write_specimen
from neuronat.synth.stress import ALTERATIONS

FOLDS = Path(__file__).parents[1] / "recipes" / "folds-malc.tsv"
PROTOCOL = "neuromorphometrics"
HEADS = ("03", "10", "18")
RETEST, COMPOSITE = "retest", "composite"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = options.add_subparsers(title="commands")
    make = commands.add_parser("make", help="make the stress set")
    make.add_argument("out", type=Path)
    make.add_argument("--scans", nargs="*", help="of NEURONAT_DATA/malc; default: those of the fold")
    make.add_argument("--fold", default="2", help="held out, in recipes/folds-malc.tsv")
    make.add_argument("--kinds", nargs="*", help=f"of {', '.join(ALTERATIONS)}, {RETEST}, {COMPOSITE}; default: all")
    make.add_argument("--heads", nargs="*", default=HEADS, help="of NEURONAT_DATA/labelmaps, for composites")
    make.add_argument("--repeats", type=int, default=2, help="of each change of the retest")
    make.add_argument("--seed", type=int, default=0)
    make.set_defaults(run=make_set)
    table = commands.add_parser("table", help="measure models on a stress set")
    table.add_argument("out", type=Path, help="folder of the stress set")
    table.add_argument("table", type=Path, help="rows are appended; volumes go to <table>-volumes.tsv")
    table.add_argument("--model", action="append", default=[], help="name or folder; several that work together: A,B")
    table.add_argument("--protocols", nargs="*", default=["deepnat25", PROTOCOL])
    table.add_argument("--kinds", nargs="*", default=[""], help="folders of the stress set, by how they begin")
    table.add_argument("--device", default="auto")
    table.add_argument("--threads", type=int)
    table.add_argument("--force", action="store_true", help="label also what would be refused")
    table.set_defaults(run=measure_models)
    chosen = options.parse_args()
    if "run" not in chosen:
        options.print_help()
        return
    chosen.run(chosen)


def make_set(chosen: argparse.Namespace) -> None:
    """Make what is not there yet."""
    for name in chosen.scans or held_out(chosen.fold):
        specimen = None
        for kind, stem, arguments in planned(name, chosen):
            folder = chosen.out / kind
            is_raw = kind == COMPOSITE
            if all((folder / file).is_file() for file in file_names(stem, PROTOCOL, is_raw=is_raw)):
                continue
            specimen = specimen or read_specimen(name)
            generator = torch.Generator().manual_seed(zlib.crc32(f"{chosen.seed} {stem}".encode()))
            altered = alter(specimen, kind, arguments, generator)
            make_folder(folder)
            write_specimen(altered, folder, stem)
            print(f"{stem}: {growth(altered, specimen)}", flush=True)


def planned(name: str, chosen: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """List kind, stem, and what the kind needs to know."""
    kinds = chosen.kinds or [*ALTERATIONS, RETEST, COMPOSITE]
    for kind in kinds:
        if kind == RETEST:
            for change in CHANGES:
                for number in range(1, chosen.repeats + 1):
                    yield f"{RETEST}{change}", f"{name}_acq-{RETEST}{change}_run-{number}", change
        elif kind == COMPOSITE:
            for head in chosen.heads:
                yield COMPOSITE, f"{name}_acq-{COMPOSITE}{head}", head
        else:
            yield kind, f"{name}_acq-{kind}", kind


def alter(specimen: Specimen, kind: str, arguments: str, generator: torch.Generator) -> Specimen:
    """Make one altered scan."""
    if kind.startswith(RETEST):
        return retest(specimen, arguments, generator)
    if kind == COMPOSITE:
        path = data() / "labelmaps" / f"sub-{arguments}_dseg.nii.gz"
        return composite(specimen, read_label_map(path, load_scheme("wholehead")), generator)
    return ALTERATIONS[kind](specimen, generator)


def read_specimen(name: str) -> Specimen:
    """Read a scan with its mask, manual labels and tissue map."""
    start = data() / "malc" / name / "anat" / name
    return make_specimen(
        read_volume(Path(f"{start}_desc-brain_T1w.nii.gz")).volume,
        read_mask(Path(f"{start}_desc-brain_mask.nii.gz")).values > 0,
        read_label_map(Path(f"{start}_seg-{PROTOCOL}_dseg.nii.gz"), load_scheme(PROTOCOL)),
        read_label_map(Path(f"{start}_seg-tissue_dseg.nii.gz"), load_scheme("tissue")).ids,
    )


def measure_models(chosen: argparse.Namespace) -> None:
    """Measure what is not in the table yet, and print the tables."""
    make_folder(chosen.table.parent)
    volumes = chosen.table.with_name(f"{chosen.table.stem}-volumes.tsv")
    for model in chosen.model:
        networks, config = prepared(model, chosen)
        name = "+".join(Path(part).name for part in model.split(","))
        for scan in found_scans(chosen.out, tuple(chosen.kinds)):
            if is_done(chosen.table, name, scan.stem, config.protocols):
                continue
            rows, measured = measure_scan(name, scan, networks, config)
            append(volumes, volumes_rows(measured), volumes_rows(measured, has_header=False))
            append(chosen.table, rows_table(rows), rows_table(rows, has_header=False))
            print(rows_table(rows, has_header=False), end="", flush=True)
    rows = read_rows(chosen.table)
    for protocol in dict.fromkeys(row.protocol for row in rows if row.protocol != REFUSED):
        print("\n" + kinds_against_models(rows, protocol), end="")
    steady = parse_volumes(volumes.read_text(encoding="utf-8")) if volumes.is_file() else ()
    for protocol in dict.fromkeys(row.protocol for row in steady):
        print("\n" + variation_table(steady, protocol), end="")


@dataclass(frozen=True)
class StressScan:
    """The files of one scan of the stress set."""

    kind: str
    stem: str
    folder: Path

    @property
    def is_raw(self) -> bool:
        """Whether what is outside the brain is there."""
        return self.kind == COMPOSITE

    @property
    def head(self) -> str:
        """The scan that it was made of."""
        return self.stem.split("_acq-")[0]

    @property
    def files(self) -> tuple[Path, ...]:
        """Scan, mask and labels."""
        return tuple(self.folder / name for name in file_names(self.stem, PROTOCOL, is_raw=self.is_raw))


def found_scans(out: Path, beginnings: tuple[str, ...]) -> list[StressScan]:
    """Find the scans of a stress set, `plain` first."""
    ending = f"_seg-{PROTOCOL}_dseg.nii.gz"
    folders = sorted((f for f in out.iterdir() if f.is_dir()), key=lambda f: (f.name != "plain", f.name))
    return [
        StressScan(folder.name, path.name.removesuffix(ending), folder)
        for folder in folders
        if folder.name.startswith(beginnings)
        for path in sorted(folder.glob(f"*{ending}"))
    ]


def prepared(model: str, chosen: argparse.Namespace) -> tuple[Networks, SegmentConfig]:
    """Load the models that work together."""
    models = load_models(model.split(","))
    offered = {protocol for one in models for protocol in one.schemes}
    config = SegmentConfig(
        models=tuple(model.split(",")),
        protocols=tuple(protocol for protocol in chosen.protocols if protocol in offered),
        device=chosen.device,
        n_threads=chosen.threads,
        force=chosen.force,
        reading=ReadOptions(force=chosen.force),
    )
    limit_threads(config.n_threads)
    return Networks(chosen_protocols(models, config), choose_device(config.device), models), config


def measure_scan(
    model: str, scan: StressScan, networks: Networks, config: SegmentConfig
) -> tuple[list[LaboratoryRow], list[MeasuredVolume]]:
    """Label one scan, a raw head without its mask, and compare with the truth."""
    image, mask, truth = scan.files
    config = replace(config, stripped="no") if scan.is_raw else replace(config, mask=mask)
    where = (model, scan.kind, scan.stem)
    try:
        result = segment_scan(read_inputs(image, config), networks, config)
    except UnusableInputError as error:
        return [LaboratoryRow(*where, REFUSED, math.nan, str(error), math.nan)], []
    reference = read_label_map(truth, load_scheme(PROTOCOL))
    rows = []
    for found in result.labels.values():
        known = dice_per_structure(*(m.ids for m in map_together(found, reference)), found.scheme)
        rows.append(laboratory_row(where, found.scheme, known))
    if scan.is_raw:
        true_mask = read_mask(mask).values > 0
        overlap = 2 * np.count_nonzero(result.mask & true_mask) / (result.mask.sum() + true_mask.sum())
        rows.append(LaboratoryRow(*where, BRAIN, float(overlap), "", math.nan))
    if scan.kind != "plain" and not scan.kind.startswith(RETEST):
        return rows, []
    change = scan.kind.removeprefix(RETEST) if scan.kind != "plain" else ""
    return rows, [
        MeasuredVolume(
            model,
            scan.head,
            change,
            scan.stem,
            protocol,
            row.name,
            math.nan if row.volume_mm3 is None else row.volume_mm3,
        )
        for protocol, volumes in result.volumes.items()
        for row in volumes
    ]


def is_done(table: Path, model: str, scan: str, protocols: tuple[str, ...]) -> bool:
    """Tell whether a scan was measured in these protocols; one that was refused is tried again."""
    done = {row.protocol for row in read_rows(table) if row.model == model and row.scan == scan}
    return set(protocols) <= done


def read_rows(table: Path) -> tuple[LaboratoryRow, ...]:
    return parse_rows(table.read_text(encoding="utf-8")) if table.is_file() else ()


def append(path: Path, whole: str, rows: str) -> None:
    """Add rows to a table; a new one gets its header line."""
    is_new = not path.is_file()
    with path.open("a", encoding="utf-8") as stream:
        stream.write(whole if is_new else rows)


def data() -> Path:
    return Path(os.environ["NEURONAT_DATA"])


def held_out(fold: str) -> list[str]:
    """Read the scans of a fold."""
    rows = [line.split("\t") for line in FOLDS.read_text(encoding="utf-8").splitlines()]
    return [scan for scan, number in rows if number == fold]


def growth(altered: Specimen, before: Specimen) -> str:
    """Say how the volumes of ventricles, cortex and white matter differ from the scan's."""
    said = []
    for what, words in (("ventricles", ("Lateral Ventricle", "3rd")), ("cortex", (" gyrus", " lobule", " cortex"))):
        now, then = (
            sum(
                row.volume_mm3 or 0
                for row in structure_volumes(specimen.labels)
                if any(word in row.name for word in words)
            )
            for specimen in (altered, before)
        )
        said.append(f"{what} x {now / then:.3f}")
    lost = np.count_nonzero(altered.mask & (altered.labels.ids == 0)) / np.count_nonzero(altered.mask)
    return f"{', '.join(said)}, {lost:.1%} of the mask without a label"


if __name__ == "__main__":
    main()
