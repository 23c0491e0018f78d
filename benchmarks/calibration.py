"""Measure what a model's probabilities are worth, and put that on its card as a calibration.

Usage: python benchmarks/calibration.py measure TABLE.tsv FOLDER... --model NAME|DIR... [--reference PROTOCOL]
           [--protocols NAME...] [--only STEM...] [--device NAME] [--threads N]
       python benchmarks/calibration.py fit TABLE.tsv OUT
       python benchmarks/calibration.py install OUT/calibration.json MODEL NEW_FOLDER

`measure` labels every `<stem>_desc-brain_T1w.nii.gz` in the folders (NEURONAT_DATA/malc, or the sets of
benchmarks/stress.py) that lies beside `<stem>_desc-brain_mask.nii.gz` and `<stem>_seg-<reference>_dseg.nii.gz`, and
appends a row per protocol (of the same rater, or merged from the rater's) and structure; a stem that stands in the
table is not labelled again. Only scans that the model was not trained on say anything. `fit` pools the structures of
a protocol, writes `calibration.json` and `calibration.svg`, and prints how good predictions are: each subject's by a
calibration fitted without it. `install` writes a copy of the model with the calibration on its card.
"""

import argparse
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from scipy.stats import spearmanr

from neuronat.labels.scheme import load_scheme
from neuronat.measure.confidence import Calibration, calibrated, expected_dice, fit_calibration
from neuronat.measure.overlap import dice_per_structure
from neuronat.nets.folder import LICENCE, find_model
from neuronat.nets.store import load_model, save_model
from neuronat.pipeline.device import choose_device, limit_threads
from neuronat.pipeline.networks import DEFAULT_PROTOCOLS, Networks, chosen_protocols, load_models
from neuronat.pipeline.result import BrainProbabilities, Result
from neuronat.pipeline.segment import read_inputs, segment_scan
from neuronat.pipeline.settings import SegmentConfig
from neuronat.space.files import read_label_map
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import LabelMap

COLUMNS = ("stem", "subject", "is_spoilt", "protocol", "index", "size_ml", "expected", "dice")
SCAN = "_desc-brain_T1w.nii.gz"
BINS = np.linspace(0, 1, 11)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = options.add_subparsers(title="commands", required=True)
    measuring = commands.add_parser("measure", help="label scans and compare")
    measuring.add_argument("table", type=Path)
    measuring.add_argument("folders", type=Path, nargs="+")
    measuring.add_argument("--model", nargs="+", required=True, help="names or folders, used together as by segment")
    measuring.add_argument("--reference", default="neuromorphometrics", help="protocol of the true labels")
    measuring.add_argument("--protocols", nargs="+", default=DEFAULT_PROTOCOLS, help="that the reference maps onto")
    measuring.add_argument("--only", nargs="*", help="stems that begin like this; default: all")
    measuring.add_argument("--device", default="auto")
    measuring.add_argument("--threads", type=int)
    measuring.set_defaults(run=measure)
    fitting = commands.add_parser("fit", help="fit a calibration per protocol")
    fitting.add_argument("table", type=Path)
    fitting.add_argument("out", type=Path)
    fitting.set_defaults(run=fit)
    installing = commands.add_parser("install", help="put a calibration on a model's card")
    installing.add_argument("calibration", type=Path)
    installing.add_argument("model", help="name or folder")
    installing.add_argument("folder", type=Path, help="of the new model")
    installing.set_defaults(run=install)
    chosen = options.parse_args()
    chosen.run(chosen)


