"""Measure the cascade, both stages over a whole brain: seconds and peak memory.

Usage: python benchmarks/segment.py [--model NAME|DIR] [--threads N] [--device NAME] [--precision NAME] [--tile N]

The brain is that of benchmarks/dense.py. Without --model the weights are random and the first stage calls everything
foreground: the most work there can be, and close to what happens, since the structures fill nine tenths of a brain
mask. Budget on two cores without accelerator, for 1.5 million voxels: 150 s and 6 GB, the aim is 60 s and 4 GB.
"""

import os
import time

import torch

from dense import make_brain, parser, peak_gb, random_network, start
from neuronat.infer.cascade import brain_probabilities
from neuronat.nets.deepnat import DeepNat
from neuronat.nets.store import load_model


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", help="name or folder; the brain is noise, so its labels mean nothing")
    chosen = options.parse_args()
    config = start(chosen)
    intensities, coordinates, mask = make_brain()
    if chosen.model:
        networks = dict(load_model(chosen.model).networks)
    else:
        networks = {"foreground": all_foreground(), "structures": random_network(26)}
    before, began, processor = peak_gb(), time.perf_counter(), time.process_time()
    steps = {}

    def note(step: str, _share: float) -> None:
        steps[step] = time.perf_counter() - began

    found = brain_probabilities(networks, intensities, coordinates, mask, config, note)
    seconds, processor_s = time.perf_counter() - began, time.process_time() - processor
    print(f"{len(found)} voxels: " + ", ".join(f"{step} done after {when:.1f} s" for step, when in steps.items()))
    print(f"both stages: {seconds:.1f} s, {processor_s:.1f} s of processor time, load now {os.getloadavg()[0]:.1f}")
    print(f"peak memory {peak_gb():.2f} GB in all, {before:.2f} GB of it before the networks")


def all_foreground() -> DeepNat:
    """Return a first stage with random weights that always answers foreground."""
    net = random_network(2)
    with torch.no_grad():
        net.heads.bias.view(-1, 2)[:, 1] = 1000.0
    return net


if __name__ == "__main__":
    main()
