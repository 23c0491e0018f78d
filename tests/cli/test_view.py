import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest


@pytest.fixture
def out(phantom_files, tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    shutil.copy(phantom_files.labels, folder / "sub-01_seg-deepnat25_dseg.nii.gz")
    (folder / "seg-deepnat25_dseg.tsv").write_text("index\tname\tcolor\n0\tBackground\t#000000\n")
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_serves_until_it_is_stopped(out: Path, phantom_files, tmp_path: Path, number: int, code: int):
    command = [sys.executable, "-m", "neuronat", "view", str(out), "--scan", str(phantom_files.scan), "--no-browser"]
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline()
        address = re.match(r"http://127\.0\.0\.1:\d+/", said)[0]
        with urllib.request.urlopen(f"{address}results.json", timeout=30) as answer:
            assert b"/scan/sub-01_desc-brain_T1w.nii.gz" in answer.read()
        process.send_signal(number)
        assert process.wait(30) == code
        assert process.stderr.read() == ""


def test_an_empty_folder_or_none_is_said_in_one_line(run, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for folder, code in (("empty", 65), ("none", 66)):
        done = run("view", tmp_path / folder, "--no-browser")
        assert (done.exit_code, done.stderr.count("\n")) == (code, 1)
        assert done.stderr.startswith(f"neuronat: {folder}: ")


def test_a_browser_is_opened_unless_it_is_not_wanted(run, out: Path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("neuronat.report.serve.ViewerServer.serve_forever", lambda _: None)
    assert run("view", out, "--no-browser").exit_code == 0
    assert opened == []
    done = run("view", out)
    assert (done.exit_code, opened) == (0, [done.stdout.split()[0]])
