"""Show that a scan's labels do not depend on how the scan is stored: 48 orientations, a turned header, a finer grid.

Usage: python benchmarks/orientations.py [--scan NAME] [--model NAME|DIR] [--threads N] [--full N] [--skip LETTERS]

Takes a scan of NEURONAT_DATA/malc (skull-stripped, with mask).
1. All 48 orientations: scan and mask on the working grid are compared number by number. They are all that the rest of
   `segment` reads, and it draws no random numbers, so identical arrays mean identical labels.
2. `--full` of the 48, labelled from end to end and compared on the grid of the file as it is: every label.
3. The header turned by 15 degrees, and the scan resampled to 0.8 mm, labelled from end to end: Dice on the grid of the
   changed scan, with the labels of the unchanged scan at its places.
"""

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from neuronat import segment
from neuronat.labels.scheme import LabelScheme
from neuronat.measure.overlap import dice_per_structure
from neuronat.pipeline.settings import SegmentConfig
from neuronat.prepare.conform import mask_to_working, plan_grid, to_working
from neuronat.prepare.resample import resample
from neuronat.prepare.scan import crop_box
from neuronat.space.affine import AxisMoves, reorient, reoriented_affine, undo_reorient
from neuronat.space.files import read_mask, read_volume, write_mask, write_volume
from neuronat.space.volume import Volume

Scan = tuple[Volume, NDArray[np.bool_]]
PROTOCOL = "deepnat25"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--scan", default="sub-1015")
    options.add_argument("--model", default="deepnat")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--full", type=int, default=1, help="orientations that are labelled from end to end")
    options.add_argument("--skip", default="", help="letters of the parts to leave out: t (turned), f (finer)")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    scan = read_scan(chosen.scan)
    ways = all_orientations()
    compare_working_grids(scan, ways)
    labels, scheme = label(scan, chosen.model, "as it is")
    for moves in ways[7 :: 48 // max(chosen.full, 1)][: chosen.full]:
        turned, _ = label(oriented(scan, moves), chosen.model, f"orientation {moves}")
        print(
            f"  other labels: {np.count_nonzero(undo_reorient(turned, moves) != labels)} of {labels.size}", flush=True
        )
    if "t" not in chosen.skip:
        turned, _ = label(turned_header(scan, 15.0), chosen.model, "header turned by 15 degrees")
        say_dice(turned, labels, scheme)
    if "f" not in chosen.skip:
        finer = resampled(scan, 0.8)
        found, _ = label(finer, chosen.model, "resampled to 0.8 mm")
        say_dice(found, labels_at(labels, scan, finer), scheme)


def read_scan(name: str) -> Scan:
    """Read a scan and its mask."""
    folder = Path(os.environ["NEURONAT_DATA"]) / "malc" / name / "anat"
    volume = read_volume(folder / f"{name}_desc-brain_T1w.nii.gz").volume
    return volume, read_mask(folder / f"{name}_desc-brain_mask.nii.gz").values > 0


def all_orientations() -> list[AxisMoves]:
    """Return the 48 ways to permute and flip three axes."""
    choices = itertools.product((False, True), repeat=3)
    return [AxisMoves(order, flips) for flips in choices for order in itertools.permutations(range(3))]


def oriented(scan: Scan, moves: AxisMoves) -> Scan:
    """Store a scan in another order; every voxel keeps its place in the world."""
    volume, mask = scan
    affine = reoriented_affine(volume.affine, volume.values.shape, moves)
    return Volume(np.ascontiguousarray(reorient(volume.values, moves)), affine), reorient(mask, moves).copy()


def compare_working_grids(scan: Scan, ways: list[AxisMoves]) -> None:
    """Say in how many orientations the cropped working grid holds the same numbers at the same places."""
    expected = on_working_grid(scan)
    same = [
        all(np.array_equal(a, b) for a, b in zip(on_working_grid(oriented(scan, moves)), expected, strict=True))
        for moves in ways
    ]
    print(f"working grid, mask and affine identical in {sum(same)} of {len(same)} orientations", flush=True)


def on_working_grid(scan: Scan) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
    """Return grey values, mask and affine as `prepare_scan` crops them, before the bias correction."""
    volume, mask = scan
    grid = plan_grid(volume.affine, volume.values.shape)
    inside = mask_to_working(mask, grid)
    box = crop_box(inside)
    start = np.array([edge.start for edge in box], np.float64)
    return (
        to_working(volume, grid).values[box],
        inside[box],
        (grid.affine[:3, :3] @ start + grid.affine[:3, 3]).round(6),
    )


def turned_header(scan: Scan, degrees: float) -> Scan:
    """Turn a scan about the world's axis from left to right; the voxels stay as they are."""
    volume, mask = scan
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])
    return Volume(volume.values, turn @ volume.affine), mask


def resampled(scan: Scan, spacing_mm: float) -> Scan:
    """Resample a scan of 1 mm to a finer grid over the same box."""
    volume, mask = scan
    step = np.diag([spacing_mm] * 3 + [1.0])
    step[:3, 3] = (spacing_mm - 1) / 2  # the outer faces of the first voxels stand at one place
    shape = tuple(int(extent / spacing_mm) for extent in volume.values.shape)
    values = resample(volume.values, step, shape, order=3).clip(min=0)
    inside = ndimage.affine_transform(mask.astype(np.float32), step[:3, :3], step[:3, 3], shape, order=1) >= 0.5
    return Volume((values * inside).astype(np.float32), volume.affine @ step), inside


def labels_at(labels: NDArray[np.integer], scan: Scan, other: Scan) -> NDArray[np.integer]:
    """Return the labels nearest to the voxels of another scan."""
    step = np.linalg.inv(scan[0].affine) @ other[0].affine
    return ndimage.affine_transform(labels, step[:3, :3], step[:3, 3], other[1].shape, order=0)


def label(scan: Scan, model: str, what: str) -> tuple[NDArray[np.integer], LabelScheme]:
    """Write a scan and its mask to files, label it, and return the labels on its own grid."""
    began, processor = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as name:
        path, mask = Path(name) / "scan.nii.gz", Path(name) / "mask.nii.gz"
        write_volume(path, scan[0])
        write_mask(mask, scan[1], scan[0].affine)
        found = segment(path, model, config=SegmentConfig(mask=mask)).labels[PROTOCOL]
    seconds = f"{time.perf_counter() - began:.0f} s, {time.process_time() - processor:.0f} s of processor time"
    print(f"{what}: {np.count_nonzero(found.ids)} voxels labelled in {seconds}", flush=True)
    return found.ids, found.scheme


def say_dice(found: NDArray[np.integer], expected: NDArray[np.integer], scheme: LabelScheme) -> None:
    """Print the Dice of two label maps on one grid."""
    dice = dice_per_structure(found, expected, scheme)
    names = scheme.name_of
    lowest = sorted(dice, key=lambda index: dice[index])[:4]
    print(
        f"  mean Dice {np.mean(list(dice.values())):.4f}; lowest: "
        + ", ".join(f"{names[index]} {dice[index]:.3f}" for index in lowest),
        flush=True,
    )


if __name__ == "__main__":
    main()
