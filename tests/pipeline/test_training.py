"""A training from files on disk to a stored model, on phantoms."""

import csv
import json

import numpy as np
import pytest
import torch

from neuronat.config import read_recipe
from neuronat.errors import ConfigError, GridError, LabelError, MissingInputError
from neuronat.nets.deepnat import DeepNat, DeepNatConfig
from neuronat.nets.store import load_model
from neuronat.phantom import make_phantom
from neuronat.pipeline.budget import Budget
from neuronat.pipeline.material import held_out_names, packed_scans
from neuronat.pipeline.training import move_threshold, train_recipe
from neuronat.report.curves import parse_log
from neuronat.space.files import write_label_map, write_volume
from neuronat.space.volume import LabelMap, Volume

BUDGET = Budget(device=torch.device("cpu"), max_minutes=60)
RECIPE = """
name = "tiny"
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
licence = "CC0-1.0"
[network]
n_tasks = 1
[foreground]
iterations = 2
n_blocks = 2
n_centres = 2
[structures]
iterations = 2
n_blocks = 2
n_centres = 2
"""


def silent(_step, _done):
    """Show nothing."""


@pytest.fixture
def recipe(labelled_phantoms):
    path = labelled_phantoms / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.mark.slow
def test_a_recipe_becomes_a_model_with_a_card_that_says_how(recipe):
    folder = train_recipe(recipe, BUDGET, silent)
    model = load_model(folder)
    assert tuple(model.networks) == ("foreground", "structures")
    assert model.card.training.n_scans == 1
    assert model.card.licence == "CC0-1.0"
    assert model.card.untaught == {}
    assert [a.measured_on for a in model.card.accuracy] == ["sub-02, held out"]
    run = recipe.parent / "run"
    with (run / "validation.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["scan"] for row in rows} == {"sub-02"}
    assert len(rows) == 25
    line = json.loads((run / "structures" / "log.jsonl").read_text().splitlines()[-1])
    assert line["iteration"] == 2
    with pytest.raises(ConfigError, match="holds a training already"):
        train_recipe(recipe, BUDGET, silent)


@pytest.mark.slow
def test_held_out_scans_are_validated_on_the_way_as_at_the_end(recipe):
    recipe.write_text("validate_every = 2\n" + RECIPE.replace("n_tasks = 1", "n_tasks = 1\nforeground_threshold = 0.3"))
    model = load_model(train_recipe(recipe, BUDGET, silent))
    run = recipe.parent / "run"
    for stage in ("foreground", "structures"):
        log = (run / stage / "log.jsonl").read_text()
        curve = parse_log(log).validation["sub-02"]
        np.testing.assert_array_equal(curve[:, 0], [2])
        assert ((curve[:, 1] >= 0) & (curve[:, 1] <= 1)).all()
    # the last line is the finished cascade's, moved threshold included, which the card names too
    assert curve[-1, 1] == model.card.accuracy[0].value


def test_validation_on_the_way_needs_scans_that_are_held_out(recipe):
    recipe.write_text("validate_every = 1\n" + RECIPE.replace("held_out = [1]", ""))
    with pytest.raises(ConfigError, match=r"tiny\.toml: validate_every needs scans to validate on"):
        train_recipe(recipe, BUDGET, silent)
    recipe.write_text("validate_every = -1\n" + RECIPE)
    with pytest.raises(ConfigError, match="validate_every must be at least 0; got -1"):
        train_recipe(recipe, BUDGET, silent)


@pytest.mark.slow
def test_minutes_that_are_over_leave_a_checkpoint_to_resume_from(recipe):
    assert train_recipe(recipe, Budget(device=torch.device("cpu"), max_minutes=0), silent) is None
    assert list((recipe.parent / "run" / "foreground").glob("checkpoint-*.pt"))
    resumed = Budget(device=torch.device("cpu"), max_minutes=60, resume=True)
    assert train_recipe(recipe, resumed, silent) is not None


def test_a_scan_without_label_map_is_named(recipe):
    (recipe.parent / "scans" / "sub-02_dseg.nii.gz").unlink()
    with pytest.raises(MissingInputError, match=r"sub-02_T1w\.nii\.gz: sub-02_dseg\.nii\.gz not found"):
        train_recipe(recipe, BUDGET, silent)


def test_row_43_a_label_map_on_another_grid_is_named(recipe):
    _, labels, _ = make_phantom((40, 42, 44))
    moved = LabelMap(labels.ids[1:], labels.affine, labels.scheme)
    write_label_map(recipe.parent / "scans" / "sub-01_dseg.nii.gz", moved)
    with pytest.raises(GridError, match=r"sub-01_dseg\.nii\.gz: not on the grid of sub-01_T1w\.nii\.gz"):
        train_recipe(recipe, BUDGET, silent)


def test_row_44_unknown_ids_are_listed_with_their_counts(recipe):
    volume, labels, _ = make_phantom((40, 42, 44))
    ids = labels.ids.copy()
    ids[20, 20, 20:23] = 999
    write_volume(recipe.parent / "scans" / "sub-01_dseg.nii.gz", Volume(ids.astype(np.float32), volume.affine))
    with pytest.raises(LabelError, match=r"sub-01_dseg\.nii\.gz: ids 999 \(3 voxels\) are not in the scheme"):
        train_recipe(recipe, BUDGET, silent)


def test_row_42_an_image_is_no_label_map_to_train_on(recipe):
    volume, _, _ = make_phantom((40, 42, 44))
    write_volume(recipe.parent / "scans" / "sub-01_dseg.nii.gz", volume)
    with pytest.raises(LabelError, match=r"sub-01_dseg\.nii\.gz: \d+ of 73920 voxels hold no whole number"):
        train_recipe(recipe, BUDGET, silent)


def test_no_scans_are_named_with_the_pattern(recipe):
    recipe.write_text(RECIPE.replace("*_T1w", "*_PDw"))
    with pytest.raises(MissingInputError, match=r"scans: no scans match \*_PDw\.nii\.gz"):
        train_recipe(recipe, BUDGET, silent)


def test_a_scan_without_fold_is_named_before_any_is_packed(recipe):
    (recipe.parent / "folds.tsv").write_text("scan\tfold\nsub-01\t0\n")
    with pytest.raises(ConfigError, match=r"folds\.tsv: no fold for sub-02"):
        train_recipe(recipe, BUDGET, silent)
    assert not (recipe.parent / "packed").exists()


def test_the_mark_that_excel_writes_before_a_table_of_folds_is_no_part_of_it(tmp_path):
    (tmp_path / "folds.tsv").write_text("scan\tfold\nsub-01\t0\nsub-02\t1\n", encoding="utf-8-sig")
    assert held_out_names("folds.tsv", (1,), tmp_path / "tiny.toml", ["sub-01", "sub-02"]) == {"sub-02"}


@pytest.mark.parametrize(
    "content",
    [
        b"name\tfold\nsub-01\t0\n",
        b"scan\nsub-01\n",
        b"scan\tfold\nsub-01\tx\n",
        b"scan\tfold\nsub-01\n",
        b"scan\tfold\nM\xfcller\t0\n",
        b"scan\tfold\n" + 140000 * b"y" + b"\t0\n",
    ],
)
def test_a_table_that_holds_no_folds_is_refused(tmp_path, content):
    (tmp_path / "folds.tsv").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^folds\.tsv: needs the columns scan and fold"):
        held_out_names("folds.tsv", (1,), tmp_path / "tiny.toml", ["sub-01"])


def test_everything_held_out_leaves_nothing_to_train_on(recipe):
    recipe.write_text(RECIPE.replace("held_out = [1]", "held_out = [0, 1]"))
    with pytest.raises(ConfigError, match=r"tiny\.toml: every scan is held out"):
        train_recipe(recipe, BUDGET, silent)
    assert not (recipe.parent / "packed").exists()


def test_a_moved_threshold_is_where_the_probability_becomes_one_half():
    torch.manual_seed(0)
    net = DeepNat(DeepNatConfig(n_classes=2, n_tasks=7, coordinates=())).eval()
    features, none = torch.randn(50, 1728) * 3, torch.zeros(50, 0)
    with torch.no_grad():
        before = net.classify(features, none).softmax(2)[..., 1]
        move_threshold(net, 0.2)
        after = net.classify(features, none).softmax(2)[..., 1]
        move_threshold(net, 0.8)
        back = net.classify(features, none).softmax(2)[..., 1]
    np.testing.assert_array_equal(after > 0.5, before > 0.2)
    assert 0 < int((before > 0.5).sum()) < int((after > 0.5).sum())
    np.testing.assert_allclose(back, before, atol=1e-6)  # float32 rounding of the biases


@pytest.fixture
def with_copies(recipe):
    """Copies of both scans in another folder, as altered ones would be."""
    for path in sorted((recipe.parent / "scans").iterdir()):
        subject, rest = path.name.split("_", 1)
        copy = recipe.parent / "aged" / f"{subject}_acq-aged_{rest}"
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    recipe.write_text(RECIPE.replace('packed = "packed"', 'packed = "packed"\nalso = ["aged/*_T1w.nii.gz"]'))
    return recipe


def test_copies_are_trained_on_unless_their_scan_is_held_out(with_copies):
    training, held_out = packed_scans(read_recipe(with_copies), with_copies, silent)
    assert [scan.name for scan in training] == ["sub-01", "sub-01_acq-aged"]
    assert [scan.name for scan in held_out] == ["sub-02"]


def test_a_copy_of_the_same_name_is_refused(with_copies):
    with_copies.write_text(with_copies.read_text().replace("aged/*", "scans/*"))
    with pytest.raises(ConfigError, match=r"data\.also names sub-01, sub-02 once more"):
        packed_scans(read_recipe(with_copies), with_copies, silent)
