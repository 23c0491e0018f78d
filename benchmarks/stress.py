"""Make a stress set from scans held out of training, and measure models on it.

Usage: python benchmarks/stress.py make OUT [--scans NAME...] [--fold N] [--kinds NAME...] [--heads NAME...]
           [--repeats N] [--seed N]
       python benchmarks/stress.py table OUT TABLE.tsv [--model NAME|DIR]... [--kinds NAME...] [--device NAME]
           [--threads N] [--force]

docs/laboratory.md says what the kinds are, and how to read the table. `make` reads NEURONAT_DATA/malc and
NEURONAT_DATA/labelmaps; what is there is not made again. `table` appends to TABLE.tsv; what stands there is not
measured again.
"""

import argparse
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from neuronat.labels.scheme import load_scheme
from neuronat.measure.volumes import structure_volumes
from neuronat.record import make_folder
from neuronat.space.files import read_label_map, read_mask, read_volume
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
