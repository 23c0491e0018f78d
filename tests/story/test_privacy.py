"""What a file says about a person or a place reaches no output, no screen and no log; and nothing calls home."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import nibabel
import pytest
from nibabel.nifti1 import Nifti1Extension

from neuronat import __version__

SECRETS = ("winterbottom", "ermintrude", "0815", "nowhere", "19:31", "1901")
OPTIONS = ("--force", "--no-crf", "--device", "cpu", "--probabilities")
BLOCKED = """
import sys
def guard(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError("the network was asked for: " + event)
sys.addaudithook(guard)
from neuronat.cli.main import main
main()
"""


@pytest.fixture
def telling_scan(phantom, tmp_path: Path) -> Path:
    """A scan whose header, extension and sidecar tell who was scanned where and when."""
    image = nibabel.Nifti1Image(phantom[0].values, phantom[0].affine)
    for field, text in {
        "descrip": "TE=2.5;Time=19:31;Winterbottom", "aux_file": "MRN0815", "intent_name": "Ermintrude",
        "db_name": "Nowhere",
    }.items():  # fmt: skip
        image.header[field] = text.encode()
    image.header.extensions.append(Nifti1Extension(6, b"Winterbottom^Ermintrude, Hospital Nowhere"))
    path = tmp_path / "Dr. Who's folder" / "head.nii.gz"
    path.parent.mkdir()
    image.to_filename(path)
    told = {"PatientName": "Winterbottom^Ermintrude", "InstitutionName": "Nowhere", "AcquisitionTime": "19:31:00"}
    path.with_name("head.json").write_text(json.dumps(told | {"PatientBirthDate": "19010203", "EchoTime": 0.0025}))
    return path


def texts_of(out: Path) -> dict[str, str]:
    """Everything readable in the files of a result, lower case; of images the whole header."""
    found = {}
    for path in out.iterdir():
        if path.suffix == ".gz":
            image = nibabel.load(path)
            assert len(image.header.extensions) == 0
            found[path.name] = bytes(image.header.binaryblock).decode("latin-1").lower()
        else:
            text = path.read_text(encoding="utf-8")
            found[path.name] = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text).lower()
    return found


@pytest.mark.usefixtures("swift_pipeline")
def test_no_text_of_a_header_or_sidecar_comes_along(run, telling_scan: Path, untrained_folder: Path, tmp_path: Path):
    done = run("segment", telling_scan, "-o", tmp_path / "out", "--model", untrained_folder, *OPTIONS)
    checked = run("check", telling_scan, "--force", "--json")
    assert (done.exit_code, checked.exit_code) == (0, 0), done.stderr
    texts = texts_of(tmp_path / "out") | {"screen": done.output.lower(), "check": checked.output.lower()}
    assert len(texts) > 8
    assert [(name, secret) for name, text in texts.items() for secret in SECRETS if secret in text] == []
    header = nibabel.load(tmp_path / "out" / "head_seg-deepnat25_dseg.nii.gz").header
    assert bytes(header["descrip"]).rstrip(b"\0").decode() == f"neuronat {__version__}"
    for field in ("aux_file", "intent_name", "db_name"):
        assert bytes(header[field]).strip(b"\0") == b""


@pytest.mark.usefixtures("swift_pipeline")
def test_no_output_names_host_user_folder_or_command(run, telling_scan: Path, untrained_folder: Path, tmp_path: Path):
    run("segment", telling_scan, "-o", tmp_path / "out", "--model", untrained_folder, *OPTIONS)
    secrets = (socket.gethostname(), str(tmp_path), "Dr. Who", str(Path.cwd()), sys.executable, "--no-crf", "pytest")
    texts = texts_of(tmp_path / "out")
    assert len(texts) > 6
    words = [rf"(?<!\w){re.escape(secret.lower())}(?!\w)" for secret in secrets]
    assert [(name, word) for name, text in texts.items() for word in words if re.search(word, text)] == []


@pytest.mark.usefixtures("swift_pipeline")
def test_the_log_names_no_folder(run, telling_scan: Path, home: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_arguments, **_options):
        raise OSError(5, "broken", str(telling_scan))

    monkeypatch.setattr("neuronat.pipeline.inspect.plan_grid", fail)
    assert run("check", telling_scan).exit_code == 70
    (log,) = home.rglob("*.log")
    text = log.read_text()
    assert 'OSError: [Errno 5] broken: "head.nii.gz"' in text
    assert 'File "pipeline/inspect.py"' in text
    for secret in ("Who's", str(telling_scan.parent), str(home), str(Path.cwd())):
        assert secret not in text
    assert log.parent.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("swift_pipeline")
def test_a_name_that_tells_too_much_is_noted(run, phantom, tmp_path: Path):
    for name, is_noted in (("head_20210309.nii", True), ("MRN01234567.nii", True), ("sub-01_run-2.nii", False)):
        nibabel.save(nibabel.Nifti1Image(phantom[0].values, phantom[0].affine), tmp_path / name)
        done = run("check", tmp_path / name, "--force")
        assert ("its name looks like a date or a record number" in done.stdout) == is_noted


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes a socket fails."""

    def refuse(*_arguments, **_options):
        raise RuntimeError("the network was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("swift_pipeline", "no_network")
def test_segmenting_asks_for_no_network(run, phantom_files, untrained_folder: Path, tmp_path: Path):
    with pytest.raises(RuntimeError, match="the network was asked for"):
        socket.socket()
    done = run("segment", phantom_files.scan, "-o", tmp_path / "out", "--model", untrained_folder, *OPTIONS)
    assert done.exit_code == 0, done.stderr


@pytest.mark.slow
def test_a_whole_run_in_a_process_of_its_own_opens_no_socket(phantom_files, untrained_folder: Path, tmp_path: Path):
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    start = [sys.executable, "-c", BLOCKED]
    arguments = ["segment", phantom_files.scan, "-o", tmp_path / "out", "--model", untrained_folder, *OPTIONS]
    done = subprocess.run([*start, *arguments], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "sub-01_done.json").is_file()
    probe = BLOCKED.replace("from neuronat.cli.main import main\nmain()", "import socket\nsocket.socket()")
    asked = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert "the network was asked for: socket.__new__" in asked.stderr


def test_shipped_models_tell_nothing_about_machines_or_people():
    models = Path(__file__).parents[2] / "src" / "neuronat" / "models"
    cards = sorted(models.glob("*/card.json"))
    assert cards
    for card in cards:
        text = card.read_text(encoding="utf-8")
        assert not any(trace in text for trace in ("/" + "home", "/" + "root", "\\\\", "@", socket.gethostname()))
