"""Measure a network of several protocols on a whole brain: seconds and peak memory, step by step.

Usage: python benchmarks/neuronet.py [--model NAME|DIR] [--scan NAME] [--mirror] [--threads N] [--device NAME]

A scan of NEURONAT_DATA/malc is prepared and gets its coordinates; then come features and the labels of all protocols.
With --mirror the network sees the mirror image as well, as `neuronat segment` has it; `segment --fast` leaves that out.
Budget on two cores without accelerator, five protocols, one adult head: 15 s and 4 GB.
"""

import time

import numpy as np
import torch

from dense import parser, peak_gb, start
from neuronat.infer.protocols import most_probable
from neuronat.infer.tiles import TileConfig, encode_scan
from neuronat.nets.mirrored import seen_twice
from neuronat.nets.store import load_model
from segment import real_brain


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", default="neuronet", help="name or folder")
    options.add_argument("--scan", default="sub-1000", help="of NEURONAT_DATA/malc")
    options.add_argument("--mirror", action="store_true")
    chosen = options.parse_args()
    device = start(chosen).device
    model = load_model(chosen.model)
    if model.whole is None:
        raise SystemExit(f"{chosen.model} labels patch by patch; see benchmarks/segment.py")
    net = seen_twice(model.whole, model.schemes) if chosen.mirror else model.whole
    began = time.perf_counter()
    intensities, coordinates, mask = real_brain(chosen.scan)
    seconds = {"prepared, coordinates": time.perf_counter() - began}
    channels = np.concatenate([intensities[None], coordinates])[: net.n_channels]
    began = time.perf_counter()
    features = encode_scan(net.to(device), channels, mask, TileConfig(device=device), lambda _done: None)
    seconds["features"] = time.perf_counter() - began
    for protocol in net.config.protocols:
        began = time.perf_counter()
        most_probable(net, features, protocol)
        seconds[protocol] = time.perf_counter() - began
    for step, value in seconds.items():
        print(f"{step:22s} {value:6.1f} s")
    print(
        f"{'all':22s} {sum(seconds.values()):6.1f} s, {int(mask.sum())} voxels, "
        f"{torch.get_num_threads()} threads, peak {peak_gb():.2f} GB"
    )


if __name__ == "__main__":
    main()
