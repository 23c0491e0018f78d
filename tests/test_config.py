import tomllib
from pathlib import Path

import pytest

from neuronat.config import WholeRecipe, read_recipe, resolved_path
from neuronat.errors import ConfigError, MissingInputError

MINIMAL = """
name = "mine"
protocol = "deepnat25"
folder = "run"
description = "A test."
[data]
folder = "scans"
scans = "*_T1w.nii.gz"
mask_ending = "_mask.nii.gz"
label_ending = "_dseg.nii.gz"
scheme = "deepnat25"
packed = "packed"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_what_is_left_out_has_its_default(tmp_path):
    recipe = read_recipe(written(tmp_path, MINIMAL + "[structures]\niterations = 7\nrate = 1\n"))
    assert recipe.structures.iterations == 7
    assert recipe.structures.rate == 1.0
    assert recipe.foreground.iterations == 5000
    assert tuple(recipe.stages) == ("foreground", "structures")


def test_the_mark_that_notepad_writes_before_a_recipe_is_no_part_of_it(tmp_path):
    (tmp_path / "recipe.toml").write_text(MINIMAL, encoding="utf-8-sig")
    assert read_recipe(tmp_path / "recipe.toml").name == "mine"


def test_a_single_step_has_one_stage(tmp_path):
    recipe = read_recipe(written(tmp_path, MINIMAL + "[network]\nis_cascade = false\nn_tasks = 1\ncoordinates = []\n"))
    assert tuple(recipe.stages) == ("structures",)
    assert recipe.network.coordinates == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL.replace('name = "mine"\n', ""), "missing keys \\['name'\\]"),
        (MINIMAL + "learning_rate = 1\n", "\\[data\\]: unknown keys \\['learning_rate'\\]"),
        (MINIMAL + "[structures]\niterations = 0\n", "iterations must be above 0"),
        (MINIMAL + '[structures]\nrate = "fast"\n', "structures.rate must be of type float"),
        (MINIMAL + "[network]\nn_tasks = 5\n", "n_tasks must be 1, 7 or 27"),
        (MINIMAL + '[network]\ncoordinates = ["polar"]\n', "subset of"),
        (MINIMAL + "[augment]\nflip = 2.0\n", "flip must be in"),
        (MINIMAL + "[structures]\nbalanced_until = 1.5\n", r"balanced_until must be in \[0, 1\]; got 1.5"),
        (MINIMAL + "[crf]\niterations = true\n", "crf.iterations must be of type int"),
        (MINIMAL.replace('name = "mine"', "name = { a = 1 }"), "name must be of type str; got {'a': 1}"),
        (MINIMAL + 'also = { a = "b" }\n', "data.also must be of type tuple; got {'a': 'b'}"),
        (MINIMAL + "held_out = { a = 1 }\n", "data.held_out must be of type tuple"),
        (MINIMAL.replace('description = "A test."', 'description.x = "d"'), "description must be of type str"),
        (MINIMAL.replace('"packed"', '"pack\\u0000ed"'), "data.packed holds a zero byte"),
        (MINIMAL + 'also = ["a.nii", "\\u0000"]\n', "data.also holds a zero byte"),
        (MINIMAL.replace('"mine"', '"My model"'), "name 'My model' cannot be a model's"),
        (MINIMAL.replace('"mine"', '"../../x"'), "name '../../x' cannot be a model's"),
        ("name = mine", "not a TOML file"),
    ],
)
def test_a_wrong_recipe_is_refused_before_any_scan_is_read(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_recipe(written(tmp_path, text))
    assert str(caught.value).startswith("recipe.toml: ")
    assert caught.value.exit_code == 2


def test_a_missing_recipe_is_exit_66(tmp_path):
    with pytest.raises(MissingInputError, match=r"absent\.toml: not found"):
        read_recipe(tmp_path / "absent.toml")


def test_paths_are_relative_to_the_recipe_and_know_the_data_folder(tmp_path, monkeypatch):
    recipe = tmp_path / "recipes" / "a.toml"
    assert resolved_path("../runs", recipe) == tmp_path / "runs"
    monkeypatch.setenv("NEURONAT_DATA", str(tmp_path / "scans"))
    assert resolved_path("${NEURONAT_DATA}/malc", recipe) == tmp_path / "scans" / "malc"
    monkeypatch.delenv("NEURONAT_DATA")
    with pytest.raises(ConfigError, match="needs the environment variable MY_SCANS; set it"):
        resolved_path("${MY_SCANS}/malc", tmp_path / "recipe.toml")
    with pytest.raises(ConfigError, match="needs the environment variable NEURONAT_DATA"):
        resolved_path("${NEURONAT_DATA}/malc", recipe)


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[1].glob("recipes/*.toml")), ids=lambda p: p.stem)
def test_the_recipes_that_come_along_can_be_read(path):
    recipe = read_recipe(path)
    data = recipe.whole if isinstance(recipe, WholeRecipe) else recipe.data
    assert data.licence == "CC-BY-NC-3.0"


@pytest.mark.parametrize("name", ["neuronet", "neuronet-split", "neuronet-published"])
def test_the_recipes_of_whole_scan_networks_are_read(name):
    recipe = read_recipe(Path(__file__).resolve().parents[1] / "recipes" / f"{name}.toml")
    assert isinstance(recipe, WholeRecipe)
    assert recipe.name == name
    assert "neuromorphometrics" in recipe.protocols
    assert recipe.merged_from["tissue5"] == "neuromorphometrics"


def test_changes_replace_keys_and_leave_the_rest(tmp_path):
    path = written(tmp_path, MINIMAL + "[structures]\niterations = 7\nrate = 0.5\n[network]\nn_tasks = 1\n")
    later = {"structures": {"iterations": 9}, "network": {"coordinates": []}}
    recipe = read_recipe(path, {"name": "other", "structures": {"iterations": 8}}, later)
    assert (recipe.name, recipe.structures.iterations, recipe.structures.rate) == ("other", 9, 0.5)
    assert (recipe.network.n_tasks, recipe.network.coordinates) == (1, ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structures": {"speed": 1}}, "\\[structures\\]: unknown keys \\['speed'\\]"),
        ({"structures": {"iterations": 0}}, "iterations must be above 0"),
        ({"structures": {"rate": "fast"}}, "structures.rate must be of type float"),
        ({"structures": 5}, "structures must be of type TrainConfig; got 5"),
        ({"name": "My model"}, "name 'My model' cannot be a model's"),
    ],
)
def test_wrong_changes_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(written(tmp_path, MINIMAL), changes)


def test_a_network_of_whole_scans_has_a_models_name_too():
    path = Path(__file__).resolve().parents[1] / "recipes" / "neuronet-split.toml"
    with pytest.raises(ConfigError, match="name 'x/y' cannot be a model's"):
        read_recipe(path, {"name": "x/y"})


def test_arms_of_experiments_fit_their_recipes():
    for arms in ("ablations", "sharing"):
        folder = Path(__file__).resolve().parents[1] / "recipes" / "arms"
        described = tomllib.loads((folder / f"{arms}.toml").read_text(encoding="utf-8"))
        for name, changes in described["arms"].items():
            assert read_recipe(folder / described["base"], described["common"], changes), name


def test_a_table_of_names_is_replaced_as_a_whole():
    path = Path(__file__).resolve().parents[1] / "recipes" / "neuronet-split.toml"
    changes = {"protocols": ["deepnat25"], "refined": [], "merged_from": {"deepnat25": "neuromorphometrics"}}
    recipe = read_recipe(path, changes)
    assert recipe.merged_from == {"deepnat25": "neuromorphometrics"}
    assert recipe.crops == read_recipe(path).crops
