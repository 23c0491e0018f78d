"""Draw the pictures of the documentation: `python docs/generate_pictures.py [DEMO_OUT]`.

The learning curves come from the logs in docs/training; the segmentation from the folder that `neuronat demo` wrote.
"""

import sys
from pathlib import Path

from neuronat.cli.demo import find_template
from neuronat.labels import load_scheme
from neuronat.report.curves import parse_log
from neuronat.report.figures import draw_learning_curves, draw_segmentation, render_figure
from neuronat.space.files import read_label_map, read_volume

DOCS = Path(__file__).parent


def main() -> None:
    """Draw what can be drawn."""
    curves = {log.stem: parse_log(log.read_text()) for log in sorted((DOCS / "training").glob("*.jsonl"))}
    images = DOCS / "images"
    images.mkdir(exist_ok=True)
    (images / "learning-curves.png").write_bytes(render_figure(draw_learning_curves(curves), "png"))
    if len(sys.argv) > 1:
        (found,) = Path(sys.argv[1]).glob("*_seg-deepnat25_dseg.nii.gz")
        labels = read_label_map(found, load_scheme("deepnat25"))
        scan = read_volume(find_template()).volume
        (images / "segmentation.png").write_bytes(render_figure(draw_segmentation(scan, labels), "png"))


if __name__ == "__main__":
    main()