def measure(chosen: argparse.Namespace) -> None:
    """Label the scans that the table lacks, and append what came out."""
    limit_threads(chosen.threads)
    models, reference = load_models(chosen.model), load_scheme(chosen.reference)
    offered = chosen_protocols(models, SegmentConfig(models=tuple(chosen.model)))
    known = {name: offered[name] for name in chosen.protocols if name in offered}
    networks = Networks(known, choose_device(chosen.device), models)
    chosen.table.parent.mkdir(parents=True, exist_ok=True)
    measured = {row["stem"] for row in read_rows(chosen.table)} if chosen.table.is_file() else set()
    for path in sorted(path for folder in chosen.folders for path in folder.rglob(f"*{SCAN}")):
        stem = path.name.removesuffix(SCAN)
        truth = path.with_name(f"{stem}_seg-{reference.name}_dseg.nii.gz")
        if stem in measured or not truth.is_file() or not stem.startswith(tuple(chosen.only or [""])):
            continue
        mask = path.with_name(f"{stem}_desc-brain_mask.nii.gz")
        config = SegmentConfig(mask=mask, force=True, reading=ReadOptions(force=True))
        result = segment_scan(read_inputs(path, config), networks, config)
        append_rows(chosen.table, list(rows_of(stem, result, read_label_map(truth, reference))))
        print(f"{stem}: {', '.join(known)}", flush=True)


def rows_of(stem: str, result: Result, truth: LabelMap) -> Iterator[tuple[object, ...]]:
    """Compare what the probabilities promise with what is true, structure by structure."""
    for protocol, found in result.computed.items():
        scheme = result.labels[protocol].scheme
        dice = dice_per_structure(result.labels[protocol].ids, truth.scheme.mapped_ids(truth.ids, protocol), scheme)
        for index, (size_ml, expected) in promised(found).items():
            if index in dice and not np.isnan(dice[index]):
                row = (stem, stem.split("_")[0], int(stem.split("_acq-")[-1] not in (stem, "plain")), protocol, index)
                yield (*row, f"{size_ml:.4f}", f"{expected:.5f}", f"{dice[index]:.5f}")


def promised(found: BrainProbabilities) -> dict[int, tuple[float, float]]:
    """Return size in ml and expected Dice of each structure found, by id."""
    answer = found.answer
    expected = expected_dice(answer.classes, answer.certainty, answer.masses)
    sizes_ml = np.bincount(answer.classes, minlength=len(expected)) / 1000  # the working grid has 1 mm
    return {found.scheme.ids[c]: (sizes_ml[c], expected[c]) for c in np.flatnonzero(sizes_ml).tolist() if c}


def append_rows(path: Path, rows: Sequence[Sequence[object]]) -> None:
    is_new = not path.is_file()
    with path.open("a", encoding="utf-8") as stream:
        for row in [COLUMNS, *rows] if is_new else rows:
            stream.write("\t".join(map(str, row)) + "\n")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def fit(chosen: argparse.Namespace) -> None:
    """Fit, judge and draw a calibration per protocol."""
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(chosen.table)
    protocols = list(dict.fromkeys(row["protocol"] for row in rows))
    found: dict[str, Calibration] = {}
    mpl.rcParams["svg.hashsalt"] = "neuronat"
    figure, axes = plt.subplots(1, len(protocols), figsize=(4 * len(protocols), 4), squeeze=False, layout="constrained")
    for protocol, axis in zip(protocols, axes[0], strict=True):
        some = [row for row in rows if row["protocol"] == protocol]
        expected, size_ml, dice = (column(some, name) for name in ("expected", "size_ml", "dice"))
        pooled = fit_calibration(expected, size_ml, dice)
        confidence = calibrated(pooled, expected, size_ml)
        unspoilt = np.array([row["is_spoilt"] == "0" for row in some])
        indices = np.array([row["index"] for row in some])
        usual = {
            index: round(float(confidence[unspoilt & (indices == index)].mean()), 3)
            for index in dict.fromkeys(indices[unspoilt].tolist())
        }
        found[protocol] = replace(pooled, usual=usual)
        unseen = by_subject(some, expected, size_ml, dice)
        print(f"{protocol}: {judged(some, unseen, dice, expected)}")
        draw(axis, protocol, unseen, dice)
    text = json.dumps({name: rounded(asdict(calibration)) for name, calibration in found.items()}, indent=1)
    (chosen.out / "calibration.json").write_text(text + "\n", encoding="utf-8")
    picture = io.StringIO()
    figure.savefig(picture, format="svg", metadata={"Date": None})
    lines = [line.rstrip() for line in picture.getvalue().splitlines()]
    (chosen.out / "calibration.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")


