import numpy as np
import pytest

from neuronat.labels.scheme import load_scheme
from neuronat.pipeline.answers import Answer
from neuronat.pipeline.judge import judge_result
from neuronat.pipeline.result import BrainProbabilities
from neuronat.prepare.conform import plan_grid
from neuronat.prepare.scan import PreparedScan, crop_box, uncrop


@pytest.mark.parametrize(("thick_mm", "n_made"), [(3.0, 1), (1.2, 0)])
def test_the_fine_labels_of_a_coarse_scan_are_made_once(thick_mm: float, n_made: int, rng, monkeypatch):
    grid = plan_grid(np.diag([-1.0, 1.0, thick_mm, 1.0]), (9, 8, 7))
    inside = np.zeros(grid.shape, bool)
    inside[2:-2, 2:-2, 2:-2] = True
    box = crop_box(inside)
    scan = PreparedScan(inside[box].astype(np.float32), inside[box], grid.affine, box, grid)
    classes = rng.integers(0, 26, np.count_nonzero(inside)).astype(np.uint8)
    masses = np.bincount(classes, minlength=26).astype(np.float64)
    answer = Answer(classes, np.ones(len(classes), np.float32), masses, lambda: iter(()))
    found = BrainProbabilities(answer, load_scheme("deepnat25"), scan, is_native=True)
    made = []
    monkeypatch.setattr("neuronat.pipeline.result.uncrop", lambda *given: made.append(given) or uncrop(*given))
    label_map = found.label_map()
    assert len(made) == 1
    for _ in range(2):
        judge_result({"deepnat25": label_map}, label_map.ids > 0, {"deepnat25": found}, ())
    assert len(made) == 1 + n_made
