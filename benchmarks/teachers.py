"""Is a head of NeuroNet nearer to the manual labels than the tool that taught it? Dice of grey and white matter.

Usage: python benchmarks/teachers.py TARGETS [--model NAME|DIR] [--fold N] [--threads N]

TARGETS is the folder that `neuronat targets` wrote; the maps of `tissue` and the manual labels, merged to tissues, are
those of NEURONAT_DATA/malc. Only scans that the model was not trained on say anything.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neuronat import SegmentConfig, segment
from neuronat.labels.scheme import load_scheme
from neuronat.measure.overlap import dice_per_structure
from neuronat.space.files import read_label_map
from stress import held_out

PROTOCOLS = ("hmrf", "atropos", "tissue")
GREY, WHITE = 2, 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("targets", type=Path)
    options.add_argument("--model", default="neuronet")
    options.add_argument("--fold", default="2")
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    rows: dict[str, list[tuple[float, ...]]] = {protocol: [] for protocol in PROTOCOLS}
    for scan in held_out(chosen.fold):
        start = Path(os.environ["NEURONAT_DATA"]) / "malc" / scan / "anat" / scan
        manual = read_label_map(Path(f"{start}_seg-neuromorphometrics_dseg.nii.gz"), load_scheme("neuromorphometrics"))
        truth = manual.scheme.mapped_ids(manual.ids, "tissue")
        config = SegmentConfig(mask=Path(f"{start}_desc-brain_mask.nii.gz"), protocols=PROTOCOLS)
        result = segment(Path(f"{start}_desc-brain_T1w.nii.gz"), chosen.model, config=config)
        for protocol in PROTOCOLS:
            taught = f"{start}_seg-tissue" if protocol == "tissue" else f"{chosen.targets / scan}_seg-{protocol}"
            teacher = read_label_map(Path(f"{taught}_dseg.nii.gz"), load_scheme(protocol))
            found = (*dice(teacher.ids, truth), *dice(result.labels[protocol].ids, truth))
            rows[protocol].append(found)
            print(scan, protocol, *(f"{value:.3f}" for value in found), flush=True)
    print("| protocol | grey, teacher | grey, head | white, teacher | white, head |\n| --- | --- | --- | --- | --- |")
    for protocol, values in rows.items():
        grey_teacher, white_teacher, grey_head, white_head = np.mean(values, 0)
        print(f"| `{protocol}` | {grey_teacher:.3f} | {grey_head:.3f} | {white_teacher:.3f} | {white_head:.3f} |")


def dice(ids: NDArray[np.integer], truth: NDArray[np.integer]) -> tuple[float, float]:
    """Return the Dice of grey and of white matter."""
    found = dice_per_structure(ids, truth, load_scheme("tissue"))
    return found[GREY], found[WHITE]


if __name__ == "__main__":
    main()