def rounded(numbers: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in numbers.items()}


def by_subject(
    rows: Sequence[dict[str, str]],
    expected: NDArray[np.float64],
    size_ml: NDArray[np.float64],
    dice: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Predict each subject's rows by a calibration fitted on the others'."""
    subjects = np.array([row["subject"] for row in rows])
    unseen = np.full(len(rows), np.nan)
    for subject in np.unique(subjects) if len(np.unique(subjects)) > 1 else []:
        here = subjects == subject
        others = fit_calibration(expected[~here], size_ml[~here], dice[~here])
        unseen[here] = calibrated(others, expected[here], size_ml[here])
    return unseen


def judged(
    rows: Sequence[dict[str, str]],
    confidence: NDArray[np.float64],
    dice: NDArray[np.float64],
    expected: NDArray[np.float64],
) -> str:
    """Say how well confidence, each subject's fitted without it, ranks and predicts the Dice coefficient."""
    indices = np.array([row["index"] for row in rows])
    within = [
        float(spearmanr(confidence[indices == index], dice[indices == index]).statistic)
        for index in np.unique(indices)
        if np.count_nonzero(indices == index) > 2
    ]
    return (
        f"{len(rows)} rows of {len({row['stem'] for row in rows})} scans, "
        f"Spearman {spearmanr(confidence, dice).statistic:.3f} (expected Dice alone "
        f"{spearmanr(expected, dice).statistic:.3f}; median within a structure {np.nanmedian(within):.3f}), "
        f"mean absolute error {np.abs(confidence - dice).mean():.3f} (expected Dice alone "
        f"{np.abs(expected - dice).mean():.3f}), calibration error {calibration_error(confidence, dice):.3f}"
    )


def calibration_error(confidence: NDArray[np.float64], dice: NDArray[np.float64]) -> float:
    """Mean over ten bins of confidence of |mean confidence - mean Dice|, weighted by their rows."""
    bins = np.digitize(confidence, BINS[1:-1])
    return float(sum(abs(np.sum((confidence - dice)[bins == number])) for number in np.unique(bins)) / len(dice))


def draw(axis: plt.Axes, protocol: str, confidence: NDArray[np.float64], dice: NDArray[np.float64]) -> None:
    """Draw the Dice coefficient over the confidence, and means of ten bins."""
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axis.scatter(confidence, dice, s=6, color="#1f77b4", alpha=0.35, linewidths=0, rasterized=True)
    bins = np.digitize(confidence, BINS[1:-1])
    means = np.array([[confidence[bins == n].mean(), dice[bins == n].mean()] for n in np.unique(bins)])
    axis.plot(means[:, 0], means[:, 1], "o-", color="#d62728", label="mean of a tenth")
    axis.set(title=protocol, xlabel="confidence", ylabel="Dice", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.legend(loc="upper left", frameon=False)


def column(rows: Sequence[dict[str, str]], name: str) -> NDArray[np.float64]:
    return np.array([float(row[name]) for row in rows])


def install(chosen: argparse.Namespace) -> None:
    """Write a copy of a model whose card holds a calibration of its protocols."""
    model = load_model(chosen.model)
    texts = json.loads(chosen.calibration.read_text(encoding="utf-8"))
    known = {protocol: numbers for protocol, numbers in texts.items() if protocol in model.schemes}
    confidence = {protocol: Calibration(**numbers) for protocol, numbers in known.items()}
    licence = (find_model(chosen.model) / LICENCE).read_text(encoding="utf-8")
    card = replace(model.card, confidence=confidence)
    print(save_model(replace(model, card=card), chosen.folder, licence_text=licence))


if __name__ == "__main__":
    main()
