"""Measure the peak memory of segmenting one scan in a process of its own, and compare it with the estimate.

Usage: python benchmarks/memory.py [SCAN] [--mask MASK] [--model NAME|DIR] [--threads N] [--tile N]

Without SCAN a brain of noise is segmented: 1.6 million voxels in a grid of 176 x 224 x 192, written to a file first,
so that reading and writing count as well. The estimate is what `neuronat bids` plans its workers by.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from neuronat.cohort.entry import Entry
from neuronat.cohort.need import bytes_per_scan
from neuronat.space.files import write_volume
from neuronat.space.volume import Volume

SHAPE, RADII = (176, 224, 192), (68.0, 85.0, 66.0)
SCRIPT = """
import sys
from pathlib import Path
from neuronat.pipeline.batch import segment_files
from neuronat.pipeline.settings import SegmentConfig
from neuronat.space.memory import peak_memory_bytes
from neuronat.space.scan import ReadOptions
scan, mask, model, n_threads, tile, out = sys.argv[1:]
config = SegmentConfig(models=(model,) if model else (), mask=Path(mask) if mask else None, n_threads=int(n_threads),
                       device="cpu", tile_vox=int(tile), force=True, reading=ReadOptions(force=True))
before = peak_memory_bytes()
(outcome,) = segment_files([Path(scan)], Path(out), config)
if outcome.failure:
    raise outcome.failure
print(before / 1e9, peak_memory_bytes() / 1e9)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, nargs="?")
    parser.add_argument("--mask", default="")
    parser.add_argument("--model", default="", help="name or folder; those of the default pipeline if empty")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tile", type=int, default=64)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan = chosen.scan or write_noise(Path(folder))
        began_s = time.perf_counter()
        words = (scan, chosen.mask, chosen.model, chosen.threads, chosen.tile, Path(folder, "out"))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True
        )
        before, peak = map(float, done.stdout.split())
        estimate = bytes_per_scan([Entry(scan, "")], chosen.tile) / 1e9
    print(
        f"peak memory {peak:.2f} GB, {before:.2f} GB of it before the scan; estimated {estimate:.2f} GB; "
        f"{chosen.threads} threads, tiles of {chosen.tile}, {time.perf_counter() - began_s:.0f} s"
    )


def write_noise(folder: Path) -> Path:
    """Write an ellipsoid of noise, as large as a brain, in a larger grid of zeros."""
    rng = np.random.default_rng(1)
    distance = sum(
        ((axis - extent / 2) / radius) ** 2
        for axis, extent, radius in zip(np.ogrid[tuple(map(slice, SHAPE))], SHAPE, RADII, strict=True)
    )
    deep = 1.0 - 0.4 * distance
    values = np.where(distance < 1, (800 * deep + 40 * rng.standard_normal(SHAPE)).clip(min=1), 0).astype(np.float32)
    path = folder / "sub-noise_T1w.nii.gz"
    write_volume(path, Volume(values, np.diag([1.0, 1.0, 1.0, 1.0])))
    return path


if __name__ == "__main__":
    main()
