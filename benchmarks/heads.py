"""Label real raw heads: brain volume, and on one of them Dice with FSL FAST's maps and with its stripped version.

Usage: python benchmarks/heads.py [--model NAME|DIR ...] [--threads N] [--heads philips,studyforrest,ms01,ms12]
       python benchmarks/heads.py --painted 03,10,18 [--repeats N]     (Dice of the mask in painted heads)

Reads NEURONAT_DATA/heads, which nobody was trained on. `philips` is a folder of DICOM files; of the same scan there are
a stripped version and FAST's partial volumes, on another grid.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from neuronat import segment
from neuronat.labels.scheme import load_scheme
from neuronat.pipeline.finder import find_brain
from neuronat.pipeline.networks import BRAIN, load_models
from neuronat.pipeline.result import Result
from neuronat.pipeline.settings import SegmentConfig
from neuronat.prepare.conform import labels_to_working, plan_grid, to_working
from neuronat.space.affine import voxel_volume_mm3
from neuronat.space.files import read_label_map, read_volume, write_mask
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import Volume
from neuronat.space.voxels import largest_part
from neuronat.synth.degrade import DegradeConfig, degrade
from neuronat.synth.paint import brain_of, paint_head

HEADS = {"philips": "dicom", "studyforrest": "T1w.nii.gz", "ms01": "T1w.nii.gz", "ms12": "T1w.nii.gz"}
TISSUES = ("tissue", "hmrf")
GREY, WHITE = 2, 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", action="append", help="name or folder; several times for several")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--heads", default=",".join(HEADS))
    options.add_argument("--painted", help="of NEURONAT_DATA/labelmaps, painted; instead of the real ones")
    options.add_argument("--repeats", type=int, default=3, help="paintings of each")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    models = tuple(chosen.model or ["neuronet"])
    forced = SegmentConfig(models=models, force=True, reading=ReadOptions(force=True))
    if chosen.painted:
        measure_painted(chosen.painted.split(","), chosen.repeats)
        return
    folder = Path(os.environ["NEURONAT_DATA"]) / "heads"
    for name in chosen.heads.split(","):
        raw = labelled(folder / name / HEADS[name], forced, f"{name}, raw")
        if name == "philips":
            compare_with_fast(raw, folder / name, forced)


def measure_painted(names: list[str], n_repeats: int) -> None:
    """Find the brain in painted heads, whose brain is known."""
    finder = load_models((BRAIN,))[0]
    for name in names:
        path = Path(os.environ["NEURONAT_DATA"]) / "labelmaps" / f"sub-{name}_dseg.nii.gz"
        head = read_label_map(path, load_scheme("wholehead"))
        edge = max(head.ids.shape)
        ids = np.pad(head.ids, [(0, edge - extent) for extent in head.ids.shape])  # `degrade` knows cubes alone
        grid = plan_grid(head.affine, ids.shape)
        truth = labels_to_working(brain_of(ids).astype(np.int32), grid) > 0
        scores = []
        for repeat in range(n_repeats):
            image = paint_head(ids, torch.Generator().manual_seed(1000 * int(name) + repeat))
            image = degrade(torch.from_numpy(image), DegradeConfig(), torch.Generator().manual_seed(repeat)).numpy()
            grey = to_working(Volume(image, head.affine), grid).values
            scores.append(dice(find_brain(finder, grey, torch.device("cpu"), lambda *_: None), truth))
        print(f"painted head {name}: mask Dice {', '.join(f'{score:.3f}' for score in scores)}", flush=True)


def labelled(path: Path, config: SegmentConfig, what: str) -> Result:
    """Label a scan and say how large its brain is."""
    began = time.perf_counter()
    found = segment(path, config=config)
    volume_ml = found.mask.sum() * voxel_volume_mm3(found.affine) / 1000
    print(f"{what}: brain {volume_ml:.0f} ml, {time.perf_counter() - began:.0f} s", flush=True)
    return found


def compare_with_fast(raw: Result, folder: Path, forced: SegmentConfig) -> None:
    """Print Dice with FAST's tissues and with the stripped version, on the grid of these."""
    brain, grey, white = (
        read_volume(folder / f"{name}.nii.gz").volume for name in ("brain", "fast_pve-gm", "fast_pve-wm")
    )
    mask = largest_part(brain.values > 0)  # without the two spheres beside the brain
    rest = 1 - grey.values - white.values
    fast = np.where(mask, np.stack([rest, grey.values, white.values]).argmax(0) + 1, 0)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "mask.nii.gz"
        write_mask(path, mask, brain.affine)
        config = replace(forced, mask=path)
        stripped = labelled(folder / "brain.nii.gz", config, "philips, stripped by others")
    there = at(raw.mask, raw, brain)
    print(f"  mask: Dice {dice(there > 0, mask):.3f}")
    for protocol in [p for p in TISSUES if p in raw.labels]:
        for result, what in ((raw, "raw"), (stripped, "stripped")):
            ids = at(result.labels[protocol].ids, result, brain)
            scores = [dice(ids == tissue, fast == tissue) for tissue in (GREY, WHITE)]
            print(f"  {protocol}, {what}: Dice with FAST: grey {scores[0]:.3f}, white {scores[1]:.3f}")
    for protocol in raw.labels:
        ours, theirs = (at(result.labels[protocol].ids, result, brain) for result in (raw, stripped))
        scores = [dice(ours == i, theirs == i) for i in np.unique(theirs) if i]
        print(f"  {protocol}: raw against stripped, mean Dice {np.mean(scores):.3f} of {len(scores)} structures")


def at(ids: NDArray[np.generic], result: Result, grid: Volume) -> NDArray[np.int32]:
    """Return the values of a result at the voxels of another grid."""
    step = np.linalg.inv(result.affine) @ grid.affine
    moved: NDArray[np.int32] = ndimage.affine_transform(
        ids.astype(np.int32), step[:3, :3], step[:3, 3], grid.values.shape, order=0
    )
    return moved


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice of two masks."""
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


if __name__ == "__main__":
    main()
