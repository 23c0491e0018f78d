from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neuronat.cli.main import group
from neuronat.phantom import make_phantom
from neuronat.space.files import write_label_map, write_mask, write_volume


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that logs and imported models of a test stay with it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run the command line in this process; stdout and stderr come back apart."""
    return lambda *arguments: CliRunner().invoke(group, [str(argument) for argument in arguments])


@dataclass(frozen=True)
class PhantomFiles:
    """The files of a phantom: scan (0 outside the brain), brain mask, true labels."""

    scan: Path
    mask: Path
    labels: Path


@pytest.fixture(scope="session")
def phantom_files(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    folder = tmp_path_factory.mktemp("phantom")
    names = ("sub-01_desc-brain_T1w.nii.gz", "sub-01_desc-given_mask.nii.gz", "sub-01_desc-true_dseg.nii.gz")
    files = PhantomFiles(*(folder / name for name in names))
    volume, labels, mask = make_phantom()
    write_volume(files.scan, volume)
    write_mask(files.mask, mask, volume.affine)
    write_label_map(files.labels, labels)
    return files
