"""Make the mean shape of the brain that `infer.shape` fits to raw heads, from the whole-head label maps.

Usage: python benchmarks/brain_shape.py OUT.npz

Reads NEURONAT_DATA/labelmaps. Every brain is put into one box, centred and scaled along its axes, so that the mean is
sharp; the box's mean extents in mm are kept beside it. Half of the brains are mirrored ones.
"""

import os
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

from neuronat.labels.scheme import load_scheme
from neuronat.prepare.conform import mask_to_working, plan_grid
from neuronat.space.files import read_label_map
from neuronat.synth.paint import brain_of

SHAPE, MARGIN = (64, 76, 60), 6


def main() -> None:
    total = np.zeros(SHAPE, np.float64)
    extents, n_brains = [], 0
    for path in sorted((Path(os.environ["NEURONAT_DATA"]) / "labelmaps").glob("*_dseg.nii.gz")):
        labels = read_label_map(path, load_scheme("wholehead"))
        i, j, k = labels.ids.shape
        mask = mask_to_working(brain_of(labels.ids), plan_grid(labels.affine, (i, j, k)))
        places = np.argwhere(mask)
        low, high = places.min(0) - 0.5, places.max(0) + 0.5
        step = (high - low) / (np.array(SHAPE) - 2 * MARGIN)
        offset = low + 0.5 * step - MARGIN * step
        smooth = ndimage.gaussian_filter(mask.astype(np.float32), step / 2)
        boxed = ndimage.affine_transform(smooth, np.diag(step), offset, SHAPE, order=1)
        total += boxed + boxed[::-1]
        n_brains += 2
        extents.append(high - low)
    mean = np.round(255 * total / n_brains).astype(np.uint8)
    np.savez_compressed(sys.argv[1], share=mean, extents_mm=np.mean(extents, 0).astype(np.float32), margin=MARGIN)
    spread = f"mean extents {np.mean(extents, 0).round(1)} mm, deviation {np.std(extents, 0).round(1)}"
    print(f"{n_brains // 2} brains, {spread}")


if __name__ == "__main__":
    main()
