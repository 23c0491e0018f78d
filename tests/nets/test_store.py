import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from neuronat.errors import ModelError, OutputError
from neuronat.measure.confidence import Calibration
from neuronat.nets import store
from neuronat.nets.card import read_card
from neuronat.nets.store import Model, find_model, load_model, read_model_card, save_model, verify_model


@pytest.fixture
def folder(untrained_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untrained_folder, tmp_path / "copy"))


def sign_again(folder: Path) -> None:
    """Write SHA256SUMS anew, as somebody who forges a model would."""
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def change_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))
    sign_again(folder)


def change_tensors(folder: Path, change: object) -> None:
    tensors = safetensors.torch.load_file(folder / "weights.safetensors")
    change(tensors)  # type: ignore[operator]
    safetensors.torch.save_file(tensors, folder / "weights.safetensors")
    sign_again(folder)


def test_a_saved_model_comes_back_rounded_to_half_precision_only(folder: Path, untrained_model: Model):
    loaded = load_model(folder)
    for stage in ("foreground", "structures"):
        original, found = untrained_model.networks[stage].state_dict(), loaded.networks[stage].state_dict()
        assert list(found) == list(original)
        for name, value in original.items():
            expected = value.half().float() if value.dtype == torch.float32 and "running" not in name else value
            np.testing.assert_array_equal(found[name].numpy(), expected.numpy())
        assert not loaded.networks[stage].training
    assert loaded.card == untrained_model.card
    assert loaded.schemes["deepnat25"].ids == untrained_model.schemes["deepnat25"].ids
    assert loaded.sha256 == hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()


def test_full_precision_comes_back_exactly(untrained_model: Model, tmp_path: Path):
    save_model(untrained_model, tmp_path / "full", half=False)
    loaded = load_model(tmp_path / "full")
    for name, value in untrained_model.networks["structures"].state_dict().items():
        np.testing.assert_array_equal(loaded.networks["structures"].state_dict()[name].numpy(), value.numpy())


def test_what_probabilities_are_worth_stays_on_the_card(untrained_model: Model, tmp_path: Path):
    known = {"deepnat25": Calibration(offset=-0.5, expected=0.75, size=0.0, usual={"17": 0.875})}
    save_model(replace(untrained_model, card=replace(untrained_model.card, confidence=known)), tmp_path / "m")
    assert load_model(tmp_path / "m").card.confidence == known


@pytest.mark.parametrize(
    ("protocol", "expected", "reason"),
    [("deepnat25", -1.0, "needs finite numbers"), ("tissue", 1.0, "known for ['tissue'], which is no protocol")],
)
def test_confidence_that_no_card_may_have_is_refused(folder: Path, protocol: str, expected: float, reason: str):
    card = json.loads((folder / "card.json").read_text())
    card["confidence"] = {protocol: {"offset": 0.0, "expected": expected, "size": 0.0}}
    with pytest.raises(ModelError, match=re.escape(reason)):
        read_card(json.dumps(card))


def test_what_was_not_taught_stays_on_the_card_and_is_of_one_of_its_protocols(folder: Path):
    card = json.loads((folder / "card.json").read_text()) | {"untaught": {"deepnat25": [17, 53]}}
    assert read_card(json.dumps(card)).untaught == {"deepnat25": (17, 53)}
    with pytest.raises(ModelError, match=re.escape("were not taught of ['tissue'], which is no protocol")):
        read_card(json.dumps(card | {"untaught": {"tissue": [1]}}))


def test_loading_draws_no_random_number(folder: Path):
    before = torch.random.get_rng_state().numpy()
    load_model(folder)
    np.testing.assert_array_equal(torch.random.get_rng_state().numpy(), before)


