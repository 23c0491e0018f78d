import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click.testing
import nibabel
import numpy as np
import pytest

from neuronat.labels import load_scheme
from neuronat.measure.confidence import Calibration
from neuronat.nets.store import Model, save_model

pytestmark = pytest.mark.usefixtures("swift_pipeline")

OUTPUTS = [
    "seg-deepnat25_dseg.tsv",
    "sub-01.html",
    "sub-01_desc-brain_mask.json",
    "sub-01_desc-brain_mask.nii.gz",
    "sub-01_done.json",
    "sub-01_seg-deepnat25_dseg.json",
    "sub-01_seg-deepnat25_dseg.nii.gz",
    "sub-01_seg-deepnat25_volumes.tsv",
]


@pytest.fixture
def segment(run, untrained_folder: Path) -> Callable[..., click.testing.Result]:
    """Segment by the untrained model; the phantom is no believable brain, so tests say --force where it passes."""
    always = ("--model", untrained_folder, "--quiet", "--device", "cpu", "--no-crf")
    return lambda *arguments: run("segment", *always, *arguments)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_command_writes_the_files_of_the_contract(segment, phantom_files, tmp_path: Path):
    out = tmp_path / "out"
    done = segment(phantom_files.scan, "-o", out, "--force")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("sub-01: 25 structures in ")
    assert names_in(out) == OUTPUTS
    scan, labels = (nibabel.load(path) for path in (phantom_files.scan, out / "sub-01_seg-deepnat25_dseg.nii.gz"))
    np.testing.assert_array_equal(labels.affine, scan.affine)
    ids = np.asarray(labels.dataobj)
    assert (ids.shape, ids.dtype) == ((40, 48, 56), np.uint8)
    assert set(np.unique(ids)) == set(load_scheme("deepnat25").ids)
    mask = np.asarray(nibabel.load(out / "sub-01_desc-brain_mask.nii.gz").dataobj)
    np.testing.assert_array_equal(mask > 0, np.asarray(scan.dataobj) > 0)
    np.testing.assert_array_equal(ids[mask == 0], 0)


def test_tables_sidecar_and_marker_say_how_it_came_about(segment, phantom_files, untrained_folder, tmp_path: Path):
    out = tmp_path / "out"
    segment(phantom_files.scan, "-o", out, "--force")
    rows = [line.split("\t") for line in (out / "sub-01_seg-deepnat25_volumes.tsv").read_text().splitlines()]
    ids = np.asarray(nibabel.load(out / "sub-01_seg-deepnat25_dseg.nii.gz").dataobj)
    assert rows[0][:4] == ["index", "name", "n_voxels", "volume_mm3"]
    assert rows[0][4:] == ["reason", "finding", "confidence"]
    assert {row[6] for row in rows[1:]} == {"n/a"}  # the model's card has no calibration
    assert ["ml (adults " in row[5] for row in rows if row[1].endswith("Cerebral-Cortex")] == [True, True]
    for index, _, n_voxels, volume_mm3, *_ in rows[1:]:
        assert int(n_voxels) == (ids == int(index)).sum()
        assert float(volume_mm3) == int(n_voxels)  # voxels of 1 mm3
    table = (out / "seg-deepnat25_dseg.tsv").read_text().splitlines()
    assert table[:2] == ["index\tname\tcolor", "0\tBackground\t#000000"]
    assert len(table) == 27
    sidecar = json.loads((out / "sub-01_seg-deepnat25_dseg.json").read_text())
    assert sidecar["Sources"] == ["sub-01_desc-brain_T1w.nii.gz"]
    assert sidecar["Forced"] is True
    assert sidecar["Verdict"] == "fail"
    assert [reason for reason in sidecar["Reasons"] if "forced: brain mask of 35 ml" in reason]
    assert [reason for reason in sidecar["Reasons"] if "brain tissue of" in reason]
    assert sidecar["Warnings"] == []
    assert sidecar["Models"][0]["SHA256"] == hashlib.sha256((untrained_folder / "SHA256SUMS").read_bytes()).hexdigest()
    marker = json.loads((out / "sub-01_done.json").read_text())
    assert marker["outputs"] == {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in OUTPUTS if "done" not in name
    }
    assert marker["notes"]["verdict"] == "fail"
    assert marker["notes"]["reasons"] == sidecar["Reasons"]
    scan_hash = hashlib.sha256(phantom_files.scan.read_bytes()).hexdigest()
    assert marker["inputs"] == {"sub-01_desc-brain_T1w.nii.gz": scan_hash}


