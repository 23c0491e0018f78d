"""The report in a real browser: opened by double click, without a network."""

import shutil
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from neuronat.labels import load_scheme
from neuronat.measure.volumes import structure_volumes
from neuronat.pipeline.outputs import label_table
from neuronat.report.page import PageContent, render_page
from neuronat.report.serve import open_server
from neuronat.report.viewer import plan_show

pytestmark = pytest.mark.slow


@pytest.fixture
def page(phantom, tmp_path: Path) -> str:
    volume, labels, mask = phantom
    content = PageContent(
        title="sub-01",
        image=volume,
        mask=mask,
        labels={"deepnat25": labels},
        volumes={"deepnat25": structure_volumes(labels)},
        verdict="review",
        reasons=["right hippocampus is small"],
        warnings=["header: odd"],
        provenance={},
    )
    path = tmp_path / "sub-01.html"
    path.write_text(render_page(content), encoding="utf-8")
    return path.as_uri()


def box_of(browser, selector: str) -> dict:
    return browser.run(f"return document.querySelector('{selector}').getBoundingClientRect().toJSON()")


def test_the_report_opens_without_a_complaint_or_a_request(browser, page: str):
    browser.console()
    browser.requests()
    browser.open(page)
    assert browser.console() == []
    assert browser.requests() == [page]
    assert browser.run("return document.title") == "sub-01: segmentation report"
    for selector in ("table", ".verdict", ".middle svg", ".series svg"):
        box = box_of(browser, selector)
        assert min(box["width"], box["height"]) > 40, selector
    widths = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], "nothing sticks out"


def test_pictures_are_drawn_and_outlines_lie_on_them(browser, page: str):
    browser.open(page)
    browser.run("document.querySelector('.middle').scrollIntoView()")
    before = pixels(browser)
    box = box_of(browser, ".middle")
    part = before[int(box["top"]) : int(box["bottom"]), int(box["left"]) : int(box["right"])]
    assert (part.max(axis=2) < 0.05).mean() > 0.2, "black around the brain"
    coloured = np.ptp(part, axis=2) > 0.3
    assert coloured.sum() > 500
    browser.run("document.querySelector('#outlines').click()")
    after = pixels(browser)[int(box["top"]) : int(box["bottom"]), int(box["left"]) : int(box["right"])]
    assert (np.ptp(after, axis=2) > 0.3).sum() < 0.05 * coloured.sum()
    assert (after.max(axis=2) > 0.5).sum() > 5000, "the brain stays"
    browser.run("document.querySelector('#fill').click()")
    filled = pixels(browser)[int(box["top"]) : int(box["bottom"]), int(box["left"]) : int(box["right"])]
    assert (np.ptp(filled, axis=2) > 0.1).sum() > 5 * coloured.sum()


def test_it_is_dark_in_the_dark_and_white_on_paper(browser, page: str):
    browser.open(page)
    paper = "return getComputedStyle(document.body).backgroundColor"
    try:
        browser.emulate(dark=True)
        assert max(rgb(browser.run(paper))) < 60
        browser.emulate(dark=False)
        assert min(rgb(browser.run(paper))) > 230
        browser.emulate(dark=True, media="print")
        assert rgb(browser.run(paper)) == [255, 255, 255]
        assert browser.run("return getComputedStyle(document.querySelector('#outlines')).display") == "none"
    finally:
        browser.emulate()


def pixels(browser) -> np.ndarray:
    return imread(BytesIO(browser.screenshot()), format="png")[:, :, :3]


def rgb(colour: str) -> list[int]:
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


@pytest.fixture
def viewer(phantom_files, tmp_path: Path) -> Iterator[str]:
    """The address of a viewer that shows the phantom."""
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(phantom_files.labels, out / "sub-01_seg-deepnat25_dseg.nii.gz")
    (out / "seg-deepnat25_dseg.tsv").write_text(label_table(load_scheme("deepnat25")), encoding="utf-8")
    with open_server(plan_show(out, [phantom_files.scan])) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.address
        server.shutdown()
        thread.join(10)


def test_the_viewer_shows_the_scan_the_labels_and_their_names(browser, viewer: str):
    browser.console()
    browser.requests()
    browser.open(viewer)
    browser.wait_for("return document.body.dataset.ready === 'sub-01_seg-deepnat25_dseg.nii.gz'")
    assert not [line for line in browser.console() if "niivue-info" not in line]
    assert all(address.startswith(viewer) for address in browser.requests())
    box = box_of(browser, "#canvas")
    shown = pixels(browser)[int(box["top"]) : int(box["bottom"]), int(box["left"]) : int(box["right"])]
    assert (shown.max(axis=2) > 0.4).mean() > 0.05
    assert (np.ptp(shown, axis=2) > 0.2).mean() > 0.02, "labels have colours"
    names = set()
    for across in range(10, 50, 4):
        browser.point(int(box["left"] + box["width"] * across / 100), int(box["top"] + box["height"] * 0.25))
        names.add(browser.run("return document.getElementById('structure').textContent"))
    assert names & {"Left-Cerebral-Cortex", "Right-Cerebral-Cortex"}
    assert len(names & set(load_scheme("deepnat25").names)) >= 3
