"""A network of several protocols, from files on disk to a stored model that labels a scan."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronat.config import read_recipe
from neuronat.errors import ConfigError, UnusableInputError, UsageError
from neuronat.labels.scheme import load_scheme
from neuronat.nets.network import build_network
from neuronat.nets.store import load_model
from neuronat.nets.unet import UNetConfig
from neuronat.phantom import make_phantom
from neuronat.pipeline.budget import Budget
from neuronat.pipeline.networks import chosen_protocols
from neuronat.pipeline.settings import SegmentConfig
from neuronat.pipeline.training import train_recipe
from neuronat.pipeline.whole_material import packed_volumes
from neuronat.pipeline.whole_training import _start, make_source, make_whole_exercise
from neuronat.space.files import write_label_map, write_mask, write_volume
from neuronat.space.volume import LabelMap
from neuronat.train.crops import draw_crop
from neuronat.train.volumes import read_volume_file

BUDGET = Budget(device=torch.device("cpu"), max_minutes=60)
RECIPE = """
name = "tiny"
protocols = ["deepnat25", "tissue"]
folder = "run"
description = "Three steps on phantoms."
[whole]
folder = "scans"
scans = "*_T1w.nii.gz"
mask_ending = "_desc-brain_mask.nii.gz"
packed = "packed"
folds = "folds.tsv"
held_out = [1]
licence = "CC0-1.0"
[network]
architecture = "ARCHITECTURE"
has_coordinates = COORDINATES
filters = [4, 6, 8]
n_features = 5
n_hidden = 8
[training]
iterations = 3
n_blocks = 1
optimizer = "adam"
averaging = 0.5
[crops]
extent = 32
n_inside = 300
n_anywhere = 50
share_composite = 0.0
share_painted = 0.0
[loss]
dice = 0.5
[loss.weights]
tissue = 0.5
"""


def silent(_step, _done):
    """Show nothing."""


@pytest.fixture
def folder(tmp_path):
    """Two phantoms; only the first has tissues."""
    for number in (1, 2):
        volume, labels, mask = make_phantom((40, 42, 44), np.random.default_rng(number))
        start = f"sub-0{number}"
        scans = tmp_path / "scans"
        write_volume(scans / f"{start}_T1w.nii.gz", volume)
        write_label_map(scans / f"{start}_seg-deepnat25_dseg.nii.gz", labels)
        write_mask(scans / f"{start}_desc-brain_mask.nii.gz", mask, volume.affine)
    tissue = np.select([volume.values > 90, volume.values > 60, mask], [3, 2, 1], 0).astype(np.int32)
    path = scans / "sub-02_seg-tissue_dseg.nii.gz"
    write_label_map(path, LabelMap(tissue, volume.affine, load_scheme("tissue")))
    (tmp_path / "folds.tsv").write_text("scan\tfold\nsub-01\t1\nsub-02\t0\n")
    return tmp_path


def write_recipe(folder, architecture="unet", coordinates="true", **changes):
    text = RECIPE.replace("ARCHITECTURE", architecture).replace("COORDINATES", coordinates)
    for old, new in changes.items():
        text = text.replace(*new) if isinstance(new, tuple) else text.replace(old, new)
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "coordinates"), [("unet", "true"), ("unet", "false"), ("neuronet", "false")])
def test_a_recipe_becomes_a_model_of_several_protocols(folder, architecture, coordinates):
    trained = train_recipe(write_recipe(folder, architecture, coordinates), BUDGET, silent)
    model = load_model(trained)
    assert tuple(model.schemes) == ("deepnat25", "tissue")
    assert model.whole is not None
    assert model.card.untaught == {"tissue": (1, 2)}, "every voxel of its one map is brighter than 90"
    assert [(a.measure, a.measured_on) for a in model.card.accuracy] == [("mean Dice, deepnat25", "sub-01, held out")]
    assert (folder / "run" / "validation-deepnat25.tsv").read_text().startswith("scan\tindex\tname\tdice\nsub-01\t2\t")
    assert chosen_protocols([model], SegmentConfig(models=("tiny",))) == {"deepnat25": model, "tissue": model}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recipe_becomes_a_model_on_an_accelerator(folder):
    path = write_recipe(folder, balanced=("n_anywhere = 50", "n_anywhere = 50\nn_balanced = 20"))
    trained = train_recipe(path, Budget(device=torch.device("cuda"), max_minutes=60), silent)
    assert load_model(trained).whole is not None


@pytest.mark.slow
def test_a_brain_mask_is_taught_by_masks_and_painted_heads(folder):
    i, j, k = np.indices((44, 46, 48), np.float32)
    radius = np.sqrt(((i - 22) / 20) ** 2 + ((j - 23) / 21) ** 2 + ((k - 24) / 22) ** 2)
    head = np.select([radius < 0.7, radius < 0.8, radius < 1], [2, 24, 511], 0).astype(np.int32)
    write_label_map(folder / "heads" / "h1_dseg.nii.gz", LabelMap(head, np.eye(4), load_scheme("wholehead")))
    crops = "extent = 32\nstep_vox = 2.0\nbrightness = 0.2\nshare_composite = 0.5\n"
    changes = {
        "protocols": ('["deepnat25", "tissue"]', '["brain"]'),
        "heads": ('packed = "packed"', 'packed = "packed"\nheads = "heads/*_dseg.nii.gz"'),
        "crops": ("extent = 32\n", crops),
        "share": ("share_composite = 0.0\n", ""),
    }
    trained = train_recipe(write_recipe(folder, coordinates="false", **changes), BUDGET, silent)
    model = load_model(trained)
    assert model.card.stages["whole"].step_vox == 2
    assert [(a.measure, a.measured_on) for a in model.card.accuracy] == [("mean Dice, brain", "sub-01, held out")]
    assert 0 <= model.card.accuracy[0].value <= 1
    assert set(read_volume_file(folder / "packed" / "sub-02.npz").maps) == {"tissue", "brain"}


def test_a_scan_is_drawn_as_often_as_all_its_copies(folder):
    for path in sorted((folder / "scans").iterdir()):
        subject, rest = path.name.split("_", 1)
        for kind in ("mild", "strong"):
            copy = folder / "aged" / f"{subject}_acq-{kind}_{rest}"
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    also = ('packed = "packed"', 'packed = "packed"\nalso = ["aged/*_T1w.nii.gz"]')
    path = write_recipe(folder, also=also)
    material = packed_volumes(read_recipe(path), path, silent)
    named = [volume.name for volume in material.training]
    assert sorted(named) == ["sub-02", "sub-02", "sub-02_acq-mild", "sub-02_acq-strong"]
    assert [volume.name for volume in material.held_out] == ["sub-01"]
    source = make_source(material, torch.device("cpu"))
    assert len({id(scan) for scan in source.scans}) == 3
    twice = write_recipe(
        folder, also=(also[0], also[1].replace("aged/*", "scans/*")), packed=('packed = "packed"', 'packed = "anew"')
    )
    with pytest.raises(ConfigError, match=r"whole\.also names sub-01, sub-02 once more"):
        packed_volumes(read_recipe(twice), twice, silent)


def test_scans_that_teach_none_of_the_protocols_are_left_out(folder):
    for path in sorted((folder / "scans").glob("sub-02*")):
        if "tissue" not in path.name:  # as altered copies, which tools have not labelled
            copy = folder / "aged" / path.name.replace("sub-02", "sub-02_acq-mild")
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    also = ('packed = "packed"', 'packed = "packed"\nalso = ["aged/*_T1w.nii.gz"]')
    path = write_recipe(folder, also=also)
    assert len(packed_volumes(read_recipe(path), path, silent).training) == 2
    one = write_recipe(folder, also=also, protocols=('["deepnat25", "tissue"]', '["tissue"]'))
    material = packed_volumes(read_recipe(one), one, silent)
    assert [volume.name for volume in material.training] == ["sub-02"]
    assert not material.held_out
    other = write_recipe(folder, also=also, protocols=('["deepnat25", "tissue"]', '["hmrf"]'))
    with pytest.raises(ConfigError, match="no packed scan has a label map of hmrf; remove the folder to pack anew"):
        packed_volumes(read_recipe(other), other, silent)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("sub-01\t1\n", r"folds\.tsv: no fold for sub-02"),
        ("sub-01\t1\nsub-02\t1\n", r"tiny\.toml: every scan is held out"),
        ("sub-01\tx\n", r"folds\.tsv: needs the columns scan and fold"),
    ],
)
def test_a_table_of_folds_that_does_not_fit_is_refused_before_any_scan_is_packed(folder, rows: str, message: str):
    (folder / "folds.tsv").write_text(f"scan\tfold\n{rows}")
    with pytest.raises(ConfigError, match=message):
        train_recipe(write_recipe(folder), BUDGET, silent)
    assert not (folder / "packed").exists()


@pytest.mark.slow
def test_a_training_out_of_minutes_goes_on(folder):
    path = write_recipe(folder)
    assert train_recipe(path, Budget(device=torch.device("cpu"), max_minutes=0), silent) is None
    with pytest.raises(ConfigError, match="run: holds a training already; add --resume"):
        train_recipe(path, BUDGET, silent)
    assert train_recipe(path, Budget(device=torch.device("cpu"), max_minutes=9, resume=True), silent) is not None
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["iteration"] == 3
    assert len(lines[-1]["accuracy_per_task"]) == 2


def test_what_nothing_teaches_is_named_before_the_first_step(folder):
    path = write_recipe(folder, protocols=('["deepnat25", "tissue"]', '["deepnat25", "hmrf"]'))
    with pytest.raises(UnusableInputError, match="no scan has a label map of hmrf"):
        train_recipe(path, BUDGET, silent)
    assert not (folder / "packed" / "scans.tsv").exists()


def test_heads_that_cannot_be_looked_for_are_a_usage_error(folder):
    path = write_recipe(folder)
    recipe = read_recipe(path, {"whole": {"heads": "/"}})
    with pytest.raises(UsageError, match="'': is no pattern of names in a folder"):
        packed_volumes(recipe, path, silent)


def test_a_network_of_other_protocols_gives_what_it_has(folder):
    first = train_recipe(write_recipe(folder, protocols=('["deepnat25", "tissue"]', '["deepnat25"]')), BUDGET, silent)
    path = write_recipe(folder, network=("[network]", f'[network]\nstart_from = "{first}"'))
    recipe = read_recipe(path)
    net = _start(recipe, path, packed_volumes(recipe, path, silent))
    given = load_model(first).whole.state_dict()
    assert set(net.config.protocols) == {"deepnat25", "tissue"}
    assert all(torch.equal(net.state_dict()[name], value) for name, value in given.items())
    start = ("[network]", f'[network]\nstart_from = "{first}"')
    wider = write_recipe(folder, network=start, n_hidden=("n_hidden = 8", "n_hidden = 16"))
    assert _start(read_recipe(wider), wider, packed_volumes(recipe, path, silent)).config.n_hidden == 16
    narrower = write_recipe(folder, network=start, n_hidden=("n_hidden = 8", "n_hidden = 4"))
    with pytest.raises(ConfigError, match=r"tiny\.toml: start_from: .* may only grow"):
        _start(read_recipe(narrower), narrower, packed_volumes(recipe, path, silent))


def test_a_coarse_network_finds_brains_and_labels_nothing(make_whole):
    model = make_whole("brain", "tissue")
    stage = replace(model.card.stages["whole"], step_vox=2)
    coarse = replace(model, card=replace(model.card, stages={"whole": stage}))
    assert list(chosen_protocols([model], SegmentConfig(models=("tiny",)))) == ["tissue"]
    with pytest.raises(UsageError, match="protocol tissue is not known"):
        chosen_protocols([coarse], SegmentConfig(models=("tiny",), protocols=("tissue",)))
    with pytest.raises(UsageError, match="find brains and label nothing"):
        chosen_protocols([coarse], SegmentConfig(models=("tiny",)))


def test_a_recipe_says_in_which_precision_a_network_computes(folder):
    path = write_recipe(folder)
    losses = {}
    for precision in ("float32", "bfloat16"):
        recipe = read_recipe(path, {"training": {"precision": precision}})
        material = packed_volumes(recipe, path, silent)
        torch.manual_seed(0)
        net = build_network(UNetConfig(protocols={"deepnat25": 26, "tissue": 4}, n_coordinates=6, filters=(4, 6, 8)))
        source = make_source(material, BUDGET.device)
        exercise = make_whole_exercise(net, source, recipe.crops, recipe.loss, recipe.training)
        losses[precision] = float(exercise.score(exercise.draw(torch.Generator().manual_seed(1), 0.0))[0].detach())
    assert losses["float32"] != losses["bfloat16"]
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=2e-2)  # 8 bits of mantissa


def test_late_in_a_training_no_class_is_drawn_more_often_than_it_is(folder):
    path = write_recipe(folder)
    shape = {"n_inside": 10, "n_anywhere": 0, "n_balanced": 2000, "share_painted": 0.0}
    recipe = read_recipe(path, {"crops": shape, "training": {"balanced_until": 0.5}})
    source = make_source(packed_volumes(recipe, path, silent), BUDGET.device)
    net = build_network(UNetConfig(protocols={"deepnat25": 26, "tissue": 4}, n_coordinates=6, filters=(4, 6, 8)))
    exercise = make_whole_exercise(net, source, recipe.crops, recipe.loss, recipe.training)
    ((early,), (late,)) = (exercise.draw(torch.Generator().manual_seed(1), done) for done in (0.4, 0.5))
    plain = draw_crop(source, replace(recipe.crops, n_inside=2010, n_balanced=0), torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(late.voxels, plain.voxels)
    assert len(early.voxels) == len(late.voxels)
    assert not torch.equal(early.voxels, late.voxels)


def test_structures_of_a_protocol_that_nobody_knows_cannot_vary(folder):
    path = write_recipe(folder, crops=("[crops]", '[crops]\nstructures = "spleen"'))
    with pytest.raises(ConfigError, match=r"crops\.structures names spleen, which is no protocol"):
        train_recipe(path, BUDGET, silent)
    assert not (folder / "packed").exists()


def test_a_published_network_takes_no_coordinates(folder):
    with pytest.raises(ConfigError, match="the published neuronet takes no coordinates"):
        train_recipe(write_recipe(folder, "neuronet", "true"), BUDGET, silent)


def test_an_unknown_protocol_of_a_model_is_a_usage_error():
    with pytest.raises(UsageError, match="protocol spleen is not known; the models offer"):
        chosen_protocols([], SegmentConfig(models=("tiny",), protocols=("spleen",)))
