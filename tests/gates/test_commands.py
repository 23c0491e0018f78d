"""The README's two commands are what `.ci/run` runs, and what they install exists."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

BLOCK = re.compile(r"<!-- command: (\w+) -->\n```\w*\n(.*?)```", re.S)


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_readme_has_two_commands_and_ci_runs_exactly_these(root: Path):
    commands = dict(BLOCK.findall((root / "README.md").read_text(encoding="utf-8")))
    assert list(commands) == ["demo", "tests"]
    shown = subprocess.run(
        ["bash", str(root / ".ci" / "run"), "--show"], capture_output=True, text=True, check=True, cwd=root.parent
    )
    assert shown.stdout == commands["demo"] + commands["tests"]
    script = (root / ".ci" / "run").read_text(encoding="utf-8")
    assert "pytest" not in script, "the README alone says how the tests are run"


def test_the_commands_install_extras_that_exist_with_the_pinned_versions(root: Path, project: dict):
    for command in dict(BLOCK.findall((root / "README.md").read_text(encoding="utf-8"))).values():
        assert "-c constraints.txt" in command
        extras = re.search(r'"\.\[([\w,]+)\]"', command)
        assert extras is not None
        assert set(extras.group(1).split(",")) <= set(project["optional-dependencies"])


def test_every_dependency_is_pinned_at_or_above_its_floor(root: Path, project: dict):
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    direct = dict(d.lower().split(">=") for d in wanted if not d.startswith("neuronat["))
    assert sorted(direct) == sorted(pins)
    below = [name for name, floor in direct.items() if numbers(pins[name]) < numbers(floor)]
    assert below == []


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_the_makefile_checks_in_the_order_of_the_style(root: Path):
    text = (root / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^check: checks test\b", text, re.M)
    assert re.search(r"^checks: format lint contracts types$", text, re.M)
