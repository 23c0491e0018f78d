from pathlib import Path

import pytest

from neuronat.cli import demo


def test_a_missing_template_names_the_extra(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(demo, "find_spec", lambda _name: None)
    done = run("demo", "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (69, "")
    assert done.stderr == (
        "neuronat: nilearn, which carries the template, is not installed; pip install 'neuronat[demo]'\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("swift_pipeline", "any_labels")
def test_the_demo_labels_the_template_of_the_installed_package(run, untrained_folder: Path, tmp_path: Path):
    pytest.importorskip("nilearn", reason="the extra demo is not installed")
    done = run("demo", "-o", tmp_path / "out", "--model", untrained_folder, "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["deepnat25", "volume", "in", "ml"]
    assert lines[1].startswith("Left-Cerebral-White-Matter")
    assert float(lines[1].split()[-1]) > 1
    assert lines[-1] == "not for diagnosis"
    assert len(lines) == 28
    assert any(path.name.endswith("_done.json") for path in (tmp_path / "out").iterdir())
