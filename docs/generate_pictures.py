"""Draw the pictures of the documentation: `python docs/generate_pictures.py [DEMO_OUT]`.

DeepNAT's learning curves come from the logs of its second stage in docs/training, its filters from the shipped model,
the segmentation from the folder that `neuronat demo` wrote.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuronat.cli.demo import find_template
from neuronat.labels import load_scheme
from neuronat.nets.store import Model, load_model
from neuronat.report.curves import parse_log
from neuronat.report.figures import draw_learning_curves, draw_segmentation, render_figure
from neuronat.report.png import encode_png
from neuronat.space.files import read_label_map, read_volume

DOCS = Path(__file__).parent
ZOOM, PER_ROW = 6, 16


def main() -> None:
    """Draw what can be drawn."""
    logs = sorted((DOCS / "training").glob("structures-*.jsonl"))
    curves = {log.stem: parse_log(log.read_text()) for log in logs}
    images = DOCS / "images"
    images.mkdir(exist_ok=True)
    (images / "learning-curves.png").write_bytes(render_figure(draw_learning_curves(curves), "png"))
    (images / "filters.png").write_bytes(encode_png(filters_of(load_model("deepnat"))))
    if len(sys.argv) > 1:
        (found,) = Path(sys.argv[1]).glob("*_seg-deepnat25_dseg.nii.gz")
        labels = read_label_map(found, load_scheme("deepnat25"))
        scan = read_volume(find_template()).volume
        (images / "segmentation.png").write_bytes(render_figure(draw_segmentation(scan, labels), "png"))


def filters_of(model: Model) -> NDArray[np.uint8]:
    """Show the first layer's filters of the last stage: three slices each, from left to right, grey is 0."""
    weights = list(model.patchwise.values())[-1].conv1.weight.detach().numpy()[:, 0]
    strongest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    shades = np.round(127.5 * (1 + weights / strongest)).astype(np.uint8)
    extent = shades.shape[1]
    tiles = [np.concatenate([np.rot90(f[i]) for i in (1, extent // 2, extent - 2)]) for f in shades]
    framed = [np.pad(np.kron(tile, np.ones((ZOOM, ZOOM), np.uint8)), 2, constant_values=255) for tile in tiles]
    rows = [np.concatenate(framed[n : n + PER_ROW], 1) for n in range(0, len(framed), PER_ROW)]
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
