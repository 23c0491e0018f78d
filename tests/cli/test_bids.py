"""`neuronat bids` and `neuronat status` from a data set to tables, with real workers and a swift pipeline."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest
from click.testing import CliRunner

from neuronat.cli.main import group

STANDIN = Path(__file__).parents[1] / "cohort" / "standin"
SCANS = [
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_run-1_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_run-2_T1w.nii.gz",
    "sub-04/anat/sub-04_T1w.nii.gz",
]
Run = Callable[..., click.testing.Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, untrained_folder: Path) -> Run:
    """Run the command line in this process; its workers segment swiftly."""
    return swift_command(monkeypatch, untrained_folder)


def swift_command(monkeypatch: pytest.MonkeyPatch, model: Path) -> Run:
    monkeypatch.syspath_prepend(str(STANDIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(STANDIN), os.environ.get("PYTHONPATH")))))
    from swift import open_swift

    monkeypatch.setattr("neuronat.cohort.study.open_segmentation", open_swift)
    monkeypatch.setattr("neuronat.cohort.study.has_dask", lambda: False)
    monkeypatch.setattr("neuronat.cohort.engine.has_dask", lambda: False)

    def run(name: str, *arguments: object) -> click.testing.Result:
        options = ("--model", model, "--device", "cpu", "--force", "--no-crf") if "participant" in arguments else ()
        return CliRunner().invoke(group, [str(word) for word in (name, *arguments, *options)])

    return run


@pytest.fixture(scope="module")
def data_set(phantom_files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms as BIDS; one is broken, one subject has no T1w."""
    root = tmp_path_factory.mktemp("bids")
    for name in SCANS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(phantom_files.scan, root / name)
    (root / SCANS[3]).write_bytes(phantom_files.scan.read_bytes()[:5000])
    (root / "sub-03" / "func").mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "Phantoms", "BIDSVersion": "1.10.0"}')
    return root


@pytest.fixture(scope="module")
def finished(data_set: Path, untrained_folder: Path, tmp_path_factory) -> Iterator[tuple[Path, click.testing.Result]]:
    """That data set, done: the results and what the run said. Copy before changing them."""
    out = tmp_path_factory.mktemp("derivatives") / "neuronat"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HOME", str(out.parent))
        yield out, swift_command(monkeypatch, untrained_folder)("bids", data_set, out, "participant", "--mem-gb", "7.5")


def test_a_broken_scan_and_a_missing_one_stop_no_other(finished):
    out, done = finished
    assert done.exit_code == 1, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("4 scans; 1 workers with ")
    assert "each of 7.5 GB free" in lines[0]
    assert lines[1].startswith("dask is not installed, so one scan follows the other")
    assert lines[2] == "sub-03: skipped, no T1w image that fits the filters; check the data set"
    assert lines[-1].startswith("4 scans in ")
    assert lines[-1].endswith(": 3 done, 1 failed")
    assert sum(": done in " in line for line in lines) == 3
    assert {path.name for path in out.rglob("*_done.json")} == {
        f"{Path(name).name.removesuffix('_T1w.nii.gz')}_done.json" for name in SCANS[:3]
    }
    failure = json.loads((out / "sub-04/anat/sub-04_failed.json").read_text())
    assert (failure["state"], failure["code"]) == ("failed", 65)
    assert failure["message"].startswith("sub-04_T1w.nii.gz: ")


def test_results_are_laid_out_as_a_derivative(finished):
    out, _ = finished
    top = {path.name for path in out.iterdir() if path.is_file()}
    assert top == {".bidsignore", "README", "dataset_description.json", "seg-deepnat25_dseg.tsv"}
    names = {path.name.removeprefix("sub-01_") for path in (out / "sub-01/anat").iterdir()}
    assert names == {
        "desc-brain_mask.json", "desc-brain_mask.nii.gz", "done.json", "seg-deepnat25_dseg.json",
        "seg-deepnat25_dseg.nii.gz", "seg-deepnat25_dseg.png", "seg-deepnat25_volumes.tsv", "sub-01.html",
    }  # fmt: skip
    marker = json.loads((out / "sub-01/anat/sub-01_done.json").read_text())
    assert "../../seg-deepnat25_dseg.tsv" in marker["outputs"]
    assert marker["notes"]["peak_memory_gb"] > 0.1