def test_no_output_names_a_folder(segment, phantom_files, untrained_folder, tmp_path: Path):
    out = tmp_path / "out"
    segment(phantom_files.scan, "-o", out, "--mask", phantom_files.mask, "--force")
    for path in out.iterdir():
        if path.suffix in (".json", ".tsv"):
            text = path.read_text()
            for folder in (tmp_path, phantom_files.scan.parent, untrained_folder.parent, Path.home()):
                assert str(folder) not in text


def test_a_verified_result_is_kept_a_damaged_one_made_anew(segment, phantom_files, tmp_path: Path):
    out = tmp_path / "out"
    segment(phantom_files.scan, "-o", out, "--force")
    labels, before = out / "sub-01_seg-deepnat25_dseg.nii.gz", {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    again = segment(phantom_files.scan, "-o", out, "--force")
    assert (again.exit_code, again.stdout) == (0, f"sub-01: already done and verified in {out}\n")
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before
    whole = labels.read_bytes()
    labels.write_bytes(whole[:-100])
    assert segment(phantom_files.scan, "-o", out, "--force").exit_code == 0
    assert labels.read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (("--crf",), "settings crf: False there, True wanted"),
        (("--space", "working"), "settings space: native there"),
    ],
)
def test_other_settings_are_refused_by_name_unless_overwriting(
    segment, phantom_files, tmp_path: Path, options: tuple[str, ...], difference: str
):
    out = tmp_path / "out"
    segment(phantom_files.scan, "-o", out, "--force")
    refused = segment(phantom_files.scan, "-o", out, "--force", *options)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert difference in refused.stderr
    assert segment(phantom_files.scan, "-o", out, "--force", "--overwrite", *options).exit_code == 0


def test_a_label_map_of_targets_is_not_replaced_unless_overwriting(segment, phantom_files, tmp_path: Path):
    name = "sub-01_seg-deepnat25"
    (tmp_path / f"{name}_dseg.mgz").write_bytes(b"of targets")
    fields = {"version": "1", "inputs": {}, "models": {}, "settings": {}}
    hashes = {f"{name}_dseg.mgz": hashlib.sha256(b"of targets").hexdigest()}
    (tmp_path / f"{name}_done.json").write_text(json.dumps(fields | {"outputs": hashes}))
    refused = segment(phantom_files.scan, "-o", tmp_path, "--force")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert f"{name}_dseg in the output folder is of {name}_done.json; use --overwrite" in refused.stderr
    assert segment(phantom_files.scan, "-o", tmp_path, "--force", "--overwrite").exit_code == 0


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_name_of_another_encoding_is_refused_before_the_work(segment, phantom_files, tmp_path: Path, options):
    scan = tmp_path / os.fsdecode(b"m\xfcller.nii.gz")
    shutil.copy(phantom_files.scan, scan)
    done = segment(scan, "-o", tmp_path / "out", "--force", *options)
    assert (done.exit_code, done.stderr.count("\n")) == (65, 1)
    assert r"m\udcfcller.nii.gz: its name is not UTF-8; rename it" in done.stderr
    assert not (tmp_path / "out").exists()


def test_another_scan_of_the_same_name_is_refused(segment, phantom_files, tmp_path: Path):
    segment(phantom_files.scan, "-o", tmp_path / "out", "--force")
    image = nibabel.load(phantom_files.scan)
    other = tmp_path / phantom_files.scan.name
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) * 2, image.affine), other)
    refused = segment(other, "-o", tmp_path / "out", "--force")
    assert refused.exit_code == 2
    assert "inputs sub-01_desc-brain_T1w.nii.gz: " in refused.stderr


