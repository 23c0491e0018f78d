import json
from pathlib import Path

import pytest

from neuronat.cohort.entry import Entry, Job, Row
from neuronat.cohort.ledger import failure_path, read_rows, require_same_making, write_expected, write_failure
from neuronat.cohort.locks import lock_path, take_lock
from neuronat.errors import UsageError
from neuronat.pipeline.settings import SegmentConfig, result_settings
from neuronat.record import Marker, marker_path, write_marker, write_text


def states(out: Path, **options: bool) -> dict[str, str]:
    return {row.key: row.state for row in read_rows(out, **options)}


def write_done(out: Path, stem: str, **changes: object) -> None:
    write_text(out / f"{stem}.txt", "abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    fields = {"version": "1", "inputs": {}, "models": {}, "settings": {}, "outputs": {f"{stem}.txt": digest}}
    write_marker(marker_path(out, stem), Marker(**(fields | changes)))


def test_every_state_is_read_from_the_disk_alone(tmp_path: Path):
    write_done(tmp_path / "a", "done")
    write_done(tmp_path / "a", "damaged")
    (tmp_path / "a" / "damaged_done.json").write_text("{")
    write_failure(tmp_path, Row(folder="a", stem="broken", state="timeout", code=75, message="too long"))
    failure_path(tmp_path, "a", "odd").write_text("[]")
    take_lock(lock_path(tmp_path / "a", "busy"), "run")
    dead = lock_path(tmp_path / "a", "dead")
    take_lock(dead, "run")
    dead.write_text(json.dumps(json.loads(dead.read_text()) | {"started": "1"}))
    names = ("done", "damaged", "broken", "busy", "dead", "never")
    write_expected(tmp_path, "folder\tstem\n" + "".join(f"a\t{name}\n" for name in names), "x")
    assert states(tmp_path) == {
        "a/done": "done", "a/damaged": "missing", "a/broken": "timeout", "a/odd": "failed", "a/busy": "running",
        "a/dead": "missing", "a/never": "missing",
    }  # fmt: skip
    broken = next(row for row in read_rows(tmp_path) if row.stem == "broken")
    assert (broken.code, broken.message) == (75, "too long")


def test_files_are_compared_with_their_hashes_on_request(tmp_path: Path):
    write_done(tmp_path, "a")
    (tmp_path / "a.txt").write_text("abd")
    assert states(tmp_path) == {"a": "done"}
    assert states(tmp_path, verify=True) == {"a": "missing"}


def test_results_made_otherwise_are_refused_but_changed_scans_are_not(tmp_path: Path):
    job = Job(out=tmp_path, config=SegmentConfig(), run="r", work=lambda *_: None)
    settings = json.loads(json.dumps(result_settings(job.config)))
    entries = [Entry(tmp_path / "a.nii", ""), Entry(tmp_path / "new.nii", "")]
    from neuronat import __version__

    write_done(tmp_path, "a", version=__version__, settings=settings, models={"m": "1"}, inputs={"a.nii": "old"})
    require_same_making(entries, job, {"m": "1"})
    with pytest.raises(UsageError, match=r"holds a result of a made otherwise \(models m: 1 there, 2 wanted\)"):
        require_same_making(entries, job, {"m": "2"})
    write_done(tmp_path, "a", version="0.0.1", settings=settings, models={"m": "1"})
    with pytest.raises(UsageError, match=r"\(version: 0\.0\.1 there"):
        require_same_making(entries, job, {"m": "1"})
    assert states(tmp_path) == {"a": "done"}
