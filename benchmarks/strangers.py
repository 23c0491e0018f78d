"""Label painted brains of people whom no network knows in `deepnat25`: old ones, with lesions, other greys.

Usage: python benchmarks/strangers.py TABLE.tsv [--model NAME|DIR]... [--heads 18,16,05,11,02,20] [--threads N]
           [--labels FOLDER]
       python benchmarks/strangers.py --write FOLDER [--heads ...]     (for benchmarks/finetune.py)

The label maps of NEURONAT_DATA/labelmaps hold real anatomy of young and old people. Their brains are painted as a
T1-weighted scan would show them, each structure brighter or darker than usual, mostly by less than a fifth, stripped,
and labelled. Truth are FreeSurfer's labels, which draw some structures otherwise than the raters of the protocol
`deepnat25`: the hippocampus and the amygdala wider, the cortex thinner. So Dice is lower than on scans with manual
labels, and only models may be compared by it. Networks that were taught painted label maps never saw these in
`deepnat25`.
Rows are appended to TABLE.tsv; what stands there is not labelled again.
"""

import argparse
import csv
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neuronat import segment
from neuronat.labels.scheme import load_scheme
from neuronat.measure.overlap import dice_per_structure
from neuronat.pipeline.device import limit_threads
from neuronat.pipeline.settings import SegmentConfig
from neuronat.prepare.scan import crop_box
from neuronat.record import write_text
from neuronat.space.files import read_label_map, write_label_map, write_mask, write_volume
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import LabelMap, Volume
from neuronat.synth.degrade import DegradeConfig, degrade
from neuronat.synth.paint import CSF, brain_of, paint_head

HEADS = "18,16,05,11,02,20"
PROTOCOL = "deepnat25"
IN_HORNS = {137: 4, 164: 43}
"""What lies in an inferior horn counts as lateral ventricle here; FreeSurfer knows the horns by themselves."""
SPOILT = DegradeConfig(gain=0.1, gamma=0.15, bias=0.15, noise=0.04, share_blurred=0, share_sliced=0)
WHITE_LEVEL, LEAST = 1000, 2
HEADER = "model\tscan\tventricles_ml\tindex\tname\tdice\n"


@dataclass(frozen=True, eq=False)
class Stranger:
    """A painted brain (I, J, K), its mask, and its true ids of PROTOCOL, 0 where that has no structure."""

    volume: Volume
    mask: NDArray[np.bool_]
    truth: NDArray[np.int32]

    @property
    def ventricles_ml(self) -> float:
        """Volume of the lateral ventricles; the label maps have voxels of 1 mm."""
        return float(np.isin(self.truth, (4, 43)).sum()) / 1000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("table", type=Path, metavar="TABLE.tsv", nargs="?")
    options.add_argument("--model", action="append", help="name or folder; A,B work together; default: the default")
    options.add_argument("--heads", default=HEADS, help="of NEURONAT_DATA/labelmaps")
    options.add_argument("--threads", type=int)
    options.add_argument("--labels", type=Path, help="folder for the scans and the labels found, to look at")
    options.add_argument("--write", type=Path, help="folder for scans, masks and truth; nothing is labelled")
    chosen = options.parse_args()
    if chosen.write:
        for number in chosen.heads.split(","):
            print(write_stranger(painted(number), chosen.write / f"sub-{number}"))
        return
    if not chosen.table:
        options.error("name the table, or the folder to --write to")
    limit_threads(chosen.threads)
    for model in chosen.model or [""]:
        for number in chosen.heads.split(","):
            name = "+".join(Path(part).name for part in model.split(",")) or "default"
            if not is_done(chosen.table, name, number):
                measure(chosen.table, model, name, number, chosen.labels)
    print(summary(chosen.table), end="")


