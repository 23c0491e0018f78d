"""A wheel carries everything that the first command needs, and the licences."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_wheel_carries_tables_models_licences_and_the_command(root: Path, tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("neuronat-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    source = root / "src"
    wanted = {
        str(path.relative_to(source))
        for path in (source / "neuronat").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    }
    assert wanted <= names
    models = {name.split("/")[2] for name in names if name.startswith("neuronat/models/")}
    assert "deepnat" in models
    for model in models:
        files = {"card.json", "weights.safetensors", "LICENSE", "SHA256SUMS"}
        assert {f"neuronat/models/{model}/{file}" for file in files} <= names
    metadata = {name.split("/", 1)[1] for name in names if ".dist-info/" in name}
    assert {"licenses/LICENSE", "licenses/NOTICE", "licenses/src/neuronat/models/deepnat/LICENSE"} <= metadata
    assert not [name for name in names if name.startswith(("tests/", "docs/", "benchmarks/"))]
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"neuronat = neuronat.cli.main:main" in zipfile.ZipFile(wheel).read(entry)
