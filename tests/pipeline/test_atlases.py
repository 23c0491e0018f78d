from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import ConfigError, MissingInputError, UnusableInputError, UsageError
from neuronat.labels import load_scheme
from neuronat.phantom import make_phantom
from neuronat.pipeline import atlases as module
from neuronat.pipeline.atlases import AtlasConfig, Target, choose_atlases, register_atlases
from neuronat.prepare.scan import prepare_scan
from neuronat.record import sha256_of
from neuronat.space.files import write_label_map, write_mask, write_volume

ENDINGS = ("_desc-brain_T1w.nii.gz", "_desc-brain_mask.nii.gz", "_seg-deepnat25_dseg.nii.gz")


def write_atlas(folder: Path, name: str, seed: int) -> Path:
    volume, labels, mask = make_phantom(rng=np.random.default_rng(seed))
    scan, beside, named = (folder / name / f"{name}{ending}" for ending in ENDINGS)
    scan.parent.mkdir(parents=True)
    write_volume(scan, volume)
    write_mask(beside, mask, volume.affine)
    write_label_map(named, labels)
    return scan


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("atlases")
    for number in range(4):
        write_atlas(made, f"sub-0{number}", number)
    return made


@pytest.fixture
def config(folder) -> AtlasConfig:
    return AtlasConfig(folder=folder, scans=f"**/*{ENDINGS[0]}", mask_ending=ENDINGS[1], label_ending=ENDINGS[2])


def names(config, stem="other", sha256=""):
    return [atlas.files.name for atlas in choose_atlases(config, stem, sha256)]


def test_all_but_the_scan_itself_are_atlases_whatever_it_is_called(config, folder):
    assert names(config) == ["sub-00", "sub-01", "sub-02", "sub-03"]
    assert names(config, "sub-02") == ["sub-00", "sub-01", "sub-03"]
    same = sha256_of(folder / "sub-01" / f"sub-01{ENDINGS[0]}")
    assert names(config, "renamed", same) == ["sub-00", "sub-02", "sub-03"]
    assert names(replace(config, most=2, leave_out=("sub-01",))) == ["sub-00", "sub-02"]


def test_what_cannot_be_chosen_is_said(config, tmp_path):
    with pytest.raises(UsageError, match=r"--leave-out sub-7, sub-8: no such atlas in .*; there are sub-00, sub-01"):
        names(replace(config, leave_out=("sub-8", "sub-7")))
    with pytest.raises(UsageError, match="1 atlases are left beside the scan itself; at least 2 are needed"):
        names(replace(config, leave_out=("sub-00", "sub-01")), "sub-02")
    with pytest.raises(UsageError, match=r"'/data/\*': is no pattern of names in a folder"):
        names(replace(config, scans="/data/*"))
    with pytest.raises(MissingInputError, match="nowhere: folder of atlases not found; check the path"):
        names(replace(config, folder=tmp_path / "nowhere"))
    with pytest.raises(MissingInputError, match=r"no scans match \*\.mgz"):
        names(replace(config, scans="*.mgz"))
    with pytest.raises(MissingInputError, match=r"sub-00_other.nii not found beside it; a labelled scan needs it"):
        names(replace(config, label_ending="_other.nii"))
    with pytest.raises(ConfigError, match="number of atlases must be at least 2; got 1"):
        replace(config, most=1)
    with pytest.raises(ConfigError, match="quality must be one of fast, full; got 'best'"):
        replace(config, quality="best")


@pytest.fixture
def registered(monkeypatch) -> list[str]:
    """No registration, but a list of those that were asked for; arrays come back as they are."""
    asked = []

    def register(function, target, atlas, ids, quality, *, n_threads):
        assert function is module.register_atlas
        assert n_threads == 2
        asked.append(quality)
        return np.resize(atlas, target.shape).astype(np.float32), np.resize(ids, target.shape).astype(np.int16)

    monkeypatch.setattr(module, "run_apart", register)
    monkeypatch.setattr(module, "version", lambda _: "1.2")
    monkeypatch.setattr("neuronat.prepare.bias._estimate_log_field", lambda values, _: np.zeros_like(values))
    return asked


@pytest.fixture
def target(registered) -> Target:  # noqa: ARG001
    volume, _, mask = make_phantom()
    return Target("scan", prepare_scan(volume, mask), {"scan": "abc"}, 2)


def run(target, config, out, seen=lambda *_: None):
    atlases = choose_atlases(config, "sub-00", "")
    return register_atlases(target, atlases, load_scheme("deepnat25"), quality=config.quality, out=out, progress=seen)


def test_registrations_are_kept_and_used_again(target, config, registered, tmp_path):
    seen = []
    first = run(target, config, tmp_path, lambda step, done: seen.append((step, round(done, 2))))
    assert seen == [(f"registering sub-0{n} ({n} of 3)", round((n - 1) / 3, 2)) for n in (1, 2, 3)]
    kept = sorted(path.name for path in (tmp_path / "registrations").iterdir())
    assert [name[:20] for name in kept] == [f"scan_from-sub-0{n}_{kept[n - 1][17:20]}" for n in (1, 2, 3)]
    again = run(target, config, tmp_path)
    assert registered == ["fast"] * 3
    assert [atlas.name for atlas in again] == ["sub-01", "sub-02", "sub-03"]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.grey, other.grey)
        np.testing.assert_array_equal(one.ids, other.ids)
        assert (one.seconds, one.cpu_seconds) == (other.seconds, other.cpu_seconds)
        assert one.seconds > 0
    assert set(np.unique(first[0].ids)) == set(load_scheme("deepnat25").ids)


def test_a_damaged_file_is_made_anew_and_so_is_what_depends_on_something_else(target, config, registered, tmp_path):
    run(target, config, tmp_path)
    next((tmp_path / "registrations").iterdir()).write_bytes(b"PK damaged")
    run(target, config, tmp_path)
    assert len(registered) == 4
    run(target, replace(config, quality="full"), tmp_path)
    assert registered[4:] == ["full"] * 3
    run(replace(target, made_from={"scan": "other"}), config, tmp_path)
    assert len(registered) == 10


def test_an_atlas_that_fails_is_named_and_those_before_it_are_kept(target, config, registered, tmp_path, monkeypatch):
    fake = module.run_apart

    def fail_on_second(*arguments, **keywords):
        if len(registered) == 1:
            raise UnusableInputError("cannot be registered (error code 1); leave it out")
        return fake(*arguments, **keywords)

    monkeypatch.setattr(module, "run_apart", fail_on_second)
    with pytest.raises(UnusableInputError, match=r"^sub-02_desc-brain_T1w.nii.gz: cannot be registered"):
        run(target, config, tmp_path)
    assert [path.name[:16] for path in (tmp_path / "registrations").iterdir()] == ["scan_from-sub-01"]
