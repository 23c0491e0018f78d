import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from neuronat.errors import ModelError
from neuronat.nets.archive import export_model, import_model
from neuronat.nets.card import TemplateSpec
from neuronat.nets.store import Model, load_model, save_model
from neuronat.nets.template import Template, template_from_bytes, template_to_bytes


@pytest.fixture
def template(rng) -> Template:
    inside = rng.random((6, 7, 8)) > 0.4
    shape = (np.count_nonzero(inside), 3)
    classes, shares = (rng.integers(0, 26, shape).astype(np.uint8) for _ in range(2))
    return Template(np.where(inside, rng.random((6, 7, 8)), 0).astype(np.float32), inside, classes, shares)


@pytest.fixture
def informed(untrained_model: Model, template: Template) -> Model:
    card = replace(untrained_model.card, template={"deepnat25": TemplateSpec(n_scans=3, weight=1.5)})
    return replace(untrained_model, card=card, template=template)


def test_a_template_comes_back(template):
    found = template_from_bytes(template_to_bytes(template))
    np.testing.assert_allclose(found.grey, template.grey, atol=0.5 / 160 + 1e-6)  # bytes in steps of 1/160
    for name in ("inside", "classes", "shares"):
        np.testing.assert_array_equal(getattr(found, name), getattr(template, name))


def test_a_model_keeps_its_template_through_folder_and_archive(informed, tmp_path: Path):
    save_model(informed, tmp_path / "m")
    archive = tmp_path / "m.zip"
    export_model(str(tmp_path / "m"), archive)
    found = load_model(import_model(archive, tmp_path / "models"))
    np.testing.assert_array_equal(found.template.classes, informed.template.classes)
    assert found.card.template["deepnat25"] == TemplateSpec(n_scans=3, weight=1.5)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("shares"),
        lambda t: t.update(more=t["shares"]),
        lambda t: t.update(shares=t["shares"].astype(np.float32)),
        lambda t: t.update(shares=t["shares"][1:]),
        lambda t: t.update(inside=np.zeros_like(t["inside"])),
        lambda t: t.update(grey=t["grey"][..., 1:]),
    ],
)
def test_what_is_no_template_is_refused(template, change):
    tensors = safetensors.numpy.load(gzip.decompress(template_to_bytes(template)))
    change(tensors)
    with pytest.raises(ModelError, match="template"):
        template_from_bytes(gzip.compress(safetensors.numpy.save(tensors)))


def test_a_damaged_file_is_refused(template, monkeypatch):
    packed = template_to_bytes(template)
    for wrong in (packed[:-5], packed[:20], b"", b"no gzip", packed[:60] + b"x" + packed[61:], gzip.compress(b"{}")):
        with pytest.raises(ModelError, match=r"template\.safetensors\.gz is damaged"):
            template_from_bytes(wrong)
    monkeypatch.setattr("neuronat.nets.template.MAX_BYTES", 100)
    with pytest.raises(ModelError, match="too large"):
        template_from_bytes(packed)


def test_card_and_template_go_together(untrained_model, informed, template):
    with pytest.raises(ModelError, match="the card names a template and there is none, or the other way round"):
        replace(untrained_model, template=template)
    with pytest.raises(ModelError, match="the card names a template"):
        replace(informed, template=None)
    foreign = replace(template, classes=template.classes + np.uint8(100))
    with pytest.raises(ModelError, match="other classes than scheme deepnat25"):
        replace(informed, template=foreign)


@pytest.mark.parametrize(
    "spec",
    [
        {"n_scans": 0, "weight": 1.0},
        {"n_scans": 1, "weight": -1.0},
        {"n_scans": 1, "weight": 1.0, "weight_within": -1.0},
        {"n_scans": 1},
    ],
)
def test_a_card_with_an_impossible_template_is_refused(informed, tmp_path, spec):
    save_model(informed, tmp_path / "m")
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    (tmp_path / "m" / "card.json").write_text(json.dumps(card | {"template": {"deepnat25": spec}}))
    sums = (tmp_path / "m" / "SHA256SUMS").read_text().splitlines()
    digest = hashlib.sha256((tmp_path / "m" / "card.json").read_bytes()).hexdigest()
    lines = [f"{digest}  card.json" if line.endswith("card.json") else line for line in sums]
    (tmp_path / "m" / "SHA256SUMS").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(ModelError, match="template"):
        load_model(tmp_path / "m")


def test_a_template_of_a_protocol_that_the_model_lacks_is_refused(untrained_model):
    with pytest.raises(ModelError, match="a template is of one protocol of the model"):
        replace(untrained_model.card, template={"tissue": TemplateSpec(n_scans=1, weight=1.0)})