def measure(table: Path, model: str, name: str, number: str, kept: Path | None) -> None:
    """Label one painted brain, and append its rows."""
    stranger = painted(number)
    scheme = load_scheme(PROTOCOL)
    with tempfile.TemporaryDirectory() as place:
        scan = write_stranger(stranger, Path(place) / f"sub-{number}")
        mask = scan.with_name(scan.name.replace("T1w", "mask"))
        models = tuple(filter(None, model.split(",")))
        config = SegmentConfig(models=models, mask=mask, force=True, reading=ReadOptions(force=True))
        found = segment(scan, config=config)
    if kept:
        found.save(kept / name)
    scores = dice_per_structure(found.labels[PROTOCOL].ids, stranger.truth, scheme)
    names = scheme.name_of
    rows = "".join(
        f"{name}\t{number}\t{stranger.ventricles_ml:.1f}\t{index}\t{names[index]}\t{dice:.4f}\n"
        for index, dice in scores.items()
        if np.isfinite(dice)
    )
    before = table.read_text(encoding="utf-8") if table.is_file() else HEADER
    write_text(table, before + rows)


def write_stranger(stranger: Stranger, start: Path) -> Path:
    """Write the scan, whose path is returned, the mask and the truth, under names that begin with `start`."""
    start.parent.mkdir(parents=True, exist_ok=True)
    affine, scan = stranger.volume.affine, Path(f"{start}_desc-brain_T1w.nii.gz")
    write_volume(scan, stranger.volume)
    write_mask(Path(f"{start}_desc-brain_mask.nii.gz"), stranger.mask, affine)
    truth = LabelMap(stranger.truth, affine, load_scheme(PROTOCOL))
    write_label_map(Path(f"{start}_seg-{PROTOCOL}_dseg.nii.gz"), truth)
    return scan


def painted(number: str) -> Stranger:
    """Paint the brain of a label map."""
    path = Path(os.environ["NEURONAT_DATA"]) / "labelmaps" / f"sub-{number}_dseg.nii.gz"
    head = read_label_map(path, load_scheme("wholehead"))
    brain = brain_of(head.ids)
    box = crop_box(brain)
    ids, mask = head.ids[box], brain[box]
    chance = torch.Generator().manual_seed(int(number))
    edge = max(ids.shape)
    cube = np.pad(np.where(mask, ids, CSF), [(0, edge - extent) for extent in ids.shape], mode="edge")
    spoilt = degrade(torch.from_numpy(paint_head(cube, chance)), SPOILT, chance).numpy()
    grey = spoilt[tuple(slice(extent) for extent in ids.shape)] * WHITE_LEVEL
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [edge.start for edge in box]
    truth = head.scheme.mapped_ids(ids, "freesurfer")
    for index, owner in IN_HORNS.items():
        truth[ids == index] = owner
    truth = np.where(np.isin(truth, load_scheme(PROTOCOL).ids), truth, 0)
    return Stranger(Volume(np.where(mask, grey.clip(min=LEAST), 0).astype(np.float32), affine), mask, truth)


def rows_of(table: Path) -> list[dict[str, str]]:
    """Read a table, none if it is not there."""
    if not table.is_file():
        return []
    with table.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def is_done(table: Path, name: str, number: str) -> bool:
    """Tell whether a model's rows of a brain stand in the table."""
    return any((row["model"], row["scan"]) == (name, number) for row in rows_of(table))


def summary(table: Path) -> str:
    """Mean Dice by model and brain, and the structures that are found worst."""
    rows = rows_of(table)
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        means = {
            f"{row['scan']} ({row['ventricles_ml']} ml)": np.mean(
                [float(r["dice"]) for r in own if r["scan"] == row["scan"]]
            )
            for row in own
        }
        by_name = {row["name"]: np.mean([float(r["dice"]) for r in own if r["name"] == row["name"]]) for row in own}
        worst = sorted(by_name, key=lambda name: by_name[name])[:5]
        lines.append(f"{model}: mean Dice {np.mean(list(means.values())):.4f}; by brain (lateral ventricles)")
        lines.append("  " + ", ".join(f"{scan} {mean:.3f}" for scan, mean in means.items()))
        lines.append("  worst: " + ", ".join(f"{name} {by_name[name]:.3f}" for name in worst))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
