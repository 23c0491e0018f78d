"""Rooms import only downwards, and heavy packages stay where the contracts put them."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ALONE = {"nibabel": {"neuronat.space.files"}, "matplotlib": {"neuronat.report.figures"}}


def test_the_import_contracts_are_kept(root: Path):
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "rooms import only downwards KEPT" in done.stdout


@pytest.mark.parametrize("package", ALONE)
def test_a_package_that_one_module_owns_is_imported_there_alone(modules, package: str):
    importing = {
        module.name
        for module in modules
        for node in ast.walk(module.tree)
        for name in imported_names(node)
        if name.split(".")[0] == package
    }
    assert importing <= ALONE[package]


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
