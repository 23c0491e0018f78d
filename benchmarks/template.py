"""Make the template of a model: a mean brain from scans with labels, and how often each class lay where.

Usage: python benchmarks/template.py MODEL NEW_FOLDER [--protocol NAME] [--folds FILE --held-out N...] [--weight W]
           [--weight-within W] [--threads N]

Reads `<stem>_desc-brain_T1w.nii.gz` and the mask (`_desc-brain_mask`) and labels (`_seg-<protocol>_dseg`) beside it,
under NEURONAT_DATA/malc, leaves out the scans of held-out folds, and writes a copy of the model that has the template.
A model and its template must not know the scans that they are judged by, so give the folds of the model's training.

Every brain is brought onto the mean of all by the centres of its structures, then deformed onto it, and the mean is
made anew, at its mean shape: four rounds, ever finer.
"""

import argparse
import csv
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.infer.prior import fit_affine
from neuronat.labels.scheme import load_scheme
from neuronat.nets.card import TemplateSpec
from neuronat.nets.folder import LICENCE, find_model
from neuronat.nets.store import load_model, save_model
from neuronat.nets.template import Template
from neuronat.pipeline.device import limit_threads
from neuronat.pipeline.segment import prepare_brain, read_inputs
from neuronat.pipeline.settings import SegmentConfig
from neuronat.prepare.conform import labels_to_working
from neuronat.prepare.warp import LEVELS, find_warp, place_points
from neuronat.space.files import read_label_map
from neuronat.space.scan import ReadOptions

SCAN = "_desc-brain_T1w.nii.gz"
ROUNDS = (((4, 30),), ((4, 50), (2, 20)), ((4, 50), (2, 40), (1, 6)), LEVELS)
MARGIN_VOX, SMOOTHING_VOX, N_CLASSES_KEPT = 6, 0.7, 6


@dataclass(frozen=True, eq=False)
class Brain:
    """Prepared grey values (I, J, K) and classes (I, J, K) of one scan."""

    grey: NDArray[np.float32]
    classes: NDArray[np.uint8]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("model", help="name or folder")
    options.add_argument("folder", type=Path, help="of the new model")
    options.add_argument("--protocol", default="neuromorphometrics")
    options.add_argument("--folds", type=Path, help="table of scans and folds, as of a training")
    options.add_argument("--held-out", nargs="*", default=(), help="folds to leave out")
    options.add_argument("--weight", type=float, default=1.0, help="of the logarithm of the shares among scores")
    options.add_argument(
        "--weight-within",
        type=float,
        default=1.0,
        help="the same, among the classes of a structure that is decided",
    )
    options.add_argument("--threads", type=int)
    chosen = options.parse_args()
    limit_threads(chosen.threads)
    model = load_model(chosen.model)
    left_out = held_out(chosen.folds, chosen.held_out)
    starts = sorted((Path(os.environ["NEURONAT_DATA"]) / "malc").rglob(f"*{SCAN}"))
    brains = [read_brain(p, chosen.protocol) for p in starts if p.name.split("_")[0] not in left_out]
    template = make_template(brains, model.schemes[chosen.protocol].n_classes)
    spec = TemplateSpec(n_scans=len(brains), weight=chosen.weight, weight_within=chosen.weight_within)
    made = replace(model, card=replace(model.card, template={chosen.protocol: spec}), template=template)
    licence = (find_model(chosen.model) / LICENCE).read_text(encoding="utf-8")
    print(save_model(made, chosen.folder, licence_text=licence), f"from {len(brains)} scans")


def held_out(folds: Path | None, numbers: Sequence[str]) -> set[str]:
    """Return the scans of some folds."""
    if folds is None:
        return set()
    with folds.open(encoding="utf-8") as stream:
        return {row["scan"] for row in csv.DictReader(stream, delimiter="\t") if row["fold"] in numbers}


def read_brain(path: Path, protocol: str) -> Brain:
    """Prepare a scan as `segment` does, and bring its labels onto the same grid."""
    start = str(path).removesuffix(SCAN)
    config = SegmentConfig(mask=Path(f"{start}_desc-brain_mask.nii.gz"), reading=ReadOptions(force=True), force=True)
    prepared, _ = prepare_brain(read_inputs(path, config), config)
    scheme = load_scheme(protocol)
    labels = read_label_map(Path(f"{start}_seg-{protocol}_dseg.nii.gz"), scheme)
    ids = labels_to_working(labels.ids, prepared.grid)[prepared.box]
    return Brain(prepared.intensities, np.where(prepared.mask, scheme.classes_of(ids), 0).astype(np.uint8))