def test_the_derivative_passes_the_bids_validator(finished, tmp_path: Path):
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    out, more = tmp_path / "wrong", tmp_path / "neuronat"
    shutil.copytree(finished[0], out)
    shutil.copytree(finished[0], more)
    (out / "sub-01/anat/sub-01_desc-wrong_seg-x_nonsense.json").write_text("{}")
    for name in (
        "sub-01_agreement.tsv", "sub-01_desc-agreement_map.nii.gz", "sub-01_desc-agreement_map.json",
        "sub-01_seg-deepnat25_aseg.stats",
    ):  # fmt: skip
        (more / "sub-01/anat" / name).write_bytes(b"of two protocols, with --stats")
    for name in ("freeview.txt", "itksnap.label", "fsleyes.lut"):
        (more / f"seg-deepnat25_{name}").write_bytes(b"with --luts")
    wrong, right = (
        json.loads(
            subprocess.run(
                [validator, path, "--format", "json"],
                capture_output=True,
                text=True,
                check=False,
                env=os.environ | {"HOME": str(tmp_path), "NO_COLOR": "1"},
            ).stdout
        )
        for path in (out, more)
    )
    errors = [issue for issue in right["issues"]["issues"] if issue["severity"] == "error"]
    assert errors == []
    assert any(issue["severity"] == "error" for issue in wrong["issues"]["issues"]), "it does look"


def test_a_rerun_does_what_is_missing_and_nothing_else(command: Run, finished, data_set: Path, tmp_path: Path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    labels = out / "sub-01/anat/sub-01_seg-deepnat25_dseg.nii.gz"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:100])
    others = ("--skip-bids-validation", "--resume", "-w", tmp_path / "work", "--omp-nthreads", 1)  # as BIDS apps have
    again = command("bids", data_set, out, "participant", "--participant-label", "01", "02", "--quiet", *others)
    assert (again.exit_code, again.stderr) == (0, "")
    assert labels.read_bytes() == whole
    status = command("status", out)
    assert status.exit_code == 1
    assert status.stdout.splitlines()[0] == "5 scans: 3 done, 1 failed, 1 skipped"


def test_quiet_shows_what_went_wrong_by_its_state_and_never_by_its_name(command: Run, phantom_files, tmp_path: Path):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a: failed", "b: killed"):
        shutil.copy(phantom_files.scan, source / f"{name}.nii.gz")
    (source / "c.nii.gz").write_bytes(b"x")
    done = command("bids", source, tmp_path / "out", "participant", "--quiet")
    assert done.exit_code == 1
    failure, end = done.stderr.splitlines()
    assert failure.startswith("[3/3] c: failed, ")
    assert end.endswith(": 2 done, 1 failed")
    group = command("bids", source, tmp_path / "out", "group", "--quiet")
    assert [line.split(";")[0] for line in group.stderr.splitlines()] == [
        "3 scans: 2 done, 1 failed",
        "warning: without a result: 1 scan",
    ]


def test_other_settings_are_refused_with_the_difference_before_anything_runs(
    command: Run, finished, data_set: Path, tmp_path: Path
):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*_done.json")}
    refused = command("bids", data_set, out, "participant", "--probabilities")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "settings probabilities: False there, True wanted" in refused.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*_done.json")} == before


