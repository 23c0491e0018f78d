from dataclasses import replace

import numpy as np
import pytest

from neuronat.prepare.tissue import TOOLS, TissueTool


def by_thresholds(intensities, mask):
    return np.where(mask, 1 + (intensities > 0.5) + (intensities > 0.85), 0)


@pytest.fixture(autouse=True)
def tool(monkeypatch) -> TissueTool:
    made = TissueTool("hmrf", "Thresholds", "numpy", "numpy", {}, by_thresholds)
    monkeypatch.setitem(TOOLS, "hmrf", made)
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))
    return made


def test_targets_says_one_line_per_scan_and_tool(run, phantom_files, tmp_path):
    arguments = ("targets", phantom_files.scan, "-o", tmp_path / "out", "--tool", "hmrf", "--force", "--quiet")
    done = run(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("sub-01_seg-hmrf: 0 s, ")
    assert (tmp_path / "out" / "sub-01_seg-hmrf_dseg.nii.gz").is_file()
    again = run(*arguments)
    assert (again.exit_code, again.stdout) == (0, f"sub-01_seg-hmrf: already done and verified in {tmp_path / 'out'}\n")


def test_a_missing_package_is_one_line_and_69(run, tool, phantom_files, tmp_path, monkeypatch):
    monkeypatch.setitem(TOOLS, "hmrf", replace(tool, module="no_such_module", package="dipy"))
    done = run("targets", phantom_files.scan, "-o", tmp_path, "--tool", "hmrf")
    assert done.exit_code == 69
    assert done.stderr.startswith("neuronat: tool hmrf needs the package dipy (No module named 'no_such_module')")
    assert done.stderr.endswith("pip install 'neuronat[tools]'\n")


def test_exit_codes_are_those_of_segment(run, phantom_files, tmp_path):
    missing = tmp_path / "nowhere.nii.gz"
    options = ("-o", tmp_path / "out", "--tool", "hmrf", "--force", "--quiet")
    alone = run("targets", missing, *options)
    assert (alone.exit_code, alone.stderr.count("\n")) == (66, 1)
    assert alone.stderr.startswith("neuronat: nowhere.nii.gz: ")
    assert run("targets", missing, phantom_files.scan, *options).exit_code == 1
    assert run("targets", phantom_files.scan, "-o", tmp_path, "--tool", "fast").exit_code == 2


def test_the_command_offers_the_tools_that_there_are(run):
    assert "[hmrf|atropos]" in run("targets", "--help").stdout
    assert list(TOOLS) == ["hmrf", "atropos"]