def test_overwriting_removes_what_the_new_result_does_not_have(segment, phantom_files, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    segment(phantom_files.scan, "-o", out, "--force", "--probabilities")
    assert (out / "sub-01_seg-deepnat25_probseg.nii.gz").exists()
    assert segment(phantom_files.scan, "-o", out, "--force", "--overwrite").exit_code == 0
    assert names_in(out) == ["notes.txt", *OUTPUTS]


def test_probabilities_sum_to_one_and_agree_with_the_labels(segment, phantom_files, tmp_path: Path):
    segment(phantom_files.scan, "-o", tmp_path, "--force", "--probabilities")
    values = np.asarray(nibabel.load(tmp_path / "sub-01_seg-deepnat25_probseg.nii.gz").dataobj)
    ids = np.asarray(nibabel.load(tmp_path / "sub-01_seg-deepnat25_dseg.nii.gz").dataobj)
    scheme = load_scheme("deepnat25")
    assert values.shape == (40, 48, 56, 26)
    np.testing.assert_allclose(values.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(np.array(scheme.ids)[values.argmax(-1)], ids)
    sidecar = json.loads((tmp_path / "sub-01_seg-deepnat25_probseg.json").read_text())
    assert sidecar["LabelMap"] == list(scheme.names)


def test_the_report_shows_the_result_and_can_be_left_out(segment, phantom_files, tmp_path: Path):
    assert segment(phantom_files.scan, "-o", tmp_path / "out", "--force").exit_code == 0
    page = (tmp_path / "out" / "sub-01.html").read_text()
    assert "<h1>sub-01</h1>" in page
    assert "forced: brain mask of 35 ml" in page
    assert json.loads((tmp_path / "out" / "sub-01_seg-deepnat25_dseg.json").read_text())["Models"][0]["SHA256"] in page
    for options, expected in ((("--no-report", "--overwrite"), False), (("--overwrite",), True)):
        assert segment(phantom_files.scan, "-o", tmp_path / "out", "--force", *options).exit_code == 0
        assert (tmp_path / "out" / "sub-01.html").exists() is expected


def test_the_report_on_the_working_grid_of_an_anisotropic_scan(segment, phantom_files, tmp_path: Path):
    image = nibabel.load(phantom_files.scan)
    thick = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine @ np.diag([1, 3, 2, 1]))
    nibabel.save(thick, tmp_path / "thick.nii.gz")
    for space in ("native", "working"):
        done = segment(tmp_path / "thick.nii.gz", "-o", tmp_path / space, "--force", "--space", space)
        assert done.exit_code == 0, done.stderr
    native, working = ((tmp_path / space / "thick.html").read_text() for space in ("native", "working"))
    assert "<dd>1 × 3 × 2<small> mm</small></dd>" in native
    assert "<dd>1 × 1 × 1<small> mm</small></dd>" in working


def test_confidence_stands_in_table_sidecar_json_and_reasons(
    run, phantom_files, untrained_model: Model, tmp_path: Path
):
    # the stand-in for the networks gives 0.8 to the class it chooses, all classes as many voxels: 2 * 0.8 / (1 + 1);
    # half the logit of that is the logit of 2 / 3
    known = Calibration(offset=0.0, expected=0.5, size=0.0, usual={"17": 0.95, "53": 0.85})
    card = replace(untrained_model.card, confidence={"deepnat25": known})
    save_model(replace(untrained_model, card=card), tmp_path / "model")
    options = ("--no-crf", "--keep-islands", "--force", "--device", "cpu", "--quiet", "--json")
    done = run("segment", phantom_files.scan, "-o", tmp_path / "out", "--model", tmp_path / "model", *options)
    (told,) = json.loads(done.stdout)["scans"]
    confidence = told["confidence"]["deepnat25"]
    assert len(confidence) == 25
    np.testing.assert_allclose(list(confidence.values()), 2 / 3, atol=2e-3)  # not all 26 classes have the same size
    assert [reason for reason in told["reasons"] if "low confidence" in reason] == [
        "low confidence in Left-Hippocampus (0.67, usually 0.95)"
    ]
    rows = (tmp_path / "out" / "sub-01_seg-deepnat25_volumes.tsv").read_text().splitlines()
    (row,) = (row.split("\t") for row in rows if row.startswith("17\t"))
    assert "review: low confidence in Left-Hippocampus" in row[5]
    assert float(row[6]) == confidence["Left-Hippocampus"]
    sidecar = json.loads((tmp_path / "out" / "sub-01_seg-deepnat25_dseg.json").read_text())
    assert sidecar["Confidence"] == confidence
    assert sidecar["TemplateUsed"] is False
    assert "confidence" in (tmp_path / "out" / "sub-01.html").read_text().lower()


def test_a_mistake_in_the_report_costs_no_labels(segment, phantom_files, tmp_path: Path, monkeypatch):
    def bug(*_arguments):
        raise ZeroDivisionError("bug")

    with monkeypatch.context() as broken:
        broken.setattr("neuronat.pipeline.report.render_page", bug)
        done = segment(phantom_files.scan, "-o", tmp_path / "out", "--force", "--json")
    assert done.exit_code == 1
    assert "labels are whole, but no report (our mistake (ZeroDivisionError: bug)" in done.stderr
    told = json.loads(done.stdout)["scans"][0]
    assert (told["state"], told["exit_code"]) == ("done", 1)
    assert names_in(tmp_path / "out") == [name for name in OUTPUTS if name != "sub-01.html"]
    refused = segment(phantom_files.scan, "-o", tmp_path / "out", "--force", "--keep-islands")
    assert (refused.exit_code, "settings keeps_islands: False there, True wanted" in refused.stderr) == (2, True)
    assert segment(phantom_files.scan, "-o", tmp_path / "out", "--force").exit_code == 0
    assert names_in(tmp_path / "out") == OUTPUTS


def test_mgz_and_the_working_grid_can_be_asked_for(segment, phantom_files, tmp_path: Path):
    image = nibabel.load(phantom_files.scan)
    turned = nibabel.as_closest_canonical(image).as_reoriented([[2, -1], [0, 1], [1, 1]])
    scan = tmp_path / "turned.nii.gz"
    nibabel.save(turned, scan)
    out = tmp_path / "out"
    assert segment(scan, "-o", out, "--force", "--space", "working", "--format", "mgz").exit_code == 0
    labels = nibabel.load(out / "turned_seg-deepnat25_dseg.mgz")
    assert nibabel.aff2axcodes(labels.affine) == ("R", "A", "S")
    assert labels.shape == (40, 48, 56)


def test_the_phantom_is_no_brain_without_force(segment, phantom_files, tmp_path: Path):
    for options in ((), ("--mask", phantom_files.mask), ("--stripped", "yes")):
        done = segment(phantom_files.scan, "-o", tmp_path / "out", *options)
        assert (done.exit_code, done.stderr.count("\n")) == (65, 1)
        assert "35 ml" in done.stderr
        assert not (tmp_path / "out").exists()


def test_a_given_mask_decides_where_labels_are(segment, phantom_files, tmp_path: Path):
    image = nibabel.load(phantom_files.mask)
    half = np.asarray(image.dataobj).copy()
    half[20:] = 0
    nibabel.save(nibabel.Nifti1Image(half, image.affine), tmp_path / "half.nii.gz")
    done = segment(phantom_files.scan, "-o", tmp_path / "out", "--mask", tmp_path / "half.nii.gz", "--force")
    assert done.exit_code == 0
    ids = np.asarray(nibabel.load(tmp_path / "out" / "sub-01_seg-deepnat25_dseg.nii.gz").dataobj)
    np.testing.assert_array_equal(ids[half == 0], 0)
    assert (ids[half > 0] > 0).mean() > 0.9


def test_json_tells_everything_about_every_scan(segment, phantom_files, tmp_path: Path):
    done = segment(phantom_files.scan, tmp_path / "none.nii", "-o", tmp_path / "out", "--force", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["exit_code"]) == (1, 1)
    first, second = told["scans"]
    assert (first["state"], second["state"]) == ("done", "failed")
    assert first["outputs"] == sorted(OUTPUTS, key=lambda name: ("done" in name, name.startswith("seg"), name))
    assert first["volumes_mm3"]["deepnat25"]["Brain-Stem"] > 0
    assert (second["exit_code"], second["scan"]) == (66, "none.nii")
    assert second["message"].startswith("none.nii: not found")


def test_a_failed_scan_stops_no_other(segment, phantom_files, tmp_path: Path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(phantom_files.scan.read_bytes()[:5000])
    done = segment(broken, phantom_files.scan, "-o", tmp_path / "out", "--force")
    assert done.exit_code == 1
    assert done.stderr.startswith("neuronat: broken.nii.gz: ")
    assert names_in(tmp_path / "out") == OUTPUTS


def test_row_46_scans_that_would_share_a_name_are_refused_before_the_start(segment, phantom_files, tmp_path: Path):
    twin = tmp_path / "sub-01_T1w.nii.gz"
    shutil.copy(phantom_files.scan, twin)
    done = segment(phantom_files.scan, twin, "-o", tmp_path / "out", "--force")
    assert done.exit_code == 2
    assert done.stderr == (
        "neuronat: sub-01_desc-brain_T1w.nii.gz, sub-01_T1w.nii.gz: their outputs would share the name sub-01; "
        "use folders of their own\n"
    )
    assert not (tmp_path / "out").exists()


def test_row_47_an_input_is_never_replaced(segment, phantom_files, tmp_path: Path):
    mask = tmp_path / "sub-01_desc-brain_mask.nii.gz"
    shutil.copy(phantom_files.mask, mask)
    done = segment(phantom_files.scan, "-o", tmp_path, "--mask", mask, "--force")
    assert done.exit_code == 2
    assert "is in the output folder and could be replaced" in done.stderr
    assert names_in(tmp_path) == [mask.name]


def test_one_mask_cannot_serve_two_scans(segment, phantom_files, tmp_path: Path):
    done = segment(phantom_files.scan, tmp_path / "b.nii", "-o", tmp_path / "out", "--mask", phantom_files.mask)
    assert (done.exit_code, "one mask cannot serve 2 scans" in done.stderr) == (2, True)


def test_an_unknown_protocol_lists_the_known_ones(segment, phantom_files, tmp_path: Path):
    done = segment(phantom_files.scan, "-o", tmp_path / "out", "--protocol", "brodmann")
    expected = "neuronat: protocol brodmann is not known; the models offer deepnat25\n"
    assert (done.exit_code, done.stderr) == (2, expected)


def test_an_unusable_model_or_device_gets_69_before_anything_is_written(run, phantom_files, untrained_folder, tmp_path):
    damaged = Path(shutil.copytree(untrained_folder, tmp_path / "damaged"))
    (damaged / "card.json").write_text("{}")
    for options, reason in (
        (("--model", "nosuch"), "model 'nosuch' is not known"),
        (("--model", damaged), "card.json is damaged, its sha256 differs"),
        (("--model", untrained_folder, "--device", "cuda:7"), "device cuda:7 is not there"),
    ):
        done = run("segment", phantom_files.scan, "-o", tmp_path / "out", "--force", *options)
        assert (done.exit_code, done.stderr.count("\n")) == (69, 1)
        assert reason in done.stderr
        assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_written_gets_73(segment, phantom_files, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        done = segment(phantom_files.scan, "-o", out, "--force")
        assert (done.exit_code, done.stderr.count("\n")) == (73, 1)
    assert names_in(tmp_path) == ["file"]


def test_a_folder_in_the_place_of_a_file_gets_73_and_no_file_is_moved(segment, phantom_files, tmp_path: Path):
    taken = tmp_path / "sub-01_seg-deepnat25_volumes.tsv"
    taken.mkdir()
    done = segment(phantom_files.scan, "-o", tmp_path, "--force")
    assert (done.exit_code, done.stderr.count("\n")) == (73, 1)
    assert f"{taken.name}: is a folder where a file is to be written; move it, or choose another" in done.stderr
    assert names_in(tmp_path) == ["seg-deepnat25_dseg.tsv", taken.name]  # the table is that of all scans


def test_a_full_disk_gets_73_and_leaves_nothing(segment, phantom_files, tmp_path: Path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("neuronat.pipeline.outputs.write_label_map", full)
    done = segment(phantom_files.scan, "-o", tmp_path / "new" / "out", "--force")
    assert (done.exit_code, done.stderr.count("\n")) == (73, 1)
    assert "No space left on device" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_bug_in_one_scan_leaves_nothing_and_stops_no_other(segment, phantom_files, tmp_path: Path, monkeypatch):
    def bug(*_arguments, **_options):
        raise ZeroDivisionError("bug")

    monkeypatch.setattr("neuronat.pipeline.outputs.volumes_table", bug)
    done = segment(phantom_files.scan, "-o", tmp_path / "out", "--force")
    assert done.exit_code == 70
    assert "our mistake (ZeroDivisionError: bug)" in done.stderr
    assert not (tmp_path / "out").exists()


def test_row_45_strange_file_names_work(segment, phantom_files, tmp_path: Path):
    for name in ("-v.nii.gz", 'ein Kopf mit Ümläuten & "quotes".nii.gz', "two\nlines.nii.gz"):
        shutil.copy(phantom_files.scan, tmp_path / name)
        done = segment(tmp_path / name, "-o", tmp_path / "out", "--force")
        assert done.exit_code == 0, done.stderr
        stem = name.removesuffix(".nii.gz")
        assert (tmp_path / "out" / f"{stem}_seg-deepnat25_dseg.nii.gz").is_file()


def test_progress_goes_to_stderr_in_plain_lines(run, phantom_files, untrained_folder, tmp_path: Path):
    done = run(
        "segment", phantom_files.scan, "-o", tmp_path / "out", "--model", untrained_folder, "--force", "--no-crf"
    )
    steps = [line.split(": ")[1] for line in done.stderr.splitlines() if line.endswith("%")]
    assert steps[0] == "preparing"
    assert steps[-1] == "measuring"
    assert "coordinates" in steps
    assert done.stdout.count("\n") == 1


def test_files_for_other_tools_come_on_request(segment, phantom_files, tmp_path: Path):
    options = ("--stats", "--luts", "--freesurfer-ids", "--format", "mgz")
    assert segment(phantom_files.scan, "-o", tmp_path / "out", "--force", *options).exit_code == 0
    luts = [f"seg-deepnat25_{name}" for name in ("freeview.txt", "fsleyes.lut", "itksnap.label")]
    images = {name.replace(".nii.gz", ".mgz") for name in OUTPUTS}
    assert set(names_in(tmp_path / "out")) == {*images, *luts, "sub-01_seg-deepnat25_aseg.stats"}
    marker = json.loads((tmp_path / "out" / "sub-01_done.json").read_text())
    assert set(marker["outputs"]) == {*images, *luts, "sub-01_seg-deepnat25_aseg.stats"} - {"sub-01_done.json"}
    stats = (tmp_path / "out" / "sub-01_seg-deepnat25_aseg.stats").read_text()
    ids = np.asarray(nibabel.load(tmp_path / "out" / "sub-01_seg-deepnat25_dseg.mgz").dataobj)
    row = next(line.split() for line in stats.splitlines() if "Brain-Stem" in line)
    assert row[1:3] == ["16", str((ids == 16).sum())]
    assert "# SegVolFile sub-01_seg-deepnat25_dseg.mgz" in stats
    assert segment(phantom_files.scan, "-o", tmp_path / "out", "--force", *options).stdout.startswith("sub-01: already")


def test_other_ids_are_written_in_freesurfers_as_well(segment, phantom_files, twin_folder: Path, tmp_path: Path):
    options = ("--model", twin_folder, "--freesurfer-ids", "--probabilities")
    done = segment(phantom_files.scan, "-o", tmp_path / "out", "--force", *options)
    assert done.exit_code == 0, done.stderr
    own, free = (
        np.asarray(nibabel.load(tmp_path / "out" / f"sub-01_seg-{protocol}_dseg.nii.gz").dataobj)
        for protocol in ("twin", "twinfreesurfer")
    )
    np.testing.assert_array_equal(free, np.where(own > 0, own.astype(int) - 100, 0))
    assert "17\tLeft-Hippocampus" in (tmp_path / "out" / "seg-twinfreesurfer_dseg.tsv").read_text()
    assert not [name for name in names_in(tmp_path / "out") if "deepnat25freesurfer" in name]
    volumes, others = (
        (tmp_path / "out" / f"sub-01_seg-{protocol}_volumes.tsv").read_text().splitlines()
        for protocol in ("twin", "twinfreesurfer")
    )
    assert len(others) == len(volumes), "no row of a structure that the protocol has nothing for, such as CC_Central"


@pytest.fixture
def twin_folder(untrained_model: Model, tmp_path: Path) -> Path:
    """The untrained model once more, under another name, in a protocol whose ids are those of deepnat25 plus 100."""
    scheme = untrained_model.schemes["deepnat25"]
    new = {index: index + 100 if index else 0 for index in scheme.ids}
    twin = replace(
        scheme,
        name="twin",
        ids=tuple(new.values()),
        partners=tuple(new[partner] for partner in scheme.partners),
        mappings={"deepnat25": {there: here for here, there in new.items()}},
    )
    card = replace(untrained_model.card, name="twin", schemes=("twin",))
    save_model(Model(card, untrained_model.networks, {"twin": twin}), tmp_path / "twin")
    return tmp_path / "twin"


def test_two_protocols_are_compared(segment, phantom_files, twin_folder: Path, tmp_path: Path):
    options = ("--model", twin_folder, "--keep-islands", "--json")
    done = segment(phantom_files.scan, "-o", tmp_path / "out", "--force", *options)
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)["scans"][0]
    assert told["agreement"]["MeanDice"] == {"deepnat25": 1.0, "twin": 1.0}
    assert any(reason.startswith("twin: brain tissue of") for reason in told["reasons"])
    names = ["sub-01_agreement.tsv", "sub-01_desc-agreement_map.json", "sub-01_desc-agreement_map.nii.gz"]
    assert set(names) <= set(told["outputs"])
    assert set(names) <= set(json.loads((tmp_path / "out" / "sub-01_done.json").read_text())["outputs"])
    image = nibabel.load(tmp_path / "out" / names[2])
    np.testing.assert_array_equal(image.affine, nibabel.load(phantom_files.scan).affine)
    np.testing.assert_array_equal(np.asarray(image.dataobj), 1)
    page = (tmp_path / "out" / "sub-01.html").read_text()
    assert "Agreement between protocols" in page
    assert "<h2>Volumes, twin</h2>" in page
    # without the twin the comparison goes
    assert segment(phantom_files.scan, "-o", tmp_path / "out", "--force", "--overwrite").exit_code == 0
    assert [name for name in names_in(tmp_path / "out") if "agreement" in name] == []


def test_ways_that_contradict_are_refused(run, phantom_files, tmp_path: Path):
    both = run("segment", phantom_files.scan, "-o", tmp_path / "out", "--fast", "--best")
    assert (both.exit_code, both.stderr) == (2, "neuronat: --fast and --best contradict each other; leave one out\n")
    named = run("segment", phantom_files.scan, "-o", tmp_path / "out", "--fast", "--model", "deepnat")
    assert named.exit_code == 2
    assert "the fast way chooses the model itself; leave out the model or --fast" in named.stderr
    assert not (tmp_path / "out").exists()


def test_the_way_stands_in_the_sidecar(segment, phantom_files, tmp_path: Path):
    assert segment(phantom_files.scan, "-o", tmp_path / "out", "--force", "--best").exit_code == 0
    sidecar = json.loads((tmp_path / "out" / "sub-01_seg-deepnat25_dseg.json").read_text(encoding="utf-8"))
    assert sidecar["Settings"]["effort"] == "best"
