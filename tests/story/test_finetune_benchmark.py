"""benchmarks/finetune.py does what it says, on phantoms."""

import csv
from pathlib import Path

import numpy as np
import pytest

from neuronat.labels.scheme import load_scheme
from neuronat.nets.card import ModelCard, StageSpec, TrainingRecord
from neuronat.nets.network import build_network
from neuronat.nets.store import Model, read_model_card, save_model
from neuronat.phantom import make_phantom
from neuronat.pipeline.finetune_settings import FinetuneConfig
from neuronat.space.files import write_label_map, write_mask, write_volume
from neuronat.train.crops import CropConfig

TINY = FinetuneConfig(crops=CropConfig(extent=16, n_inside=400, n_anywhere=50, share_composite=0.0, share_painted=0.0))


@pytest.fixture
def benchmark(load_benchmark):
    return load_benchmark("finetune")


@pytest.fixture
def places(tmp_path, monkeypatch) -> tuple[Path, Path, Path]:
    """A folder of three scans to learn from, one to measure on, and a tiny model."""
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))
    for number, folder in ((1, "scans"), (2, "scans"), (3, "scans"), (4, "test")):
        volume, labels, mask = make_phantom((40, 42, 44), np.random.default_rng(number))
        start = tmp_path / folder / f"sub-0{number}"
        write_volume(start.with_name(f"{start.name}_T1w.nii.gz"), volume)
        write_mask(start.with_name(f"{start.name}_desc-brain_mask.nii.gz"), mask, volume.affine)
        write_label_map(start.with_name(f"{start.name}_seg-deepnat25_dseg.nii.gz"), labels)
    shape = {"filters": (4, 6), "n_features": 4, "n_hidden": 6, "n_coordinates": 6}
    spec = StageSpec(architecture="unet", protocols={"deepnat25": 26}, **shape)
    card = ModelCard(
        name="tiny",
        description="Random weights, for tests.",
        stages={"whole": spec},
        schemes=("deepnat25",),
        training=TrainingRecord(material="none", n_scans=0),
        licence="CC0-1.0",
    )
    network = build_network(spec.network_config).eval()
    save_model(Model(card, {"whole": network}, {"deepnat25": load_scheme("deepnat25")}), tmp_path / "tiny")
    return tmp_path / "scans", tmp_path / "test", tmp_path / "tiny"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.slow
def test_each_arm_learns_from_so_many_scans_and_is_measured_on_the_others(benchmark, places, tmp_path, capsys):
    scans, test, model = places
    arguments = [str(scans), "-o", str(tmp_path / "out"), "--test", str(test), "--hold-out", "sub-03"]
    arguments += ["--model", str(model), "--iterations", "2", "--shots", "1", "--shots", "2", "--threads", "1"]
    benchmark.main(arguments, TINY)
    rows = rows_of(tmp_path / "out" / "finetune.tsv")
    assert [(row["shots"], row["arm"]) for row in rows] == [
        (shots, arm) for shots in "12" for arm in ("finetune", "heads", "scratch")
    ]
    assert len({row["before"] for row in rows}) == 1
    assert all(0 <= float(row["after"]) <= 1 for row in rows)
    card = read_model_card(tmp_path / "out" / "finetune-2")
    assert card.training.n_scans == 2
    assert card.accuracy[0].measured_on == "sub-04, sub-03, held out"
    weights = (tmp_path / "out" / "scratch-2" / "weights.safetensors").stat().st_mtime_ns
    benchmark.main(arguments, TINY)
    assert (tmp_path / "out" / "scratch-2" / "weights.safetensors").stat().st_mtime_ns == weights, "done again"
    assert rows_of(tmp_path / "out" / "finetune.tsv") == rows
    assert "arm scratch" in capsys.readouterr().out


@pytest.mark.slow
def test_a_protocol_under_another_name_is_a_new_one(benchmark, places, tmp_path):
    scans, test, model = places
    arguments = [str(scans), "-o", str(tmp_path / "out"), "--test", str(test), "--model", str(model)]
    arguments += ["--as-new", "unseen", "--iterations", "4", "--shots", "3", "--arm", "finetune", "--threads", "1"]
    benchmark.main(arguments, TINY)
    (row,) = rows_of(tmp_path / "out" / "finetune.tsv")
    assert (row["protocol"], row["before"]) == ("unseen", "n/a")
    assert read_model_card(tmp_path / "out" / "finetune-3").schemes == ("unseen",)
    assert len(list((tmp_path / "out" / "labels").glob("*_seg-unseen_dseg.nii.gz"))) == 4
