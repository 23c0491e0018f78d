import json
import shutil
from pathlib import Path

from neuronat.nets.folder import shipped_models


def test_a_model_goes_out_and_in_again_and_is_found_by_its_name(run, untrained_folder: Path, tmp_path: Path):
    done = run("models", "export", untrained_folder, "-o", tmp_path / "x.zip")
    assert (done.exit_code, done.stderr) == (0, "")
    done = run("models", "import", tmp_path / "x.zip")
    assert (done.exit_code, done.stdout) == (0, "untrained: imported; use it with --model untrained\n")
    rows = {row["name"]: row for row in json.loads(run("models", "list", "--json").stdout)}
    assert rows["untrained"]["origin"] == "imported"
    assert rows["untrained"]["licence"] == "CC0-1.0"
    assert set(rows) == {"untrained", *shipped_models()}
    assert run("models", "verify", "untrained").stdout.startswith("untrained: whole, sha256 ")


def test_info_shows_licence_credit_and_where_accuracy_was_measured(run, untrained_folder: Path):
    shown = run("models", "info", untrained_folder).stdout
    for part in ("CC0-1.0", "Made by a test.", "mean dice 0.25 on nothing", "deepnat25", "not for diagnosis"):
        assert part in shown
    card = json.loads(run("models", "info", untrained_folder, "--json").stdout)
    assert card == json.loads((untrained_folder / "card.json").read_text())
    assert "not taught   neuromorphometrics: 65, 66, 126, 127\n" in run("models", "info", "neuronet").stdout


def test_a_damaged_model_gets_69_and_is_listed_as_damaged(run, untrained_folder: Path, home: Path):
    folder = home / ".local" / "share" / "neuronat" / "models" / "broken"
    shutil.copytree(untrained_folder, folder)
    (folder / "weights.safetensors").write_bytes(b"short")
    done = run("models", "verify", "broken")
    expected = "neuronat: model broken: weights.safetensors is damaged, its sha256 differs; import the model again\n"
    assert (done.exit_code, done.stderr) == (69, expected)
    done = run("models", "list")
    assert done.exit_code == 0
    assert "broken\timported\tn/a\tdamaged: model broken" in done.stdout


def test_a_missing_archive_gets_66(run, tmp_path: Path):
    done = run("models", "import", tmp_path / "none.zip")
    assert (done.exit_code, done.stderr.count("\n")) == (66, 1)
    assert done.stderr.startswith("neuronat: none.zip: not found")
