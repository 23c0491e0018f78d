"""Measure the cascade, both stages over a whole brain: seconds and peak memory.

Usage: python benchmarks/segment.py [--model NAME|DIR] [--scan NAME] [--every-voxel] [--threads N] [--device NAME]
    [--precision NAME] [--tile N]

With --model a scan of NEURONAT_DATA/malc is prepared and labelled (preparation and coordinates are not counted).
Without, the brain is that of benchmarks/dense.py, the weights are random and the first stage calls everything
foreground. --every-voxel: the first stage answers at every voxel by itself, the most work there can be. Budget on two
cores without accelerator, for 1.5 million voxels: 150 s and 6 GB, the aim is 60 s and 4 GB.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dense import make_brain, parser, peak_gb, random_network, start
from neuronat.coords.spectral import brain_coordinates
from neuronat.infer.cascade import brain_probabilities
from neuronat.nets.deepnat import DeepNat
from neuronat.nets.store import load_model
from neuronat.prepare.scan import prepare_scan
from neuronat.space.files import read_mask, read_volume


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", help="name or folder")
    options.add_argument("--scan", default="sub-1000", help="of NEURONAT_DATA/malc, with --model")
    options.add_argument("--every-voxel", action="store_true", help="the first stage, too")
    chosen = options.parse_args()
    config = replace(start(chosen), every_voxel=chosen.every_voxel)
    if chosen.model:
        intensities, coordinates, mask = real_brain(chosen.scan)
        networks = dict(load_model(chosen.model).networks)
    else:
        intensities, coordinates, mask = make_brain()
        networks = {"foreground": all_foreground(), "structures": random_network(26)}
    before, began, processor = peak_gb(), time.perf_counter(), time.process_time()
    steps = {}

    def note(step: str, _share: float) -> None:
        steps[step] = (time.perf_counter() - began, time.process_time() - processor)

    found = brain_probabilities(networks, intensities, coordinates, mask, config, note)
    seconds, processor_s = time.perf_counter() - began, time.process_time() - processor
    done = ", ".join(f"{step} done after {wall:.1f} s ({used:.1f} s)" for step, (wall, used) in steps.items())
    print(f"{len(found)} voxels: {done}; in brackets processor time")
    print(f"both stages: {seconds:.1f} s, {processor_s:.1f} s of processor time, load now {os.getloadavg()[0]:.1f}")
    print(f"peak memory {peak_gb():.2f} GB in all, {before:.2f} GB of it before the networks")


def real_brain(name: str) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Return intensities, coordinates and mask of a scan as `segment` prepares them."""
    folder = Path(os.environ["NEURONAT_DATA"]) / "malc" / name / "anat"
    volume = read_volume(folder / f"{name}_desc-brain_T1w.nii.gz").volume
    prepared = prepare_scan(volume, read_mask(folder / f"{name}_desc-brain_mask.nii.gz").values > 0)
    print(f"{name}: {np.count_nonzero(prepared.mask)} voxels in a box of {prepared.mask.shape}")
    return prepared.intensities, brain_coordinates(prepared.mask, prepared.affine), prepared.mask


def all_foreground() -> DeepNat:
    """Return a first stage with random weights that always answers foreground."""
    net = random_network(2)
    with torch.no_grad():
        net.heads.bias.view(-1, 2)[:, 1] = 1000.0
    return net


if __name__ == "__main__":
    main()
