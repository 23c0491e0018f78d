"""A finished model, two labelled phantoms, and a model that fits them: from files on disk to labels of a scan."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import neuronat
from neuronat.errors import ConfigError, GridError, LabelError, ModelError, OutputError, UnusableInputError
from neuronat.labels.scheme import load_scheme, parse_scheme
from neuronat.nets.card import ModelCard, ScanSpec, StageSpec, TemplateSpec, TrainingRecord
from neuronat.nets.deepnat import DeepNat
from neuronat.nets.network import build_network
from neuronat.nets.store import Model, load_model, save_model
from neuronat.nets.template import Template
from neuronat.phantom import make_phantom
from neuronat.pipeline.budget import Budget
from neuronat.pipeline.finetune import finetune, work_folder
from neuronat.pipeline.finetune_card import draft_card
from neuronat.pipeline.finetune_settings import FinetuneConfig
from neuronat.pipeline.whole_material import Material
from neuronat.record import read_marker
from neuronat.space.files import write_label_map, write_mask, write_volume
from neuronat.space.volume import LabelMap
from neuronat.train.crops import CropConfig
from neuronat.train.teaching import Protocol
from neuronat.train.volumes import PackedVolume

CPU = torch.device("cpu")
BUDGET = Budget(device=CPU, max_minutes=60)
MINE = "index\tname\n0\tnothing\n7\tdark\n30\tbright\n"
CROPS = CropConfig(extent=16, n_inside=800, n_anywhere=100, share_composite=0.0, share_painted=0.0)
TINY = FinetuneConfig(iterations=4, crops=CROPS, n_blocks=2, n_centres=2)


def silent(_step, _done):
    """Show nothing."""


@pytest.fixture(autouse=True)
def _no_bias_field(monkeypatch):
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))


def bright_and_dark(volume, mask):
    return np.where(mask, np.where(volume.values > 750, 30, 7), 0).astype(np.int32)


@pytest.fixture
def scans(tmp_path) -> Path:
    """Three phantoms, each with the 25 structures and with a protocol of the user's own; a fourth without labels."""
    (tmp_path / "mine.tsv").write_text(MINE)
    mine, folder = parse_scheme("mine", MINE), tmp_path / "scans"
    for number in (1, 2, 3, 4):
        volume, labels, mask = make_phantom((40, 42, 44), np.random.default_rng(number))
        start = f"sub-0{number}"
        write_volume(folder / f"{start}_T1w.nii.gz", volume)
        write_mask(folder / f"{start}_desc-brain_mask.nii.gz", mask, volume.affine)
        if number < 4:
            write_label_map(folder / f"{start}_seg-deepnat25_dseg.nii.gz", labels)
            drawn = LabelMap(bright_and_dark(volume, mask), volume.affine, mine)
            write_label_map(folder / f"{start}_seg-mine_dseg.nii.gz", drawn)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A tiny network of two protocols with random weights, under terms that have to be inherited."""
    spec = StageSpec(
        architecture="unet", protocols={"deepnat25": 26, "tissue": 4}, filters=(6, 8, 10), n_features=8, n_hidden=12,
        n_coordinates=6,
    )  # fmt: skip
    card = ModelCard(
        name="tiny",
        description="Random weights, for tests.",
        stages={"whole": spec},
        schemes=("deepnat25", "tissue"),
        training=TrainingRecord(material="nothing at all", n_scans=0),
        licence="CC-BY-NC-3.0",
        credits=("Made by a test.",),
        scan=ScanSpec(),
        template={"tissue": TemplateSpec(n_scans=1, weight=1.0)},
        untaught={"deepnat25": (2, 41), "tissue": (1,)},
    )
    rows = np.array([[1, 2]] * 8, np.uint8)
    template = Template(np.ones((2, 2, 2), np.float32), np.ones((2, 2, 2), bool), rows, 100 * rows)
    torch.manual_seed(3)
    network = build_network(spec.network_config).eval()
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(Model(card, {"whole": network}, {n: load_scheme(n) for n in card.schemes}, template=template), folder)
    return folder


def new_protocol(scans, **changes):
    return replace(TINY, protocols=(str(scans.parent / "mine.tsv"),), **changes)


@pytest.mark.slow
def test_a_new_protocol_is_learnt_from_two_scans_better_than_by_a_head_from_chance(scans, whole, tmp_path):
    little, much = (
        finetune(scans, tmp_path / f"after{n}", str(whole), new_protocol(scans, iterations=n, **HELD), BUDGET, silent)
        for n in (1, 160)
    )
    assert much.protocols == ("mine",)
    assert (much.n_scans, len(much.scores), much.scores[0].before) == (2, 1, None)
    assert much.scores[0].after > max(0.5, little.scores[0].after + 0.15)
    losses = [
        json.loads(line)["loss"]
        for phase in ("whole-heads", "whole-all")
        for line in (work_folder(tmp_path / "after160") / phase / "log.jsonl").read_text().splitlines()
    ]
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])


HELD = {"hold_out": ("sub-03",)}


@pytest.mark.slow
def test_the_new_model_labels_a_scan_and_says_what_it_was_made_from(scans, whole, tmp_path):
    config = new_protocol(scans, credits=("Scans by a phantom.",), **HELD)
    made = finetune(scans, tmp_path / "made", str(whole), config, BUDGET, silent)
    forced = neuronat.SegmentConfig(models=(str(made.folder),), force=True)
    result = neuronat.segment(make_phantom((40, 42, 44))[0], config=forced)
    assert list(result.labels) == ["mine"]
    assert load_model(made.folder).template is None, "it was of a protocol that is gone"
    assert set(np.unique(result.labels["mine"].ids)) <= {0, 7, 30}
    card, start = load_model(made.folder).card, load_model(whole)
    assert (card.name, card.licence, card.training.n_scans, card.schemes) == ("made", "CC-BY-NC-3.0", 2, ("mine",))
    assert card.credits == ("Made from the weights of tiny (CC-BY-NC-3.0).", "Made by a test.", "Scans by a phantom.")
    assert card.training.recipe["start_from"]["sha256"] == start.sha256
    assert card.training.recipe["phases"]["whole-all"]["iterations"] == 3
    assert card.training.recipe["phases"]["whole-all"]["balanced_until"] == 0.67
    assert "sub-01, sub-02, with label maps of mine" in card.training.material
    assert "nothing at all" in card.training.material
    assert [(a.measure, a.measured_on) for a in card.accuracy] == [("mean Dice, mine", "sub-03, held out")]
    assert (made.folder / "LICENSE").read_text().endswith((whole / "LICENSE").read_text())


@pytest.mark.slow
def test_heads_alone_leave_everything_else_as_it_was(scans, whole, tmp_path):
    config = new_protocol(scans, heads_only=True)
    made = load_model(finetune(scans, tmp_path / "made", str(whole), config, BUDGET, silent).folder)
    start = load_model(whole)
    assert tuple(made.schemes) == ("deepnat25", "tissue", "mine")
    np.testing.assert_array_equal(made.template.shares, start.template.shares)
    assert made.card.template == start.card.template
    assert made.card.untaught == start.card.untaught
    kept = made.whole.state_dict()
    for name, value in start.whole.state_dict().items():
        torch.testing.assert_close(kept[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("ids", "from_scratch", "expected"),
    [((2, 3), False, (41,)), ((3,), False, (2, 41)), ((2, 41), False, ()), ((2, 41), True, 23)],
)
def test_untaught_stays_what_neither_model_nor_scans_have_shown(whole, ids, from_scratch, expected):
    model, scheme = load_model(whole), load_scheme("deepnat25")
    drawn = np.repeat(np.array([0, *ids], np.int16), 6).reshape(1, len(ids) + 1, 6)
    volume = PackedVolume(name="a", mask=drawn > 0, maps={"deepnat25": drawn})
    material = Material([volume], [], [], {"deepnat25": Protocol(scheme, scheme)})
    config = FinetuneConfig(from_scratch=from_scratch)
    found = draft_card("made", model, material, ("whole",), config).untaught.get("deepnat25", ())
    assert (len(found) if isinstance(expected, int) else found) == expected


@pytest.mark.slow
def test_known_protocols_are_found_adapted_and_compared_with_the_model_before(scans, whole, tmp_path):
    made = finetune(scans, tmp_path / "made", str(whole), replace(TINY, **HELD), BUDGET, silent)
    assert made.protocols == ("deepnat25",)
    assert [phase.name for phase in work_folder(made.folder).iterdir() if phase.name.startswith("whole")] == [
        "whole-all"
    ]
    card = load_model(made.folder).card
    assert card.training.recipe["phases"]["whole-all"]["balanced_until"] == 0.0
    assert card.untaught == {}, "white matter is what these scans show, and tissue is gone"
    measures = [accuracy.measure for accuracy in card.accuracy]
    assert measures == ["mean Dice, deepnat25", "mean Dice, deepnat25, before fine-tuning"]
    old, new = load_model(whole).whole.state_dict(), load_model(made.folder).whole.state_dict()
    assert not torch.equal(old["first.0.conv.weight"], new["first.0.conv.weight"])
    assert torch.equal(old["first.0.norm.running_mean"], new["first.0.norm.running_mean"])


@pytest.mark.slow
def test_minutes_that_are_over_leave_a_checkpoint_and_the_same_model_comes_out(scans, whole, tmp_path):
    config = new_protocol(scans)
    at_once = finetune(scans, tmp_path / "at_once", str(whole), config, BUDGET, silent)
    out, short = tmp_path / "parts", Budget(device=CPU, max_minutes=0)
    assert finetune(scans, out, str(whole), config, short, silent) is None
    assert not out.exists()
    with pytest.raises(ConfigError, match=r"parts\.training: holds a training already; add --resume"):
        finetune(scans, out, str(whole), config, BUDGET, silent)
    again = replace(BUDGET, resume=True)
    with pytest.raises(ConfigError, match=r"begun with something else \(settings seed: 1 there, 2 wanted\)"):
        finetune(scans, out, str(whole), replace(config, seed=2), again, silent)
    parts = finetune(scans, out, str(whole), config, again, silent)
    expected, found = (load_model(made.folder).whole.state_dict() for made in (at_once, parts))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.slow
def test_the_number_of_steps_is_fitted_to_the_minutes_and_stays_with_the_plan(scans, whole, tmp_path, monkeypatch):
    config = new_protocol(scans, iterations=0)
    monkeypatch.setattr("neuronat.pipeline.finetune_pupils.seconds_per_step", lambda *_: 40.0)
    made = finetune(scans, tmp_path / "made", str(whole), config, replace(BUDGET, max_minutes=90), silent)
    phases = load_model(made.folder).card.training.recipe["phases"]
    found = [phases[name]["iterations"] for name in ("whole-heads", "whole-all")]
    assert found == pytest.approx([34, 80], abs=3)  # packing takes some of the minutes
    plan = read_marker(work_folder(made.folder) / "plan.json")
    assert [plan.notes[name] for name in ("whole-heads", "whole-all")] == found
    with pytest.raises(ConfigError, match=r"minutes are left, a step of whole-heads takes 40\.0 s; give more minutes"):
        finetune(scans, tmp_path / "none", str(whole), config, replace(BUDGET, max_minutes=20), silent)


@pytest.mark.slow
def test_a_patchwise_model_learns_its_own_protocol_and_a_new_one(scans, untrained_folder, tmp_path):
    own = finetune(scans, tmp_path / "own", str(untrained_folder), replace(TINY, iterations=2), BUDGET, silent)
    model, start = load_model(own.folder), load_model(untrained_folder)
    assert list(model.networks) == ["foreground", "structures"]
    assert torch.equal(model.networks["foreground"].heads.bias, start.networks["foreground"].heads.bias)
    assert not torch.equal(model.networks["structures"].conv1.weight, start.networks["structures"].conv1.weight)
    new = finetune(scans, tmp_path / "new", str(untrained_folder), new_protocol(scans, **HELD), BUDGET, silent)
    model = load_model(new.folder)  # labels fill the masks: no first stage
    assert {stage: net.config.n_classes for stage, net in model.networks.items()} == {"structures": 3}
    assert model.card.crf == start.card.crf
    assert isinstance(model.networks["structures"], DeepNat)
    assert 0 <= new.scores[0].after <= 1


@pytest.mark.slow
def test_a_first_stage_learns_where_the_masks_hold_background(scans, untrained_folder, tmp_path):
    mine = parse_scheme("mine", MINE)
    for number in (1, 2, 3):
        volume, _, mask = make_phantom((40, 42, 44), np.random.default_rng(number))
        drawn = np.where(volume.values > 500, bright_and_dark(volume, mask), 0).astype(np.int32)
        write_label_map(scans / f"sub-0{number}_seg-mine_dseg.nii.gz", LabelMap(drawn, volume.affine, mine))
    made = finetune(scans, tmp_path / "made", str(untrained_folder), new_protocol(scans), BUDGET, silent)
    model = load_model(made.folder)
    assert {stage: net.config.n_classes for stage, net in model.networks.items()} == {"foreground": 2, "structures": 3}
    assert sorted(p.name for p in work_folder(made.folder).iterdir() if p.is_dir()) == [
        "foreground-all", "foreground-heads", "packed", "structures-all", "structures-heads"
    ]  # fmt: skip
    assert model.card.training.recipe["foreground_threshold"] == 0.02


def refused(scans, whole, tmp_path, config, error, words):
    with pytest.raises(error, match=words):
        finetune(scans, tmp_path / "made", str(whole), config, BUDGET, silent)
    assert not (tmp_path / "made").exists()
    assert not work_folder(tmp_path / "made").exists(), "an error before the first step leaves nothing behind"


def test_a_folder_without_label_maps_says_what_there_is(scans, whole, tmp_path):
    for path in scans.glob("*_seg-deepnat25_*"):
        path.unlink()
    words = r"no scan has a label map of what tiny knows \(deepnat25, tissue\); there are label maps of mine"
    refused(scans, whole, tmp_path, TINY, UnusableInputError, words)
    for path in scans.glob("*_dseg*"):
        path.unlink()
    words = r"label maps are named <stem>_seg-<protocol>_dseg, such as sub-01_seg-mine_dseg\.nii\.gz"
    refused(scans, whole, tmp_path, TINY, UnusableInputError, words)
    refused(scans, whole, tmp_path, replace(TINY, protocols=("tissue",)), UnusableInputError, "no scan has a label map")


def test_what_is_wrong_with_a_label_map_shows_before_the_first_step(scans, whole, tmp_path):
    volume, labels, mask = make_phantom((40, 42, 44))
    path, mine = scans / "sub-02_seg-mine_dseg.nii.gz", parse_scheme("mine", MINE)
    write_label_map(path, labels)
    words = r"^sub-02_seg-mine_dseg\.nii\.gz: ids .* are not in the scheme mine"
    refused(scans, whole, tmp_path, new_protocol(scans), LabelError, words)
    write_label_map(path, LabelMap(bright_and_dark(volume, mask)[1:], volume.affine, mine))
    words = r"^sub-02_seg-mine_dseg\.nii\.gz: not on the grid of sub-02_T1w\.nii\.gz"
    refused(scans, whole, tmp_path, new_protocol(scans), GridError, words)
    write_label_map(path, LabelMap(np.zeros(mask.shape, np.int32), volume.affine, mine))
    refused(scans, whole, tmp_path, new_protocol(scans), LabelError, "holds one class only in mine")


def test_what_does_not_fit_together_is_refused(scans, whole, tmp_path, untrained_folder):
    (tmp_path / "deepnat25.tsv").write_text(MINE)
    other = replace(TINY, protocols=(str(tmp_path / "deepnat25.tsv"),))
    refused(scans, whole, tmp_path, other, LabelError, "protocol deepnat25: its table has other ids than that of model")
    two = new_protocol(scans)
    two = replace(two, protocols=(*two.protocols, "deepnat25"))
    refused(scans, untrained_folder, tmp_path, two, ConfigError, "model untrained answers in one protocol; name one")
    refused(scans, "no-such-model", tmp_path, TINY, ModelError, "model 'no-such-model' is not known")
    absent = replace(TINY, hold_out=("sub-09",))
    words = "hold-out sub-09 is none of the labelled scans; these are sub-01, sub-02, sub-03"
    refused(scans, whole, tmp_path, absent, ConfigError, words)
    everyone = replace(TINY, hold_out=("sub-01", "sub-02", "sub-03"))
    refused(scans, whole, tmp_path, everyone, ConfigError, "every labelled scan is held out")
    with pytest.raises(ModelError, match="model name 'my model' must be letters"):
        finetune(scans, tmp_path / "my model", str(whole), TINY, BUDGET, silent)
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="there exists already; choose another folder"):
        finetune(scans, tmp_path / "there", str(whole), TINY, BUDGET, silent)


def test_a_model_without_coordinates_is_refused(tmp_path, whole, scans):
    start = load_model(whole)
    spec = replace(start.card.stages["whole"], n_coordinates=0)
    card = replace(start.card, stages={"whole": spec})
    save_model(replace(start, card=card, networks={"whole": build_network(spec.network_config)}), tmp_path / "raw")
    refused(scans, tmp_path / "raw", tmp_path, TINY, ModelError, "labels without brain coordinates")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iterations": -1}, "iterations must be at least 0"),
        ({"heads_only": True, "from_scratch": True}, "heads_only needs a model"),
        ({"crops": CropConfig(share_painted=0.1)}, "fine-tuning has no whole heads"),
    ],
)
def test_a_configuration_checks_itself(change, words):
    with pytest.raises(ConfigError, match=words):
        FinetuneConfig(**change)
