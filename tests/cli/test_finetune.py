from pathlib import Path

import pytest

from neuronat.pipeline.finetune import Finetuned
from neuronat.pipeline.finetune_scores import Score


@pytest.fixture
def asked(monkeypatch):
    """Stand in for the training; keep what it was asked for."""
    calls = []

    def finetune(place, out, name, config, budget, _progress):
        calls.append((place, out, name, config, budget))
        if budget.max_minutes == 0:
            return None
        scores = (Score(protocol="mine", after=0.8125), Score(protocol="hmrf", after=0.75, before=0.5))
        return Finetuned(folder=out, protocols=("mine", "hmrf"), n_scans=3, seconds=90, scores=scores)

    monkeypatch.setattr("neuronat.pipeline.finetune.finetune", finetune)
    return calls


def test_finetune_says_what_came_out(run, asked, tmp_path: Path):
    out = tmp_path / "new"
    done = run("finetune", tmp_path, "-o", out, "--protocol", "mine.tsv", "--protocol", "hmrf", "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"model: {out} (mine, hmrf; 3 scans, 1.5 minutes of training)",
        "mine: mean Dice 0.812 on held-out scans",
        "hmrf: mean Dice 0.750 on held-out scans, 0.500 before",
        f"packed scans, checkpoints and log: {tmp_path / 'new.training'}",
    ]
    ((place, _, name, config, budget),) = asked
    assert (place, name, config.protocols, budget.max_minutes) == (tmp_path, "neuronet", ("mine.tsv", "hmrf"), 60)


def test_options_arrive_and_minutes_that_are_over_are_no_error(run, asked, tmp_path: Path):
    options = (
        "--model",
        "deepnat",
        "--merged-from",
        "deepnat25=neuromorphometrics",
        "--hold-out",
        "sub-07",
        "--seed",
        5,
    )
    more = ("--resume", "--max-minutes", 0, "--labels", tmp_path, "--heads-only", "--credit", "A. Nonymous", "--quiet")
    done = run("finetune", tmp_path, "-o", tmp_path / "new", *options, *more)
    assert (done.exit_code, done.stdout) == (0, "the minutes are over; --resume goes on from the checkpoint\n")
    ((_, _, name, config, budget),) = asked
    assert (name, config.merged_from, config.hold_out) == ("deepnat", {"deepnat25": "neuromorphometrics"}, ("sub-07",))
    assert (config.seed, config.heads_only, config.label_folders, config.credits) == (
        5,
        True,
        (tmp_path,),
        ("A. Nonymous",),
    )
    assert (budget.resume, budget.max_minutes) == (True, 0)


def test_errors_are_one_line_with_their_exit_codes(run, tmp_path: Path):
    done = run("finetune", tmp_path, "-o", tmp_path / "new", "--merged-from", "hmrf")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("neuronat: --merged-from hmrf is no PROTOCOL=OTHER")
    done = run("finetune", tmp_path / "nowhere", "-o", tmp_path / "new", "--quiet")
    assert (done.exit_code, done.stderr) == (66, "neuronat: nowhere: folder not found; check the path\n")
    done = run("finetune", tmp_path, "-o", tmp_path, "--quiet")
    assert (done.exit_code, done.stderr.count("\n")) == (73, 1)
    done = run("finetune", tmp_path, "-o", tmp_path / "new", "--model", "no-such", "--quiet")
    assert done.exit_code == 69
    assert not (tmp_path / "new.training").exists()
