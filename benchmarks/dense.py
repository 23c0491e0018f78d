"""Measure exact dense inference against the same network patch by patch: seconds, how many times faster, differences.

Usage: python benchmarks/dense.py [--patches N] [--threads N] [--device NAME] [--precision NAME] [--tile N]

One network with random weights, 26 classes and 7 tasks, over a whole brain mask: the first real one in NEURONAT_DATA
where that is set, otherwise an ellipsoid of 1.5 million voxels. The time patch by patch is that of a sample of
patches, times voxels over patches: the whole brain would take an hour. Budget: at least 25 times faster.
"""

import argparse
import os
import platform
import resource
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neuronat.infer.dense import DenseConfig, dense_opinions, predict_dense
from neuronat.infer.patches import predict_patches
from neuronat.nets.deepnat import DeepNat, DeepNatConfig
from neuronat.space.files import read_mask

ELLIPSOID = (140, 172, 119)  # 1.5 million voxels inside
BATCH = 64


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--patches", type=int, default=512, help="patches that are timed one by one")
    chosen = options.parse_args()
    config = start(chosen)
    intensities, coordinates, mask = make_brain()
    net = random_network(26).to(config.device)
    centres = np.random.default_rng(2).permutation(np.argwhere(mask))[: chosen.patches]

    predict_patches(net, intensities, coordinates, centres[:BATCH])  # the first call plans its convolutions
    began, processor = time.perf_counter(), time.process_time()
    expected = predict_patches(net, intensities, coordinates, centres, batch_size=BATCH)
    times = np.count_nonzero(mask) / len(centres)
    whole_s, whole_processor_s = times * (time.perf_counter() - began), times * (time.process_time() - processor)
    print(
        f"patch by patch, from {len(centres)} patches: {whole_s / 60:.0f} min ({whole_processor_s / 60:.0f} min of "
        f"processor time), {1000 * whole_s / np.count_nonzero(mask):.2f} ms a patch"
    )

    began, processor = time.perf_counter(), time.process_time()
    predict_dense(net, intensities, coordinates, mask, config)
    dense_s, processor_s = time.perf_counter() - began, time.process_time() - processor
    print(f"densely: {dense_s:.1f} s ({processor_s:.1f} s of processor time), load now {os.getloadavg()[0]:.1f}")
    print(
        f"{whole_s / dense_s:.0f} times faster, {whole_processor_s / processor_s:.0f} times by processor time; "
        f"peak memory {peak_gb():.2f} GB in all"
    )
    found = sampled(net, (intensities, coordinates, mask), centres[:64], config)
    changed = (found.argmax(2) != expected[:64].argmax(2)).mean()
    print(
        f"largest difference from {len(found)} patches: {np.abs(found - expected[:64]).max():.1e}; "
        f"other labels: {changed:.2%}"
    )


def parser(text: str) -> argparse.ArgumentParser:
    """Return the options that both benchmarks of inference share."""
    options = argparse.ArgumentParser(description=text.splitlines()[0])
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--device", default="cpu")
    options.add_argument("--precision", default="float32", help="or bfloat16, faster and not exact")
    options.add_argument("--tile", type=int, default=DenseConfig().tile_vox, help="largest extent of a tile, in voxels")
    return options


def start(chosen: argparse.Namespace) -> DenseConfig:
    """Say what runs where, and return the configuration."""
    torch.set_num_threads(chosen.threads)
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    print(
        f"revision {revision.stdout.strip()}, {platform.machine()}, {os.cpu_count()} cores, {chosen.threads} threads, "
        f"load {os.getloadavg()[0]:.1f} before, torch {torch.__version__}, {chosen.device}, {chosen.precision}"
    )
    return DenseConfig(device=torch.device(chosen.device), precision=chosen.precision, tile_vox=chosen.tile)


def make_brain() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Return random intensities and coordinates, and a brain mask cropped to its box."""
    folder = os.environ.get("NEURONAT_DATA")
    paths = sorted(Path(folder).glob("malc/*/anat/*_desc-brain_mask.nii.gz")) if folder else []
    if paths:
        whole = read_mask(paths[0]).values > 0.5
        mask = whole[tuple(slice(hits.min(), hits.max() + 1) for hits in np.nonzero(whole))]
    else:
        axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in ELLIPSOID], indexing="ij", sparse=True)
        mask = sum(a**2 for a in axes) < 1
    print(f"mask: {paths[0].name if paths else 'ellipsoid'}, {np.count_nonzero(mask)} voxels in a box of {mask.shape}")
    rng = np.random.default_rng(1)
    intensities = rng.uniform(0.2, 1.2, mask.shape).astype(np.float32) * mask
    return intensities, rng.standard_normal((6, *mask.shape), dtype=np.float32), mask


def random_network(n_classes: int) -> DeepNat:
    """Return a network as it is before training; speed does not depend on weights."""
    torch.manual_seed(1)
    return DeepNat(DeepNatConfig(n_classes=n_classes)).eval()


def sampled(
    net: DeepNat,
    brain: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]],
    centres: NDArray[np.int64],
    config: DenseConfig,
) -> NDArray[np.float32]:
    """Return the dense opinions (N, T, C) at some voxels; only these pass the fully connected layers."""
    mask = np.zeros_like(brain[2])
    mask[tuple(centres.T)] = True
    found = {}
    for voxels, opinions in dense_opinions(net, brain[0], brain[1], mask, config):
        found |= {tuple(v): o for v, o in zip(voxels.tolist(), opinions.cpu().numpy(), strict=True)}
    return np.array([found[tuple(centre)] for centre in centres.tolist()])


def peak_gb() -> float:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