def make_template(brains: Sequence[Brain], n_classes: int) -> Template:
    """Bring all brains onto their mean, and count classes there."""
    middle = brains[np.argsort([(brain.classes > 0).sum() for brain in brains])[len(brains) // 2]]
    shape = tuple(int(extent) + 2 * MARGIN_VOX for extent in middle.grey.shape)
    mean = replace(middle, grey=np.pad(middle.grey, MARGIN_VOX), classes=np.pad(middle.classes, MARGIN_VOX))
    warps: list[NDArray[np.float32]] = [np.zeros((*shape, 3), np.float32)] * len(brains)
    for number, levels in enumerate(ROUNDS):
        began = time.monotonic()
        affines = [affine_to(mean, brain) for brain in brains]
        if number:
            warps = [find_warp(mean.grey, b.grey, a, levels) for b, a in zip(brains, affines, strict=True)]
        drift = np.mean(warps, 0)
        greys, labels = zip(*map(brought, brains, warps, affines), strict=True)
        grey = np.mean(greys, 0, dtype=np.float32)
        print(f"round {number}: mean displacement {np.abs(drift).mean():.2f} voxels, {time.monotonic() - began:.0f} s")
        if levels is not ROUNDS[-1]:
            mean = at_mean_shape(grey, np.stack(labels), drift)
    shares = class_shares(labels, n_classes)
    return sparse_template(grey, shares)


def affine_to(mean: Brain, brain: Brain) -> NDArray[np.float64]:
    """Return the affine map (4, 3) from the mean brain to a brain, by the centres of structures."""
    places, others = np.argwhere(mean.classes), np.argwhere(brain.classes)
    found = fit_affine(places, mean.classes[mean.classes > 0], others, brain.classes[brain.classes > 0])
    if found is None:
        raise SystemExit("too few structures are labelled to find where they lie")
    return found


def brought(
    brain: Brain, warp: NDArray[np.float32], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return grey values (linear) and classes (nearest) of a brain on the grid of the mean."""
    shape = warp.shape[:3]
    points = place_points(np.indices(shape).reshape(3, -1).T, warp, affine).T
    grey = ndimage.map_coordinates(brain.grey, points, order=1).reshape(shape)
    return grey, ndimage.map_coordinates(brain.classes, points, order=0).reshape(shape)


def at_mean_shape(grey: NDArray[np.float32], labels: NDArray[np.uint8], drift: NDArray[np.float32]) -> Brain:
    """Move mean grey values back by the mean deformation, which is a bias of the brain that was begun with."""
    field = sitk.GetImageFromArray(drift.transpose(2, 1, 0, 3).astype(np.float64), isVector=True)
    back = sitk.GetArrayFromImage(sitk.InvertDisplacementField(field, maximumNumberOfIterations=20))
    unmoved = np.vstack([np.eye(3), np.zeros(3)])
    moved = Brain(grey, most_frequent(labels))
    return Brain(*brought(moved, back.transpose(2, 1, 0, 3).astype(np.float32), unmoved))


def most_frequent(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the class that most of N maps (N, I, J, K) have at each voxel."""
    best, found = np.zeros(labels.shape[1:], np.uint8), np.zeros(labels.shape[1:], np.uint8)
    for label in np.unique(labels):
        count = (labels == label).sum(0, dtype=np.uint8)
        found[count > best] = label
        np.maximum(best, count, out=best)
    return found


def class_shares(labels: Sequence[NDArray[np.uint8]], n_classes: int) -> list[NDArray[np.float32]]:
    """Return how often each class was at each voxel, smoothed a little: folds lie a millimetre off."""
    stack = np.stack(labels)
    counts = ((stack == label).mean(0, dtype=np.float32) for label in range(n_classes))
    return [ndimage.gaussian_filter(count, SMOOTHING_VOX) if count.any() else count for count in counts]


def sparse_template(grey: NDArray[np.float32], shares: Sequence[NDArray[np.float32]]) -> Template:
    """Keep the most frequent classes where any structure was seen."""
    inside = np.max(shares[1:], axis=0) > 0.5 / 255
    rows = np.stack([share[inside] for share in shares], 1)
    classes = np.argsort(-rows, 1, kind="stable")[:, :N_CLASSES_KEPT]
    kept = np.rint(255 * np.take_along_axis(rows, classes, 1)).clip(0, 255).astype(np.uint8)
    classes = np.where(kept > 0, classes, 0).astype(np.uint8)
    box = tuple(slice(places.min(), places.max() + 1) for places in np.nonzero(inside))
    return Template(grey=np.ascontiguousarray(grey[box]), inside=inside[box], classes=classes, shares=kept)


if __name__ == "__main__":
    main()
