"""The container recipes: pinned, not root, alike, and their steps work in a plain virtual environment."""

import os
import re
import shutil
import site
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from neuronat import __version__


@pytest.fixture(scope="module")
def container(root: Path) -> str:
    return (root / "containers" / "Containerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def definition(root: Path) -> str:
    return (root / "containers" / "neuronat.def").read_text(encoding="utf-8")


def steps(container: str) -> list[str]:
    """Return the commands of the RUN instructions, one by one."""
    joined = container.replace("\\\n", " ")
    return [step.strip() for line in re.findall(r"^RUN (.*)$", joined, re.M) for step in line.split("&&")]


def test_bases_are_pinned_and_the_same(container: str, definition: str):
    bases = re.findall(r"^FROM (\S+)", container, re.M) + re.findall(r"^From: (\S+)", definition, re.M)
    assert len(bases) == 3
    assert len(set(bases)) == 1
    assert re.search(r":\d+\.\d+\.\d+-", bases[0])


def test_the_version_is_the_packages_everywhere(container: str, definition: str):
    named = re.compile(r"(?:neuronat:|image\.version[= ]\"?|neuronat-)(\d[\w.]*?)(?=[\"\s]|\.sif)")
    said = named.findall(container + definition)
    assert len(said) >= 5
    assert set(said) == {__version__}


def test_nobody_runs_as_root_and_the_command_is_neuronat(container: str, definition: str):
    last = container.rpartition("FROM")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.M)
    assert 'ENTRYPOINT ["neuronat"]' in last
    assert not steps(last), "the last stage only copies"
    assert definition.rstrip().endswith('exec neuronat "$@"')


def test_both_recipes_take_the_same_steps_and_files(container: str, definition: str):
    post = definition.partition("%post")[2].partition("%environment")[0]
    assert [line.strip() for line in post.splitlines() if line.strip() in steps(container)] == steps(container)
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", container, re.M)
    files = definition.partition("%files")[2].partition("%post")[0]
    assert " ".join(copied).split() == [line.split()[0] for line in files.splitlines() if line.strip()]


def test_hadolint_has_nothing_to_say(root: Path):
    hadolint = shutil.which("hadolint", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [hadolint, root / "containers" / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_steps_work_in_a_plain_virtual_environment(root: Path, container: str, tmp_path: Path):
    pytest.importorskip("distributed", reason="the extra cohort is not installed, and nothing is downloaded here")
    source, target = tmp_path / "source", tmp_path / "neuronat"
    source.mkdir()
    for names in re.findall(r"^COPY (?!--from)(.*) \S+$", container, re.M):
        for name in names.split():
            copy = shutil.copytree if (root / name).is_dir() else shutil.copy
            copy(root / name, source / name)
    # the packages of this environment stand for those of the index, so that nothing is downloaded
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "HOME": str(tmp_path)}
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    for step in steps(container):
        command = step.replace("/neuronat/", f"{target}/").replace(" /neuronat", f" {target}")
        done = subprocess.run(
            command, shell=True, cwd=source, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        inside = next(target.glob("lib/python*/site-packages"))
        shutil.rmtree(inside / "setuptools", ignore_errors=True)  # an older one than what torch asks for
        for folder in inside.glob("setuptools-*.dist-info"):
            shutil.rmtree(folder)
        (inside / "others.pth").write_text("\n".join({sysconfig.get_path("purelib"), *site.getsitepackages()}) + "\n")
    unreadable = [
        path
        for path in target.rglob("*")
        if not path.is_symlink() and not stat.S_IMODE(path.stat().st_mode) & (stat.S_IROTH | stat.S_IXOTH)
    ]
    assert unreadable == []
    ran = subprocess.run(
        [target / "bin" / "neuronat", "--version"], capture_output=True, text=True, check=False, env=environment
    )
    assert ran.stdout == f"neuronat {__version__}\n", ran.stderr
    models = next(target.glob("lib/python*/site-packages/neuronat/models"))
    assert (models / "deepnat" / "weights.safetensors").is_file(), "the models are inside"
