import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import ConfigError, UnavailableError, UnusableInputError, UsageError
from neuronat.labels import load_scheme
from neuronat.phantom import make_phantom
from neuronat.pipeline import atlases, baseline, baseline_plan
from neuronat.pipeline.atlases import AtlasConfig
from neuronat.pipeline.baseline import label_by_atlases
from neuronat.pipeline.baseline_plan import BaselineConfig
from neuronat.pipeline.settings import SegmentConfig
from neuronat.prepare.joint import JointConfig, majority_classes
from neuronat.prepare.staple import StapleConfig
from neuronat.space.files import read_label_map, read_volume, write_label_map, write_mask, write_volume
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import LabelMap

FORCED = SegmentConfig(force=True, n_threads=1)
ENDINGS = ("_desc-brain_T1w.nii.gz", "_desc-brain_mask.nii.gz", "_seg-deepnat25_dseg.nii.gz")
AFFINE = np.array([[-1.0, 0, 0, 20], [0, 0, 1, -18], [0, 1, 0, -25], [0, 0, 0, 1]])  # LSA: permuted and flipped


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four scans alike; in the label map of each another structure is missing."""
    made = tmp_path_factory.mktemp("atlases")
    for number, missing in enumerate((-1, 10, 17, 49)):
        volume, labels, mask = make_phantom(affine=AFFINE)
        ids = np.where(labels.ids == missing, 2, labels.ids)
        scan, beside, named = (made / f"sub-0{number}" / f"sub-0{number}{ending}" for ending in ENDINGS)
        scan.parent.mkdir()
        shaded = replace(volume, values=np.where(mask, volume.values + number, 0).astype(np.float32))
        write_volume(scan, shaded)
        write_mask(beside, mask, volume.affine)
        write_label_map(named, LabelMap(ids, labels.affine, labels.scheme))
    return made


@pytest.fixture
def jlf(folder) -> BaselineConfig:
    where = AtlasConfig(folder=folder, scans=f"**/*{ENDINGS[0]}", mask_ending=ENDINGS[1], label_ending=ENDINGS[2])
    return BaselineConfig(method="jlf", atlases=where, scheme="deepnat25")


@pytest.fixture
def scan(folder) -> Path:
    return folder / "sub-00" / f"sub-00{ENDINGS[0]}"


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[str]:
    """Nothing needs antspyx: atlases lie on the scan already, and the majority stands for the joint fusion."""
    done = []

    def act(function, *arguments, n_threads):
        assert n_threads == 1
        done.append(function.__name__)
        return function(*arguments)

    def fuse_jointly(_intensities, mask, grey, classes, config):
        assert grey.shape == classes.shape
        assert config == JointConfig(search_reach_vox=2)
        return np.where(mask, majority_classes(classes), 0).astype(np.uint8)

    def register_atlas(_target, atlas, ids, _quality):
        return atlas, ids.astype(np.int16)

    for module in (atlases, baseline):
        monkeypatch.setattr(module, "run_apart", act)
    for module in (atlases, baseline_plan):
        monkeypatch.setattr(module, "version", lambda name: f"1 of {name}")
    monkeypatch.setattr(baseline_plan, "require_package", lambda *_: None)
    monkeypatch.setattr(baseline, "fuse_jointly", fuse_jointly)
    monkeypatch.setattr(atlases, "register_atlas", register_atlas)
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))
    return done


@pytest.mark.parametrize("method", ["jlf", "staple"])
def test_a_label_map_is_named_as_segment_names_it_and_lies_on_the_scans_own_grid(method, jlf, scan, folder, tmp_path):
    outcome = label_by_atlases(scan, tmp_path, replace(jlf, method=method), FORCED)
    assert (outcome.stem, outcome.folder, outcome.n_atlases, outcome.is_new) == ("sub-00", tmp_path / method, 3, True)
    assert sorted(path.name for path in outcome.folder.iterdir()) == [
        "seg-deepnat25_dseg.tsv",
        "sub-00_done.json",
        "sub-00_seg-deepnat25_dseg.json",
        "sub-00_seg-deepnat25_dseg.nii.gz",
        "sub-00_seg-deepnat25_volumes.tsv",
    ]
    found = read_label_map(tmp_path / method / outcome.outputs[0], load_scheme("deepnat25"))
    truth = read_label_map(folder / "sub-00" / f"sub-00{ENDINGS[2]}", load_scheme("deepnat25"))
    np.testing.assert_array_equal(found.affine, read_volume(scan).volume.affine)
    np.testing.assert_array_equal(found.ids, truth.ids)  # what one atlas lacks, the two others have


def test_both_methods_share_registrations_and_what_is_done_is_not_done_again(jlf, scan, asked, tmp_path):
    assert label_by_atlases(scan, tmp_path, jlf, FORCED).is_new
    assert asked == ["register_atlas"] * 3 + ["fuse_jointly"]
    staple = replace(jlf, method="staple")
    assert label_by_atlases(scan, tmp_path, staple, FORCED).is_new
    assert len(asked) == 4
    again = label_by_atlases(scan, tmp_path, staple, FORCED)
    assert (again.is_new, again.outputs[1:]) == (False, label_by_atlases(scan, tmp_path, jlf, FORCED).outputs[1:])
    (tmp_path / "staple" / "sub-00_seg-deepnat25_volumes.tsv").unlink()
    assert label_by_atlases(scan, tmp_path, staple, FORCED).is_new


def test_another_result_is_refused_unless_it_may_be_overwritten(jlf, scan, tmp_path):
    label_by_atlases(scan, tmp_path, jlf, FORCED)
    fewer = replace(jlf, atlases=replace(jlf.atlases, most=2))
    with pytest.raises(UsageError, match=r"holds another jlf of sub-00 \(inputs atlas sub-03: .*; use --overwrite"):
        label_by_atlases(scan, tmp_path, fewer, FORCED)
    assert label_by_atlases(scan, tmp_path, fewer, replace(FORCED, overwrite=True)).n_atlases == 2


def test_the_sidecar_names_atlases_tools_settings_and_seconds(jlf, scan, tmp_path):
    label_by_atlases(scan, tmp_path, jlf, FORCED)
    text = (tmp_path / "jlf" / "sub-00_seg-deepnat25_dseg.json").read_text(encoding="utf-8")
    sidecar = json.loads(text)
    assert [atlas["Name"] for atlas in sidecar["Atlases"]] == ["sub-01", "sub-02", "sub-03"]
    assert all(atlas["Seconds"] >= 0 and atlas["CpuSeconds"] >= 0 for atlas in sidecar["Atlases"])
    assert sidecar["RegistrationSeconds"] == pytest.approx(sum(a["Seconds"] for a in sidecar["Atlases"]), abs=0.02)
    assert sidecar["FusionSeconds"] >= 0
    assert sidecar["Method"]["Title"].endswith("without corrective learning")
    assert sidecar["Method"]["Settings"]["search_reach_vox"] == 2
    assert sidecar["Registration"] == "antsRegistrationSyNQuickRepro[s]"
    assert [maker["Name"] for maker in sidecar["GeneratedBy"]] == ["neuronat", "antspyx", "SimpleITK"]
    assert (sidecar["AtlasScheme"], sidecar["Threads"]) == ("deepnat25", 1)
    assert str(tmp_path) not in text


def test_a_failure_leaves_registrations_alone(jlf, scan, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(baseline, "fuse_by_staple", fail)
    with pytest.raises(RuntimeError, match="no"):
        label_by_atlases(scan, tmp_path, replace(jlf, method="staple"), FORCED)
    assert list((tmp_path / "staple").iterdir()) == []
    assert len(list((tmp_path / "registrations").iterdir())) == 3


def test_a_fine_scheme_is_fused_in_the_protocol_asked_for(jlf, scan, tmp_path):
    with pytest.raises(UsageError, match="scheme deepnat25 has no mapping to malpem; --protocol can be deepnat25"):
        label_by_atlases(scan, tmp_path, replace(jlf, protocol="malpem"), FORCED)
    with pytest.raises(UsageError, match=r"scheme brains is not known; known are atropos, brain, .*or give a table"):
        label_by_atlases(scan, tmp_path, replace(jlf, scheme="brains"), FORCED)
    assert not (tmp_path / "jlf").exists()


def test_what_cannot_be_used_is_refused(jlf, scan, tmp_path, monkeypatch):
    with pytest.raises(UnusableInputError, match=r"^sub-00_desc-brain_T1w.nii.gz: .*brain"):
        label_by_atlases(scan, tmp_path, jlf, replace(FORCED, force=False, reading=ReadOptions()))
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(
        UnavailableError, match=r"^baseline jlf needs the package antspyx \(.*ants.*\); install it with"
    ):
        label_by_atlases(scan, tmp_path / "new", jlf, FORCED)
    assert not (tmp_path / "new").exists()


def test_the_full_quality_searches_as_far_as_published(jlf):
    full = replace(jlf, atlases=replace(jlf.atlases, quality="full"))
    assert (jlf.fusion, full.fusion) == (JointConfig(search_reach_vox=2), JointConfig())
    assert replace(full, method="staple").fusion == StapleConfig()
    with pytest.raises(ConfigError, match="method must be one of jlf, staple; got 'vote'"):
        replace(jlf, method="vote")
