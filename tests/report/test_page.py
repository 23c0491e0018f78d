import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from neuronat.errors import GridError
from neuronat.labels.scheme import load_scheme
from neuronat.measure.agreement import measure_agreement
from neuronat.measure.volumes import structure_volumes
from neuronat.report.page import PageContent, render_page
from neuronat.space.volume import LabelMap, Volume

PROVENANCE = {
    "Sources": ["sub-01_T1w.nii.gz"],
    "SpatialReference": "sub-01_T1w.nii.gz",
    "Models": [
        {"Name": "deepnat", "Version": "1", "SHA256": "ab" * 32, "Licence": "CC-BY-NC-3.0", "Credits": ["By <them>."]}
    ],
    "Settings": {"crf": True, "protocols": [], "frame": None},
    "Device": "cpu",
}


@pytest.fixture
def content(phantom) -> PageContent:
    volume, labels, mask = phantom
    return PageContent(
        title="sub-01",
        image=volume,
        mask=mask,
        labels={"deepnat25": labels},
        volumes={"deepnat25": structure_volumes(labels)},
        verdict="review",
        reasons=["right hippocampus is small"],
        warnings=[],
        provenance=PROVENANCE,
    )


class Reader(HTMLParser):
    """Collect tags with attributes, and the text of table cells by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        if self.in_cell:
            self.rows[-1][-1] += data.strip()


def test_volumes_stand_side_by_side_with_their_asymmetry(content):
    rows = Reader(render_page(content)).rows
    volumes = {row.name: row.volume_mm3 / 1000 for row in content.volumes["deepnat25"]}
    left, right = volumes["Left-Thalamus"], volumes["Right-Thalamus"]
    (thalamus,) = (row for row in rows if row[0] == "Thalamus")
    index = 100 * (left - right) / ((left + right) / 2)
    assert thalamus[1:3] == [f"{left:.2f}", f"{right:.2f}"]
    assert thalamus[3] == f"{index:+.1f}".replace("-", "\N{MINUS SIGN}")
    (stem,) = (row for row in rows if row[0] == "Brain stem")
    assert stem[1] == f"{volumes['Brain-Stem']:.2f}"
    names = [row[0] for row in rows[1:15]]
    assert names == sorted(names, key=str.casefold)
    assert len(names) == 14


def test_an_asymmetry_that_rounds_to_nothing_has_no_minus(content):
    volumes = [
        replace(row, volume_mm3={"Left-Thalamus": 9999.0, "Right-Thalamus": 10000.0}.get(row.name, row.volume_mm3))
        for row in content.volumes["deepnat25"]
    ]
    rows = Reader(render_page(replace(content, volumes={"deepnat25": volumes}))).rows
    assert [row[3] for row in rows if row[0] == "Thalamus"] == ["+0.0"]


def test_the_page_says_verdict_reasons_model_licence_and_not_for_diagnosis(content):
    page = render_page(replace(content, warnings=["header: odd"]))
    for text in ("review", "right hippocampus is small", "header: odd", "deepnat", "ab" * 32, "CC-BY-NC-3.0"):
        assert text in page
    assert "By &lt;them&gt;." in page
    assert page.count("Not for diagnosis.") == 2


@pytest.mark.parametrize("verdict", ["pass", "review", "fail"])
def test_each_verdict_has_its_word_and_sign(content, verdict):
    page = render_page(replace(content, verdict=verdict))
    assert f'<section class="verdict {verdict}"' in page


def test_confidence_has_a_column_only_where_it_is_known(content):
    assert "Confidence" not in render_page(content)
    sure = replace(content, confidence={"deepnat25": {10: 0.875, 16: 0.5}})
    rows = Reader(render_page(sure)).rows
    assert "Confidence L" in rows[0]
    (thalamus,) = (row for row in rows if row[0] == "Thalamus")
    (stem,) = (row for row in rows if row[0] == "Brain stem")
    assert thalamus[-3:] == ["0.88", "", ""]
    assert stem[-2:] == ["0.50", ""]


def test_nothing_is_asked_from_anywhere(content):
    page = render_page(content)
    reader = Reader(page)
    assert not [tag for tag, _ in reader.tags if tag in ("script", "iframe", "object", "embed", "form", "a")]
    links = [attrs.get(key, "") for _, attrs in reader.tags for key in ("href", "src", "srcset", "action")]
    assert [link for link in links if link], "pictures are there"
    assert all(link.startswith("data:") for link in links if link)
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = (attrs["content"] for _, attrs in reader.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*)</style>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not [attrs for _, attrs in reader.tags if "style" in attrs or any(key.startswith("on") for key in attrs)]


def test_names_are_text_and_never_markup(content):
    evil = '"><script>alert(1)</script>'
    page = render_page(replace(content, title=evil, warnings=[evil], reasons=[evil]))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 5


def test_outlines_have_the_colours_and_names_of_the_scheme(content):
    page = render_page(content)
    assert re.search(r'<path fill="#00760e" stroke="#00760e" d="M[^"]+z"><title>Left-Thalamus</title>', page)
    assert len(re.findall("<svg width", page)) == 3 + 3 * 8


def test_outlines_lie_where_the_picture_has_the_structure(content):
    ids = content.labels["deepnat25"].ids
    bright = Volume(np.where(ids == 16, 1000, 1).astype(np.float32), content.image.affine)
    page = render_page(replace(content, image=bright))
    picture = next(part for part in page.split("<figure")[1:] if "<title>Brain-Stem" in part)
    png = base64.b64decode(re.search(r"base64,([^\"]+)", picture)[1])
    rows, columns = np.nonzero(imread(BytesIO(png), format="png") > 0.5)
    path = re.search(r'd="M(\d+) (\d+)([^"]+)z"><title>Brain-Stem', picture)
    x, y = [int(path[1])], [int(path[2])]
    for kind, numbers in re.findall(r"([hvl])([^hvlz]+)", path[3]):
        step = [int(n) for n in numbers.split()]
        x.append(x[-1] + (0 if kind == "v" else step[0]))
        y.append(y[-1] + (0 if kind == "h" else step[-1]))
    # half pixels: a run of pixels from a to b spans 2a to 2b + 2
    assert (min(x), max(x), min(y), max(y)) == (
        2 * columns.min(), 2 * columns.max() + 2, 2 * rows.min(), 2 * rows.max() + 2
    )  # fmt: skip


def test_the_same_result_gives_the_same_page(content):
    assert render_page(content) == render_page(content)


def test_many_structures_fold_their_table_and_stay_small(content, rng):
    scheme = load_scheme("neuromorphometrics")
    ids = np.array(scheme.ids)[rng.integers(0, scheme.n_classes, (5, 6, 7))].astype(np.int16)
    grown = np.kron(ids, np.ones((8, 8, 8), np.int16))
    labels = LabelMap(grown, content.image.affine, scheme)
    many = replace(
        content,
        image=Volume(rng.uniform(1, 2, grown.shape).astype(np.float32), content.image.affine),
        mask=np.ones(grown.shape, bool),
        labels={scheme.name: labels},
        volumes={scheme.name: structure_volumes(labels)},
    )
    page = render_page(many)
    assert "<details open>" not in page
    assert "<details open>" in render_page(content)
    assert len(page) < 3e6


def test_a_protocol_without_sides_has_one_column_of_volumes(content):
    scheme = load_scheme("deepnat25")
    tissue = replace(scheme, name="tissue", ids=(0, 1, 2), names=("Background", "CSF", "GM"),
                     colours=("#000000", "#0000ff", "#808080"), partners=(0, 1, 2), mappings={})  # fmt: skip
    labels = LabelMap((content.labels["deepnat25"].ids % 3).astype(np.int16), content.image.affine, tissue)
    both = replace(
        content,
        labels=content.labels | {"tissue": labels},
        volumes=content.volumes | {"tissue": structure_volumes(labels)},
    )
    page = render_page(both)
    rows = Reader(page).rows
    assert ["Structure", "Volume, ml", "Note"] in rows
    assert len(re.findall("<svg width", page)) == 3 + 3 * 8 + 3
    assert "<summary>tissue</summary>" in page


def test_agreement_has_a_section_where_there_are_several_protocols(content):
    labels = content.labels["deepnat25"]
    free = load_scheme("freesurfer")
    moved = LabelMap(np.where(labels.ids == 10, 0, labels.ids), labels.affine, free)
    protocols = {"deepnat25": labels, "freesurfer": moved}
    both = replace(
        content,
        labels=protocols,
        volumes={name: structure_volumes(label_map) for name, label_map in protocols.items()},
        agreement=measure_agreement(protocols),
    )
    assert "Agreement between protocols" not in render_page(content)
    rows = Reader(render_page(both)).rows
    start = rows.index(["Structure", "Mean Dice", "Smallest, ml", "Largest, ml", "Stands apart"])
    volume = next(row.volume_mm3 for row in content.volumes["deepnat25"] if row.index == 10)
    assert rows[start + 1] == ["Left-Thalamus", "0.00", "n/a", f"{volume / 1000:.2f}", ""]
    assert rows[start + 2][1] == "1.00"


def test_labels_of_another_grid_are_refused(content):
    labels = content.labels["deepnat25"]
    shifted = labels.affine.copy()
    shifted[0, 3] += 5
    for moved in (LabelMap(labels.ids[:-1], labels.affine, labels.scheme), replace(labels, affine=shifted)):
        with pytest.raises(GridError, match="draw labels on their own scan"):
            render_page(replace(content, labels={"deepnat25": moved}))


def test_the_volume_of_the_mask_knows_shear(content):
    sheared = content.image.affine.copy()
    sheared[0, 1] += 3.0
    image = Volume(content.image.values, sheared)
    labels = {"deepnat25": replace(content.labels["deepnat25"], affine=sheared)}
    ml = np.count_nonzero(content.mask) * abs(np.linalg.det(sheared[:3, :3])) / 1000
    assert f"<dt>Brain mask</dt><dd>{ml:.0f}<small> ml" in render_page(replace(content, image=image, labels=labels))
