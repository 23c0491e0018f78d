"""The script that makes a model's template, from phantoms to a model that carries one."""

import sys
from pathlib import Path

import numpy as np
import pytest

from neuronat.infer.prior import place_template
from neuronat.labels.scheme import load_scheme
from neuronat.nets.store import load_model
from neuronat.phantom import make_phantom
from neuronat.space.files import write_label_map, write_mask, write_volume


@pytest.fixture
def scans(tmp_path: Path, monkeypatch) -> Path:
    """Three phantoms of other proportions, where the challenge's scans would be; sub-03 is of fold 1."""
    for number, shape in enumerate([(56, 64, 60), (60, 62, 58), (54, 66, 62)], 1):
        volume, labels, mask = make_phantom(shape, np.random.default_rng(number))
        start = tmp_path / "data" / "malc" / f"sub-0{number}" / "anat" / f"sub-0{number}"
        start.parent.mkdir(parents=True)
        write_volume(start.with_name(start.name + "_desc-brain_T1w.nii.gz"), volume)
        write_mask(start.with_name(start.name + "_desc-brain_mask.nii.gz"), mask, volume.affine)
        write_label_map(start.with_name(start.name + "_seg-deepnat25_dseg.nii.gz"), labels)
    (tmp_path / "folds.tsv").write_text("scan\tfold\nsub-01\t0\nsub-02\t0\nsub-03\t1\n")
    monkeypatch.setenv("NEURONAT_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.slow
def test_a_template_of_two_brains_labels_a_third_one(load_benchmark, scans, untrained_folder, monkeypatch, capsys):
    script = load_benchmark("template")
    made = scans / "made"
    options = ["--protocol", "deepnat25", "--folds", str(scans / "folds.tsv"), "--held-out", "1", "--weight", "2"]
    monkeypatch.setattr(sys, "argv", ["template.py", str(untrained_folder), str(made), *options])
    script.main()
    assert "from 2 scans" in capsys.readouterr().out
    model = load_model(made)
    assert (model.card.template["deepnat25"].n_scans, model.card.template["deepnat25"].weight) == (2, 2.0)
    third = script.read_brain(scans / "data/malc/sub-03/anat/sub-03_desc-brain_T1w.nii.gz", "deepnat25")
    mask = third.classes > 0
    found, shares = place_template(model.template, third.grey, mask, third.classes[mask])
    assert np.mean(found[:, 0] == third.classes[mask]) > 0.9
    assert shares[:, 0].mean() > 200
    assert found.max() < load_scheme("deepnat25").n_classes
