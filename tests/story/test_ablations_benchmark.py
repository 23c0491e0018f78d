"""benchmarks/ablations.py does what it says, on phantoms."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from neuronat.measure.scores import parse_scores
from neuronat.nets.store import read_model_card
from neuronat.phantom import make_phantom
from neuronat.space.files import write_label_map, write_mask, write_volume

ROOT = Path(__file__).resolve().parents[2]
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
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    spec = importlib.util.spec_from_file_location("benchmark_ablations", ROOT / "benchmarks" / "ablations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("dense", None)


@pytest.fixture
def arms(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))
    for number in (1, 2):
        volume, labels, mask = make_phantom((40, 42, 44), np.random.default_rng(number))
        start = tmp_path / "scans" / f"sub-0{number}"
        write_volume(start.with_name(start.name + "_T1w.nii.gz"), volume)
        write_label_map(start.with_name(start.name + "_dseg.nii.gz"), labels)
        write_mask(start.with_name(start.name + "_mask.nii.gz"), binary_dilation(mask), volume.affine)
    (tmp_path / "folds.tsv").write_text("scan\tfold\nsub-01\t0\nsub-02\t1\n")
    (tmp_path / "base.toml").write_text(BASE)
    path = tmp_path / "arms.toml"
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
