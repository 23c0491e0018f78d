"""benchmarks/ablations.py does what it says, on phantoms."""

from pathlib import Path

import numpy as np
import pytest

from neuronat.measure.scores import parse_scores
from neuronat.nets.store import read_model_card

BASE = """
name = "base"
protocol = "deepnat25"
folder = "run"
description = "Two steps on phantoms."
[data]
folder = "scans"
scans = "*_T1w.nii.gz"
mask_ending = "_mask.nii.gz"
label_ending = "_dseg.nii.gz"
scheme = "deepnat25"
packed = "packed"
folds = "folds.tsv"
held_out = [1]
[foreground]
iterations = 2
n_blocks = 2
n_centres = 2
[structures]
iterations = 2
n_blocks = 2
n_centres = 2
"""
ARMS = """
base = "base.toml"
[common.structures]
iterations = 3
[arms.both]
[arms.alone.network]
n_tasks = 1
coordinates = []
is_cascade = false
"""


@pytest.fixture
def benchmark(load_benchmark):
    return load_benchmark("ablations")


@pytest.fixture
def arms(labelled_phantoms, monkeypatch) -> Path:
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))
    (labelled_phantoms / "base.toml").write_text(BASE)
    path = labelled_phantoms / "arms.toml"
    path.write_text(ARMS)
    return path


@pytest.mark.slow
def test_each_arm_is_trained_measured_and_told_once(benchmark, arms, tmp_path, capsys):
    benchmark.main([str(arms), str(tmp_path / "out"), "--threads", "1", "--device", "cpu"])
    both, alone = (line for line in capsys.readouterr().out.splitlines() if "mean Dice" in line)
    assert both.startswith("both: mean Dice 0.")
    assert ", neighbours in 0." in both
    assert ", neighbours in" not in alone
    assert set(read_model_card(tmp_path / "out" / "both" / "both").stages) == {"foreground", "structures"}
    card = read_model_card(tmp_path / "out" / "alone" / "alone")
    assert (tuple(card.stages), card.stages["structures"].n_tasks) == (("structures",), 1)
    assert card.training.recipe["structures"]["iterations"] == 3
    scores = parse_scores((tmp_path / "out" / "alone.tsv").read_text())
    assert {score.scan for score in scores} == {"sub-02"}
    weights = tmp_path / "out" / "both" / "both" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    benchmark.main([str(arms), str(tmp_path / "out"), "--arm", "both", "--threads", "1", "--device", "cpu"])
    assert "both: mean Dice" in capsys.readouterr().out
    assert weights.stat().st_mtime_ns == before


def test_an_arm_that_is_not_described_is_refused(benchmark, arms, tmp_path):
    with pytest.raises(SystemExit, match=r"arms.toml has no arm all"):
        benchmark.main([str(arms), str(tmp_path / "out"), "--arm", "all"])
