import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neuronat.phantom import make_phantom
from neuronat.pipeline import atlases, baseline
from neuronat.pipeline.baseline_plan import METHODS
from neuronat.prepare.registration import QUALITIES
from neuronat.space.files import write_label_map, write_mask, write_volume

OPTIONS = ("--scheme", "deepnat25", "--force", "--quiet", "--threads", "1")


@pytest.fixture
def places(tmp_path):
    """Three scans with labels."""
    volume, labels, mask = make_phantom()
    for name in ("sub-00", "sub-01", "sub-02"):
        folder = tmp_path / "in" / name
        folder.mkdir(parents=True)
        write_volume(folder / f"{name}_desc-brain_T1w.nii.gz", volume)
        write_mask(folder / f"{name}_desc-brain_mask.nii.gz", mask, volume.affine)
        write_label_map(folder / f"{name}_seg-deepnat25_dseg.nii.gz", labels)
        volume.values[mask] += 1
    return SimpleNamespace(
        scan=tmp_path / "in" / "sub-00" / "sub-00_desc-brain_T1w.nii.gz", atlases=tmp_path / "in", out=tmp_path / "out"
    )


@pytest.fixture
def swift(monkeypatch):
    """Atlases lie on the scan already."""
    monkeypatch.setattr(atlases, "run_apart", lambda _function, _target, grey, ids, _quality, **_: (grey, ids))
    for module in ("baseline_plan", "atlases"):
        monkeypatch.setattr(f"neuronat.pipeline.{module}.version", lambda _: "1")
    monkeypatch.setattr("neuronat.pipeline.baseline_plan.require_package", lambda *_: None)
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))


@pytest.mark.usefixtures("swift")
def test_baseline_says_one_line_and_evaluate_scores_its_label_map(run, places, tmp_path):
    arguments = ("baseline", "staple", places.scan, "--atlases", places.atlases, "-o", places.out, *OPTIONS)
    done = run(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    label_map = places.out / "staple" / "sub-00_seg-deepnat25_dseg.nii.gz"
    assert done.stdout.startswith("sub-00: staple of 2 atlases, 0 s to register and ")
    assert done.stdout.endswith(f" s to fuse, {label_map}\n")
    again = run(*arguments)
    assert (again.exit_code, again.stdout) == (0, f"sub-00: already done and verified in {places.out / 'staple'}\n")
    scored = run("evaluate", places.out / "staple", places.scan.parent, "-o", tmp_path / "table.tsv")
    assert (scored.exit_code, scored.stderr) == (0, "")
    assert "mean Dice 1.000" in scored.stdout


@pytest.mark.usefixtures("swift")
def test_each_mistake_has_its_exit_code_and_one_line(run, places):
    def code(*arguments, where=places.atlases):
        done = run("baseline", "jlf", *arguments, "--atlases", where, "-o", places.out, *OPTIONS)
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("neuronat: ")
        return done.exit_code

    assert code(places.out / "nowhere.nii.gz") == 66
    assert code(places.scan, where=places.out / "nowhere") == 66
    assert code(places.scan, "--scans", "*.mgz") == 66
    assert code(places.scan, "--label-ending", "_other.nii") == 66
    assert code(places.scan, "--leave-out", "sub-09") == 2
    assert code(places.scan, "--leave-out", "sub-01") == 2
    assert code(places.scan, "--atlas-count", "1") == 2
    assert code(places.scan, "--protocol", "nonsense") == 2
    (places.out.parent / "raw.nii.gz").write_bytes(b"nothing")
    assert code(places.out.parent / "raw.nii.gz") == 65
    assert not places.out.exists() or not list(places.out.rglob("*_dseg*"))


def test_a_missing_package_is_one_line_and_69(run, places, monkeypatch):
    monkeypatch.setitem(sys.modules, "ants", None)
    done = run("baseline", "jlf", places.scan, "--atlases", places.atlases, "-o", places.out, *OPTIONS)
    assert done.exit_code == 69
    assert done.stderr.startswith("neuronat: baseline jlf needs the package antspyx (")
    assert done.stderr.endswith("); install it with: pip install 'neuronat[tools]'\n")
    assert done.stderr.count("\n") == 1


def test_the_command_offers_the_methods_and_qualities_that_there_are(run):
    said = run("baseline", "--help").stdout
    assert f"{{{'|'.join(METHODS)}}}" in said
    assert f"[{'|'.join(QUALITIES)}]" in said
    assert "without the corrective learning" in said
    assert baseline.__all__


@pytest.mark.slow
def test_real_registrations_and_a_real_fusion_find_atlases_that_lie_elsewhere(run, places, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("ants", reason="antspyx of the extra tools is not installed")
    volume, labels, mask = make_phantom()
    for name, shift in (("sub-01", (2, -1, 1)), ("sub-02", (-1, 2, 0))):
        start = places.atlases / name / name
        write_volume(
            Path(f"{start}_desc-brain_T1w.nii.gz"), replace(volume, values=np.roll(volume.values, shift, (0, 1, 2)))
        )
        write_mask(Path(f"{start}_desc-brain_mask.nii.gz"), np.roll(mask, shift, (0, 1, 2)), volume.affine)
        moved = replace(labels, ids=np.roll(labels.ids, shift, (0, 1, 2)))
        write_label_map(Path(f"{start}_seg-deepnat25_dseg.nii.gz"), moved)
    for method in METHODS:
        done = run("baseline", method, places.scan, "--atlases", places.atlases, "-o", places.out, *OPTIONS)
        assert (done.exit_code, done.stderr) == (0, "")
        run("evaluate", places.out / method, places.scan.parent, "-o", tmp_path / "table.tsv")
        rows = (tmp_path / "table.tsv").read_text(encoding="utf-8").splitlines()[1:]
        assert np.mean([float(row.split("\t")[3]) for row in rows]) > 0.97  # a shift by whole voxels can be undone
    assert len(list((places.out / "registrations").iterdir())) == 2