def test_two_half_precision_networks_need_less_than_eleven_mebibytes(folder: Path):
    assert 10e6 < (folder / "weights.safetensors").stat().st_size < 11 * 2**20


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors", "LICENSE", "labels/deepnat25.tsv"])
def test_one_flipped_bit_is_noticed_in_every_file(folder: Path, name: str):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 4
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{Path(name).name} is damaged, its sha256 differs; import"):
        verify_model(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "LICENSE", "labels/deepnat25.tsv", "SHA256SUMS"])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"{Path(name).name} is missing from the model"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "has format 2, this neuronat reads 1; install a newer"),
        ({"format": None}, "no format number"),
        (
            {"stages": {"structures": {"architecture": "os.system", "n_classes": 26}}},
            "'os.system' is not known",
        ),
        ({"stages": {"structures": {"n_classes": 10**9}}}, "n_classes must be at most 1024"),
        ({"stages": {"structures": {"n_classes": 26, "n_tasks": 5}}}, "n_tasks must be 1, 7 or 27"),
        ({"stages": {"structures": {"n_classes": "26"}}}, "n_classes must be of type int; got str"),
        ({"stages": {"second": {"n_classes": 26}}}, "stages must be foreground and structures"),
        ({"surprise": 1}, r"unknown keys \['surprise'\]"),
        ({"schemes": ["../../etc"]}, "must name one label scheme"),
        ({"schemes": ["freesurfer"]}, "label table of freesurfer is missing"),
        ({"scan": {"spacing_mm": 2.0}}, "expects T1w scans of 2 mm"),
        ({"crf": {"iterations": -1}}, "crf.iterations must be a finite number, at least 0"),
        ({"name": "../up"}, "model name '../up' must be letters"),
        ({"stages": {"structures": {"n_classes": 26}}}, "tensors too many, first 'foreground"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_with_the_reason(folder: Path, changes: dict, reason: str):
    change_card(folder, **changes)
    with pytest.raises(ModelError, match=reason):
        load_model(folder)


def test_keys_that_stand_twice_and_not_a_number_are_refused(folder: Path):
    text = (folder / "card.json").read_text()
    for forged, reason in (
        ('{"name": "other",' + text[1:], "stands there twice"),
        (text.replace("0.25", "NaN"), "NaN"),
    ):
        (folder / "card.json").write_text(forged)
        sign_again(folder)
        with pytest.raises(ModelError, match=f"card.json is damaged: .*{reason}"):
            load_model(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda t: t.pop("structures.conv1.bias"),
            "lacks 1 tensors of the architecture, first structures.conv1.bias",
        ),
        (lambda t: t.update(extra=torch.zeros(2)), "holds 1 tensors too many, first 'extra'"),
        (
            lambda t: t.update({"foreground.conv1.bias": torch.zeros(31)}),
            r"has shape \[31\]; .* asks for \[32\]",
        ),
        (
            lambda t: t.update({"foreground.conv1.bias": torch.zeros(32).double()}),
            "is of type F64; expected F16",
        ),
        (
            lambda t: t["foreground.conv1.bias"].fill_(torch.nan),
            "foreground.conv1.bias holds values that are not",
        ),
        (lambda t: t["foreground.norm2.running_var"].fill_(-1), "running_var holds a negative variance"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_reason(folder: Path, change: object, reason: str):
    change_tensors(folder, change)
    with pytest.raises(ModelError, match=reason):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the header claims 0 bytes"),
        ((10**12).to_bytes(8, "little") + b"{}", "the header claims 1000000000000 bytes"),
        ((2).to_bytes(8, "little") + b"[]", "damaged"),
        (b"\x80\x02cos\nsystem\n", "the header claims"),
    ],
)
def test_other_bytes_than_safetensors_are_refused(folder: Path, content: bytes, reason: str):
    (folder / "weights.safetensors").write_bytes(content)
    sign_again(folder)
    with pytest.raises(ModelError, match=reason):
        load_model(folder)


def test_weights_cut_short_are_refused_even_when_signed(folder: Path):
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[:-4])
    sign_again(folder)
    with pytest.raises(ModelError, match="bytes of values; its tensors need"):
        load_model(folder)


def test_sums_may_not_lead_out_of_the_folder(folder: Path):
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../outside\n")
    with pytest.raises(ModelError, match=r"lists '../outside', which is no file of a model"):
        load_model(folder)


def test_nothing_is_left_when_a_model_cannot_be_saved(untrained_model: Model, tmp_path: Path):
    network = untrained_model.networks["structures"]
    broken = torch.nn.Parameter(torch.full_like(network.conv1.bias, torch.inf))
    kept, network.conv1.bias = network.conv1.bias, broken
    try:
        with pytest.raises(ModelError, match=r"structures\.conv1\.bias holds values that are not finite"):
            save_model(untrained_model, tmp_path / "new")
    finally:
        network.conv1.bias = kept
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept_unless_it_is_a_model_to_overwrite(
    folder: Path, untrained_model: Model, tmp_path: Path
):
    with pytest.raises(OutputError, match="copy exists already"):
        save_model(untrained_model, folder)
    (tmp_path / "precious").mkdir()
    with pytest.raises(OutputError, match="precious exists already"):
        save_model(untrained_model, tmp_path / "precious", overwrite=True)
    renamed = replace(untrained_model, card=replace(untrained_model.card, description="Another."))
    save_model(renamed, folder, overwrite=True)
    assert read_model_card(folder).description == "Another."
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "precious"]


def test_unknown_models_and_other_folders_are_named(tmp_path: Path):
    with pytest.raises(ModelError, match=r"model 'nosuch' is not known"):
        find_model("nosuch")
    with pytest.raises(ModelError, match=r"holds no card\.json"):
        find_model(str(tmp_path))


def test_a_model_says_where_its_parts_disagree(untrained_model: Model):
    with pytest.raises(ModelError, match="card names the stages"):
        replace(untrained_model, networks={"structures": untrained_model.networks["structures"]})
    swapped = dict(zip(("foreground", "structures"), reversed(untrained_model.networks.values()), strict=True))
    with pytest.raises(ModelError, match="stage foreground: the network is not the one"):
        replace(untrained_model, networks=swapped)


def test_shipped_models_load(subtests: pytest.Subtests):
    for name in store.shipped_models():
        with subtests.test(name):
            assert len(verify_model(name)) == 64
