"""Time and memory of the CRF on a synthetic brain: python benchmarks/crf.py [classes] [reach in mm].

Budget: 1.6 million voxels, 26 classes, 5 iterations on two cores in 30 s, the aim is 10 s; compilation is not counted.
The processor's time is printed beside the clock's: on a busy machine divide it by the number of threads.
"""

import platform
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from neuronat.crf.meanfield import CrfConfig, refine_voxels

SHAPE = (136, 172, 134)
GIB = 2**30


def make_brain(n_classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Return blurred and noisy probabilities (N, C), intensities (N,) of three tissues, and an ellipsoid as mask."""
    rng = np.random.default_rng(1)
    axes = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij", sparse=True)
    mask = sum(a**2 for a in axes) < 1
    folds = gaussian_filter(rng.standard_normal(SHAPE, dtype=np.float32), 5)
    tissue = np.digitize(folds / folds.std(), [-0.9, 0.3])
    intensities = np.array([0.25, 0.65, 1.0], np.float32)[tissue]
    intensities = gaussian_filter(intensities, 0.5) + 0.04 * rng.standard_normal(SHAPE, dtype=np.float32)
    places = np.indices(SHAPE, dtype=np.float32).reshape(3, -1)[:, mask.ravel()].T
    seeds = rng.uniform(0, 1, (n_classes // 3 + 1, 3)) * SHAPE
    region = np.argmin([((places - seed) ** 2).sum(1) for seed in seeds], axis=0)
    classes = (region * 3 + tissue[mask]) % n_classes
    rows = rng.random((len(places), n_classes), dtype=np.float32) ** 4
    rows[np.arange(len(rows)), classes] += 0.9
    return rows / rows.sum(1, keepdims=True), intensities[mask], mask


def memory_gib(field: str) -> float:
    """Return a line of Linux' account of this process: VmRSS is memory now, VmHWM the most so far."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / GIB
    return float("nan")


def main() -> None:
    n_classes = int(sys.argv[1]) if len(sys.argv) > 1 else 26
    config = CrfConfig(appearance_reach_mm=float(sys.argv[2])) if len(sys.argv) > 2 else CrfConfig()
    revision = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    print(f"revision {revision.stdout.strip()}, {platform.machine()}, Python {platform.python_version()}")
    print(f"numba {numba.__version__}, {numba.get_num_threads()} threads, {config}")
    tiny = np.zeros((3, 4, 5), np.bool_)
    tiny[1] = True
    start = time.perf_counter()
    refine_voxels(np.full((20, 3), 1 / 3, np.float32), np.zeros(20, np.float32), tiny, (1.0, 1.0, 1.0), config)
    print(f"first call on 20 voxels (compiling, or loading what was compiled): {time.perf_counter() - start:.1f} s")

    rows, intensities, mask = make_brain(n_classes)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the most so far
    before, start, start_cpu = memory_gib("VmRSS"), time.perf_counter(), time.process_time()
    refined = refine_voxels(rows, intensities, mask, (1.0, 1.0, 1.0), config)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    print(f"{len(rows)} voxels, {n_classes} classes, {config.iterations} iterations:")
    print(f"{seconds:.1f} s by the clock, {cpu_seconds:.1f} s of processor time")
    print(f"peak memory {memory_gib('VmHWM') - before:.2f} GiB beyond the input ({before:.2f} GiB in all before)")
    print(f"labels changed: {(refined.argmax(1) != rows.argmax(1)).mean():.1%}")


if __name__ == "__main__":
    main()
