from dataclasses import replace

import numpy as np
import pytest

from neuronat.labels.scheme import load_scheme
from neuronat.measure.confidence import Calibration
from neuronat.pipeline.answers import Answer
from neuronat.pipeline.confidence import confidence_per_protocol, whole_structures
from neuronat.pipeline.judge import judge_result
from neuronat.pipeline.result import BrainProbabilities
from neuronat.prepare.conform import plan_grid
from neuronat.prepare.scan import PreparedScan, crop_box

AT_ITS_WORD = Calibration(offset=0.0, expected=1.0, size=0.0, usual={"48": 0.9, "17": 0.9, "105": 0.9})
HIPPOCAMPUS, GYRUS = (48, 17), (105, 3)  # left ones: id in the fine protocol, and in the coarse one


@pytest.fixture
def computed() -> dict[str, BrainProbabilities]:
    """A coarse answer that is sure (0.9) of its two structures, and a fine one of the same voxels that is not (0.4)."""
    grid = plan_grid(np.diag([-1.0, 1.0, 1.2, 1.0]), (9, 8, 7))
    inside = np.zeros(grid.shape, bool)
    inside[2:-2, 2:-2, 2:-2] = True
    box = crop_box(inside)
    scan = PreparedScan(inside[box].astype(np.float32), inside[box], grid.affine, box, grid)
    found = {}
    for number, (name, certainty) in enumerate((("neuromorphometrics", 0.4), ("deepnat25", 0.9))):
        scheme = load_scheme(name)
        ids = np.where(np.arange(np.count_nonzero(inside)) < 20, HIPPOCAMPUS[number], GYRUS[number])
        classes = scheme.classes_of(ids)
        masses = np.bincount(classes, minlength=scheme.n_classes).astype(np.float64)
        answer = Answer(classes, np.full(len(ids), certainty, np.float32), masses, lambda: iter(()))
        found[name] = BrainProbabilities(answer, scheme, scan, is_native=False, calibration=AT_ITS_WORD)
    return found


def test_a_structure_has_one_confidence_in_all_tables(computed):
    together = confidence_per_protocol(computed)
    assert together["deepnat25"] == pytest.approx({17: 0.9, 3: 0.9})
    assert together["neuromorphometrics"] == pytest.approx({48: 0.9, 105: 0.4})  # a gyrus is but a part of the cortex
    fine = {"neuromorphometrics": computed["neuromorphometrics"]}
    assert confidence_per_protocol(fine)["neuromorphometrics"] == pytest.approx({48: 0.4, 105: 0.4})


def test_a_structure_that_the_coarse_protocol_is_sure_of_is_no_finding(computed):
    labels = {name: found.label_map() for name, found in computed.items()}
    for asked, named in ((computed, False), ({"neuromorphometrics": computed["neuromorphometrics"]}, True)):
        inside = labels["deepnat25"].ids > 0
        findings = judge_result({name: labels[name] for name in asked}, inside, asked, ())
        said = " ".join(finding.reason for finding in findings["neuromorphometrics"])
        assert "(0.40, usually 0.90)" in said  # the gyrus
        assert ("Left Hippocampus (0.40, usually 0.90)" in said) is named


def test_what_two_protocols_share_by_construction_is_said_once(computed):
    labels = {name: found.label_map() for name, found in computed.items()}
    inside = labels["deepnat25"].ids > 0
    said = "no voxel of Left-Cerebral-White-Matter"
    apart = judge_result(labels, inside, computed, ())
    assert {name: [f.reason.split(": ")[0] for f in apart[name] if said in f.reason] for name in labels} == {
        "deepnat25": ["deepnat25"], "neuromorphometrics": ["neuromorphometrics"],
    }  # fmt: skip
    fine = computed["neuromorphometrics"]
    follows = computed | {"neuromorphometrics": replace(fine, answer=replace(fine.answer, follows="deepnat25"))}
    together = judge_result(labels, inside, follows, ())
    assert len({f.reason for name in labels for f in together[name] if said in f.reason}) == 1
    assert any(finding.reason.startswith("neuromorphometrics: ") for finding in together["neuromorphometrics"])


def test_structures_that_are_merged_have_no_twin():
    twins = whole_structures(load_scheme("neuromorphometrics"), "deepnat25")
    assert len(twins) == 23
    assert not {105, 50, 15} & set(twins)
