from pathlib import Path

import pytest

from neuronat.cli import demo
from neuronat.pipeline import batch
from neuronat.pipeline.settings import SegmentConfig


def test_a_missing_template_names_the_extra(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(demo, "find_spec", lambda _name: None)
    done = run("demo", "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (69, "")
    assert done.stderr == (
        "neuronat: nilearn, which carries the template, is not installed; pip install 'neuronat[demo]'\n"
    )
    assert not (tmp_path / "out").exists()


def test_the_demo_does_what_segment_does_by_default(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked = []

    def segment_files(scans, out, config, _progress):
        asked.append((scans, out, config))
        return [batch.Outcome(scan=scans[0], stem="template", state="already done")]

    monkeypatch.setattr(batch, "segment_files", segment_files)
    monkeypatch.setattr(demo, "find_template", lambda: tmp_path / "template.nii.gz")
    done = run("demo", "-o", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert asked == [([tmp_path / "template.nii.gz"], tmp_path / "out", SegmentConfig())]
    assert done.stdout.splitlines() == [
        f"template: already done and verified in {tmp_path / 'out'}",
        "not for diagnosis",
    ]


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