def test_row_54_subjects_unknown_named_twice_or_without_a_t1w(command: Run, finished, data_set: Path, tmp_path: Path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    unknown = command("bids", data_set, out, "participant", "--participant-label", "1")
    assert (unknown.exit_code, unknown.stderr.count("\n")) == (2, 1)
    assert "sub-1: not in the data set; near are sub-01" in unknown.stderr
    twice = command("bids", data_set, out, "participant", "--participant-label", "01", "sub-01")
    assert (twice.exit_code, twice.stderr.splitlines()[0].startswith("1 scan; ")) == (0, True), twice.stderr
    without = command("bids", data_set, out, "participant", "--participant-label", "01", "03")
    assert without.exit_code == 1
    assert "sub-03: failed, no T1w image that fits the filters; check the data set" in without.stderr
    rows = json.loads(command("status", out, "--json").stdout)["scans"]
    assert {row["state"] for row in rows if row["stem"] == "sub-03"} == {"failed"}


def test_row_55_several_runs_of_a_subject_are_several_scans_unless_a_filter_picks_one(
    command: Run, finished, data_set: Path, tmp_path: Path
):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    stems = [f"sub-02_ses-a_run-{run}" for run in (1, 2)]
    for stem in stems:
        assert json.loads((out / f"sub-02/ses-a/anat/{stem}_done.json").read_text())["inputs"].keys() == {
            f"{stem}_T1w.nii.gz"
        }
        (out / f"sub-02/ses-a/anat/{stem}_done.json").unlink()
    (tmp_path / "filter.json").write_text('{"t1w": {"run": 2}}')
    done = command("bids", data_set, out, "participant", "--bids-filter-file", tmp_path / "filter.json")
    assert done.exit_code == 0, done.stderr
    assert [(out / f"sub-02/ses-a/anat/{stem}_done.json").exists() for stem in stems] == [False, True]


def test_status_tells_machines_everything(command: Run, finished):
    told = json.loads(command("status", finished[0], "--json", "--verify").stdout)
    assert told["exit_code"] == 1
    assert told["counts"] == {"done": 3, "failed": 1, "skipped": 1}
    done = next(scan for scan in told["scans"] if scan["stem"] == "sub-02_ses-a_run-2")
    assert (done["state"], done["verdict"], done["protocols"]) == ("done", "fail", ["deepnat25"])


def test_group_collects_tables_and_a_page(command: Run, finished, data_set: Path, tmp_path: Path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    done = command("bids", data_set, out, "group")
    assert done.exit_code == 0, done.stderr
    assert "warning: without a result: 1 scan; failures.tsv names them" in done.stderr
    volumes = [line.split("\t") for line in (out / "group_seg-deepnat25_volumes.tsv").read_text().splitlines()]
    assert [line[0] for line in volumes] == ["scan"] + [
        f"{Path(name).parent}/{Path(name).name.removesuffix('_T1w.nii.gz')}" for name in SCANS[:3]
    ]
    assert len(volumes[0]) == 26
    own = (out / "sub-01/anat/sub-01_seg-deepnat25_volumes.tsv").read_text().splitlines()[1].split("\t")
    assert float(volumes[1][volumes[0].index(own[1])]) == float(own[3])
    assert "sub-04/anat/sub-04\tfailed\t65\t" in (out / "failures.tsv").read_text()
    assert '<img src="sub-01/anat/sub-01_seg-deepnat25_dseg.png"' in (out / "group.html").read_text()
    assert command("bids", data_set, out, "group", "--require-all").exit_code == 1


def test_packed_results_are_two_files_a_scan_and_say_the_same(command: Run, finished, data_set: Path, tmp_path: Path):
    out, arguments = tmp_path / "out", ("participant", "--participant-label", "01", "02", "--pack")
    done = command("bids", data_set, out, *arguments)
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in (out / "sub-01/anat").iterdir()} == {"sub-01_done.json", "sub-01_results.zip"}
    packed = out / "sub-01/anat/sub-01_results.zip"
    shutil.unpack_archive(packed, tmp_path / "unpacked")
    loose = {
        path.name: path
        for path in (finished[0] / "sub-01/anat").iterdir()
        if not path.name.endswith(("_done.json", ".png"))
    }
    assert {path.name for path in (tmp_path / "unpacked").iterdir()} == loose.keys()
    for name in ("sub-01_seg-deepnat25_dseg.nii.gz", "sub-01_seg-deepnat25_volumes.tsv"):
        assert (tmp_path / "unpacked" / name).read_bytes() == loose[name].read_bytes()
    tables = []
    for folder in (out, shutil.copytree(finished[0], tmp_path / "loose")):
        assert command("bids", data_set, folder, "group").exit_code == 0
        tables.append((folder / "group_seg-deepnat25_volumes.tsv").read_text())
    assert tables[0] == tables[1]
    assert 'href="sub-01/anat/sub-01_results.zip"' in (out / "group.html").read_text()
    before = packed.stat().st_mtime_ns
    assert command("bids", data_set, out, *arguments, "--quiet").exit_code == 0
    assert packed.stat().st_mtime_ns == before, "trusted"
    packed.write_bytes(packed.read_bytes()[:1000])
    assert command("status", out, "--verify").exit_code == 75
    assert command("bids", data_set, out, *arguments, "--quiet").exit_code == 0
    assert command("status", out, "--verify").exit_code == 0


def test_packed_and_loose_results_do_not_mix(command: Run, finished, data_set: Path, tmp_path: Path):
    out, arguments = shutil.copytree(finished[0], tmp_path / "out"), ("participant", "--participant-label", "01")
    refused = command("bids", data_set, out, *arguments, "--pack")
    assert (refused.exit_code, "settings packed: False there, True wanted" in refused.stderr) == (2, True)
    assert command("bids", data_set, out, *arguments, "--pack", "--overwrite").exit_code == 0
    assert {path.name for path in (out / "sub-01/anat").iterdir()} == {"sub-01_done.json", "sub-01_results.zip"}
    assert command("bids", data_set, out, *arguments, "--overwrite").exit_code == 0
    assert not list(out.rglob("*.zip"))
    assert (out / "sub-01/anat/sub-01_seg-deepnat25_dseg.nii.gz").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("participant", "--participant-label", "9"), 2, "sub-9: not in the data set"),
        (("participant", "--part", "3/2"), 2, "part must be i/n"),
        (("participant", "--mask", "m.nii"), 2, "one mask cannot serve a cohort"),
        (("participant", "--model", "nosuch"), 69, "nosuch"),
        (("participant", "--n-procs", "0"), 2, "number of workers must be at least 1"),
        (("participant", "--mem-gb", "nan"), 2, "'--mem-gb': must be a finite number above 0, got nan; see"),
        (("participant", "--mem-gb", "0"), 2, "'--mem-gb': must be a finite number above 0, got 0; see"),
        (("participant", "--mem-gb", "-1"), 2, "'--mem-gb': must be a finite number above 0, got -1; see"),
        (("participant", "--timeout", "0"), 2, "'--timeout': must be a finite number above 0, got 0; see"),
        (("participant", "--timeout", "-5"), 2, "'--timeout': must be a finite number above 0, got -5; see"),
        (("participant", "--timeout", "nan"), 2, "'--timeout': must be a finite number above 0, got nan; see"),
        (
            ("participant", "--scans-per-worker", "0"),
            2,
            "'--scans-per-worker': must be a finite number above 0, got 0; see",
        ),
        (("participant", "--grace", "nan"), 2, "grace must be a finite number of seconds, at least 0; got nan"),
        (("participant", "--scheduler", "tcp://127.0.0.1:1"), 69, "dask, which joins clusters, is not installed"),
        (("group",), 66, "out: not found"),
        (("neither",), 2, "neither"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    command: Run, data_set: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
):
    done = command("bids", data_set, tmp_path / "out", *arguments[:1], *arguments[1:])
    assert (done.exit_code, done.stderr.count("\n")) == (code, 1) or "--scheduler" in arguments
    assert done.exit_code == code
    assert message in done.stderr
    assert not list(tmp_path.rglob("*_done.json"))


