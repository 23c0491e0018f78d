"""The shipped tables: counts, ids, pairs and mappings, as published or as the data's own table has them."""

import csv
import os
from pathlib import Path

import pytest

from neuronat.labels import load_scheme, scheme_names

TISSUES = ("atropos", "fslfast", "hmrf", "spmtissue", "tissue")
FIRST_IDS = (0, 10, 11, 12, 13, 16, 17, 18, 26, 49, 50, 51, 52, 53, 54, 58)
CLASSES = {
    "deepnat25": 26,
    "freesurfer": 52,
    "neuromorphometrics": 145,
    "malpem": 139,
    "malpemtissue": 6,
    "tissue5": 6,
    "fslfirst": 16,
    "subcortical15": 16,
    "brain": 2,
    "wholehead": 54,
} | dict.fromkeys(TISSUES, 4)
PUBLISHED_RANGES = (
    *((4, 4), (11, 11), (23, 23), (30, 32), (35, 52), (55, 64), (69, 69), (71, 73), (75, 76), (100, 109)),
    *((112, 125), (128, 129), (132, 157), (160, 187), (190, 207)),
)
IN_LABEL_MAPS = (
    *(2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 25, 26, 28, 30, 41, 42, 43, 44, 46, 47, 49, 50, 51),
    *(52, 53, 54, 57, 58, 60, 62, 72, 85, 136, 137, 163, 164),
)


def merged(source: str, target: str) -> dict[str, int]:
    """The mapping by name of structure, background left out."""
    scheme = load_scheme(source)
    named = dict(zip(scheme.ids, scheme.names, strict=True))
    return {named[index]: to for index, to in scheme.mappings[target].items() if to}


def test_every_shipped_table_has_its_published_number_of_classes():
    assert {name: load_scheme(name).n_classes for name in scheme_names()} == CLASSES


@pytest.mark.parametrize("name", TISSUES)
def test_tissues_are_numbered_as_the_tools_number_them(name):
    assert load_scheme(name).ids == (0, 1, 2, 3)
    assert load_scheme(name).names == ("Background", "CSF", "Grey-Matter", "White-Matter")
    assert load_scheme(name).partners == (0, 1, 2, 3)


@pytest.mark.parametrize("name", ["fslfirst", "subcortical15"])
def test_first_has_its_own_ids_and_freesurfers_names(name):
    scheme, freesurfer = load_scheme(name), load_scheme("freesurfer")
    assert scheme.ids == FIRST_IDS
    named = dict(zip(freesurfer.ids, freesurfer.names, strict=True)) | {16: "Brain-Stem-And-4th-Ventricle"}
    assert scheme.names == tuple(named[index] for index in FIRST_IDS)
    partner_of = dict(zip(scheme.ids, scheme.partners, strict=True))
    assert [partner_of[index] for index in FIRST_IDS[1:9]] == [49, 50, 51, 52, 16, 53, 54, 58]


def test_malpem_counts_the_published_ids_in_their_order():
    scheme = load_scheme("malpem")
    assert scheme.ids == tuple(range(139))
    published = [index for first, last in PUBLISHED_RANGES for index in range(first, last + 1)]
    assert [scheme.mappings["neuromorphometrics"][index] for index in range(1, 139)] == published
    named = dict(zip(load_scheme("neuromorphometrics").ids, load_scheme("neuromorphometrics").names, strict=True))
    assert list(scheme.names[1:]) == [named[index] for index in published]
    assert [scheme.partners[index] for index in (1, 3, 4, 35, 41, 42, 137, 138)] == [1, 4, 3, 35, 42, 41, 138, 137]


def test_five_tissues_are_malpems():
    for name in ("malpemtissue", "tissue5"):
        assert load_scheme(name).ids == (0, 1, 2, 3, 4, 5)
        assert [load_scheme(name).mappings["tissue"][index] for index in range(6)] == [0, 1, 2, 3, 2, 1]


def test_manual_labels_merge_into_what_first_segments():
    expected = {"4th Ventricle": 16, "Brain Stem": 16}
    for manual, left, right in (
        ("Thalamus Proper", 10, 49),
        ("Caudate", 11, 50),
        ("Putamen", 12, 51),
        ("Pallidum", 13, 52),
        ("Hippocampus", 17, 53),
        ("Amygdala", 18, 54),
        ("Accumbens Area", 26, 58),
    ):
        expected |= {f"Left {manual}": left, f"Right {manual}": right}
    assert merged("neuromorphometrics", "subcortical15") == expected
    assert merged("malpem", "subcortical15") == expected


def test_freesurfer_holds_every_id_inside_the_brains_of_the_label_maps():
    scheme = load_scheme("freesurfer")
    assert set(IN_LABEL_MAPS) <= set(scheme.ids)
    partner_of = dict(zip(scheme.ids, scheme.partners, strict=True))
    assert [partner_of[index] for index in (25, 30, 136, 137, 24, 72, 85)] == [57, 62, 163, 164, 24, 72, 85]
    assert [scheme.mappings["deepnat25"][index] for index in (25, 57, 136, 163, 137, 164)] == [2, 41, 4, 43, 0, 0]


@pytest.mark.parametrize("name", scheme_names())
def test_every_mapping_leads_to_ids_of_its_target_and_pairs_to_pairs(name):
    scheme = load_scheme(name)
    for target, mapping in scheme.mappings.items():
        together = load_scheme(target)
        assert mapping[0] == 0
        assert set(mapping.values()) <= set(together.ids), target
        partner_of = dict(zip(together.ids, together.partners, strict=True))
        for index, partner in zip(scheme.ids, scheme.partners, strict=True):
            assert mapping[partner] == partner_of[mapping[index]], (target, index)


@pytest.mark.parametrize(
    ("name", "general"),
    [
        ("atropos", "tissue"),
        ("fslfast", "tissue"),
        ("fslfirst", "subcortical15"),
        ("hmrf", "tissue"),
        ("malpemtissue", "tissue5"),
        ("spmtissue", "tissue"),
    ],
)
def test_a_tools_own_table_maps_onto_the_general_one_id_by_id(name, general):
    scheme, together = load_scheme(name), load_scheme(general)
    assert (scheme.ids, scheme.names) == (together.ids, together.names)
    assert scheme.mappings[general] == {index: index for index in scheme.ids}


@pytest.mark.data
def test_the_mergings_are_those_of_the_table_beside_the_data():
    table = Path(os.environ.get("NEURONAT_DATA", "/nowhere")) / "malc" / "seg-neuromorphometrics_dseg.tsv"
    if not table.exists():
        pytest.skip("NEURONAT_DATA holds no malc folder")
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    mappings = load_scheme("neuromorphometrics").mappings
    for column in ("malpem", "tissue5"):
        assert {int(row["index"]): int(row[column]) for row in rows} == dict(mappings[column])
    tissues = {"CSF": 1, "GM": 2, "WM": 3}
    assert {int(row["index"]): tissues.get(row["tissue"], 0) for row in rows} == dict(mappings["tissue"])
