import hashlib
import json
import re
from pathlib import Path

import pytest

from neuronat.errors import MissingInputError, UnusableInputError, UsageError
from neuronat.report.viewer import ASSETS, plan_show, read_asset

TABLE = "index\tname\tcolor\n0\tBackground\t#000000\n10\tLeft-Thalamus\t#00760e\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two results in one folder, and one further down whose table lies above it; other things beside them."""
    folder = tmp_path / "out"
    below = folder / "sub-03" / "anat"
    below.mkdir(parents=True)
    for stem, where in (("sub-01", folder), ("a b&c", folder), ("sub-03", below)):
        for name in ("seg-deepnat25_dseg.nii.gz", "seg-deepnat25_dseg.json", "desc-brain_mask.nii.gz", "done.json"):
            (where / f"{stem}_{name}").write_text(name)
    (folder / "seg-deepnat25_dseg.tsv").write_text(TABLE)
    (folder / "sub-01.html").write_text("report")
    (folder / "notes.txt").write_text("mine")
    return folder


def test_results_have_labels_a_background_a_table_and_a_report(out: Path):
    show = plan_show(out)
    by_title = {result["title"]: result for result in show.results}
    assert list(by_title) == ["a b&c", "sub-01", "sub-03/anat/sub-03"]
    first = by_title["sub-01"]
    assert first["background"] == {
        "name": "sub-01_desc-brain_mask.nii.gz",
        "address": "/out/sub-01_desc-brain_mask.nii.gz",
    }
    (layer,) = first["layers"]
    assert (layer["protocol"], layer["table"]) == (
        "deepnat25",
        [(0, "Background", "#000000"), (10, "Left-Thalamus", "#00760e")],
    )
    assert first["report"] == "/out/sub-01.html"
    assert by_title["sub-03/anat/sub-03"]["layers"][0]["address"] == "/out/sub-03/anat/sub-03_seg-deepnat25_dseg.nii.gz"
    assert by_title["a b&c"]["layers"][0]["address"] == "/out/a%20b%26c_seg-deepnat25_dseg.nii.gz"
    assert json.loads(json.dumps(show.results))


def test_a_folder_named_from_here_and_a_scan_named_in_full_meet(out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(out.parent)
    scan = out / "sub-01_T1w.nii.gz"
    scan.write_text("scan")
    for folder, named in ((Path("out"), scan), (out, Path("out/sub-01_T1w.nii.gz"))):
        by_title = {result["title"]: result for result in plan_show(folder, [named]).results}
        assert by_title["sub-01"]["background"]["address"] == "/out/sub-01_T1w.nii.gz"


def test_a_table_of_somebody_else_needs_no_colours(out: Path):
    (out / "seg-deepnat25_dseg.tsv").write_text("index\tname\n0\tnone\n10\tThalamus\n", encoding="utf-8-sig")
    assert plan_show(out).results[0]["layers"][0]["table"][1] == (10, "Thalamus", "#808080")


def test_equal_stems_in_two_folders_are_two_results(tmp_path: Path):
    (tmp_path / "seg-a_dseg.tsv").write_text(TABLE)
    (tmp_path / "sub-01.html").write_text("report of somebody else")
    for person in ("anna", "bert"):
        (tmp_path / person).mkdir()
        for name in ("sub-01_seg-a_dseg.nii.gz", "sub-01_desc-brain_mask.nii.gz", "sub-01.html"):
            (tmp_path / person / name).write_text(person)
    (tmp_path / "bert" / "sub-01.html").unlink()
    shown = [
        (result["title"], result["background"]["address"], len(result["layers"]), result["report"])
        for result in plan_show(tmp_path).results
    ]
    assert shown == [
        ("anna/sub-01", "/out/anna/sub-01_desc-brain_mask.nii.gz", 1, "/out/anna/sub-01.html"),
        ("bert/sub-01", "/out/bert/sub-01_desc-brain_mask.nii.gz", 1, ""),
    ]
    scan = tmp_path / "sub-01_T1w.nii.gz"
    scan.write_text("scan")
    with pytest.raises(UsageError, match=r"sub-01_T1w\.nii\.gz: could belong to any of anna/sub-01, bert/sub-01; show"):
        plan_show(tmp_path, [scan])
    with pytest.raises(UsageError, match=r"sub-01_T1w\.nii\.gz: a second scan of sub-01; name one"):
        plan_show(tmp_path / "anna", [scan, scan])


def test_only_what_is_shown_is_handed_out(out: Path, tmp_path: Path):
    scan = tmp_path / "in" / "sub-01_T1w.nii.gz"
    scan.parent.mkdir()
    scan.write_text("scan")
    show = plan_show(out, [scan])
    assert sorted(path.name for path in show.files.values()) == [
        "a b&c_desc-brain_mask.nii.gz",
        "a b&c_seg-deepnat25_dseg.nii.gz",
        "sub-01.html",
        "sub-01_T1w.nii.gz",
        "sub-01_seg-deepnat25_dseg.nii.gz",
        "sub-03_desc-brain_mask.nii.gz",
        "sub-03_seg-deepnat25_dseg.nii.gz",
    ]
    assert show.files["/scan/sub-01_T1w.nii.gz"] == scan


def test_a_link_that_leads_out_of_the_folder_is_no_result(out: Path, tmp_path: Path):
    secret = tmp_path / "secret_dseg.nii.gz"
    secret.write_text("secret")
    (out / "evil_seg-deepnat25_dseg.nii.gz").symlink_to(secret)
    assert "evil" not in {result["title"] for result in plan_show(out).results}


def test_what_cannot_be_shown_is_said(out: Path, tmp_path: Path):
    with pytest.raises(MissingInputError, match="nowhere: no such folder"):
        plan_show(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusableInputError, match="empty: holds no label map"):
        plan_show(tmp_path / "empty")
    with pytest.raises(MissingInputError, match=r"sub-01_T1w\.nii: no such file"):
        plan_show(out, [tmp_path / "sub-01_T1w.nii"])
    other = tmp_path / "sub-09_T1w.nii"
    other.write_text("scan")
    with pytest.raises(
        UnusableInputError, match="there is no result of sub-09; there are a b&c, sub-01, sub-03/anat/sub-03"
    ):
        plan_show(out, [other])
    (out / "seg-deepnat25_dseg.tsv").unlink()
    with pytest.raises(UnusableInputError, match=r"label table seg-deepnat25_dseg\.tsv is missing"):
        plan_show(out)


def test_the_foreign_file_is_the_one_that_its_licence_names():
    licence = read_asset("niivue.LICENSE").decode()
    assert "BSD 2-Clause License" in licence
    assert hashlib.sha256(read_asset("niivue.umd.js")).hexdigest() == re.search("sha256: ([0-9a-f]{64})", licence)[1]


def test_the_page_loads_nothing_from_elsewhere():
    page = read_asset(ASSETS["/"][0]).decode()
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert set(links) - {"data:,"} == {"/view.css", "/niivue.umd.js", "/view.js"}
    assert "http" not in page
    assert "http" not in read_asset("view.js").decode()