def test_a_folder_that_cannot_be_written_to_is_named_before_anything_runs(command: Run, data_set: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = command("bids", data_set, tmp_path / "file" / "out", "participant")
    assert (done.exit_code, done.stderr.count("\n")) == (73, 1)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may write to; for root, who may write anywhere, a file system that is read-only."""
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    if os.geteuid() != 0:
        yield folder
    elif subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=False).returncode:
        pytest.skip("root may write everywhere, and may not mount")
    else:
        yield folder
        subprocess.run(["umount", folder], check=True)


def test_a_refused_run_leaves_no_new_folder(command: Run, data_set: Path, tmp_path: Path):
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "new" / "out", tmp_path / "there"):
        assert command("bids", data_set, out, "participant", "--n-procs", "0").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert list((tmp_path / "there").iterdir()) == []


def test_group_of_the_wrong_folder_is_refused_and_changes_nothing(command: Run, data_set: Path):
    before = sorted(data_set.rglob("*"))
    for source, code, message in (
        ("elsewhere", 66, "holds no results of a cohort"),
        (data_set, 2, "folder of the scans"),
    ):
        done = command("bids", source, data_set, "group")
        assert (done.exit_code, done.stderr.count("\n")) == (code, 1)
        assert message in done.stderr
    assert sorted(data_set.rglob("*")) == before


def test_a_read_only_folder_is_named_before_the_model_loads(command: Run, data_set: Path, read_only: Path):
    for out in (read_only, read_only / "out"):
        done = command("bids", data_set, out, "participant", "--model", "nosuch")
        assert (done.exit_code, done.stderr.count("\n")) == (73, 1), done.stderr
        assert "cannot be written (" in done.stderr


def test_labels_may_follow_one_option_as_bids_apps_have_it(command: Run, data_set: Path, tmp_path: Path):
    for words in (("--participant_label", "8", "sub-9"), ("--participant-label", "8", "--participant-label", "9")):
        done = command("bids", data_set, tmp_path / "out", "participant", *words)
        assert done.stderr.startswith("neuronat: sub-8, sub-9: not in the data set")


def test_a_name_that_is_not_utf_8_fails_alone(command: Run, data_set: Path, tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    shutil.copy(data_set / SCANS[0], source / "ok.nii.gz")
    (source / os.fsdecode(b"M\xfcller.nii.gz")).write_bytes(b"x")
    done = command("bids", source, out, "participant")
    assert done.exit_code == 1
    assert "M\\xfcller: failed, its name is not UTF-8; rename it" in done.stderr
    assert (out / "ok_done.json").exists()
    (out / os.fsdecode(b"M\xfcller_failed.json")).write_text("{}")  # such as another program's
    for options in ((), ("--json",)):
        assert command("status", out, *options).exit_code == 1
    assert command("bids", source, out, "group").exit_code == 0


def test_status_of_nothing_is_said(command: Run, tmp_path: Path):
    for folder, message in ((tmp_path, "holds no results of a cohort"), (tmp_path / "none", "not found")):
        done = command("status", folder)
        assert done.exit_code == 66
        assert message in done.stderr
