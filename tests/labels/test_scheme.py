import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import LabelError, MissingInputError
from neuronat.labels import LabelScheme, load_scheme, read_scheme, scheme_names, write_scheme
from neuronat.labels.scheme import parse_scheme

TABLE = """index\tname\tcolor\tpair\tto_two
0\tBackground\t#000000\t0\t0
7\tLeft-A\t#ff0000\t9\t1
9\tRight-A\t#00ff00\t7\t2
30\tMiddle\t#0000ff\t30\t0
"""


@pytest.fixture
def scheme(tmp_path) -> LabelScheme:
    path = tmp_path / "small.tsv"
    path.write_text(TABLE, encoding="utf-8")
    return read_scheme(path)


def test_a_table_becomes_a_scheme(scheme):
    assert (scheme.name, scheme.n_classes) == ("small", 4)
    assert scheme.ids == (0, 7, 9, 30)
    assert scheme.names == ("Background", "Left-A", "Right-A", "Middle")
    assert scheme.colours == ("#000000", "#ff0000", "#00ff00", "#0000ff")
    np.testing.assert_array_equal(scheme.mirrored_classes, [0, 2, 1, 3])


def test_a_scheme_written_and_read_is_the_same(scheme, tmp_path):
    assert write_scheme(scheme) == TABLE
    for name in scheme_names():
        path = tmp_path / f"{name}.tsv"
        path.write_text(write_scheme(load_scheme(name)), encoding="utf-8")
        again = read_scheme(path)
        assert (again.ids, again.names, again.partners) == (
            load_scheme(name).ids,
            load_scheme(name).names,
            load_scheme(name).partners,
        )
        assert {k: dict(v) for k, v in again.mappings.items()} == {
            k: dict(v) for k, v in load_scheme(name).mappings.items()
        }


def test_ids_become_classes_and_classes_ids(scheme):
    ids = np.array([[[0, 9], [30, 7], [9, 9]]], np.int16)
    classes = scheme.classes_of(ids)
    np.testing.assert_array_equal(classes, [[[0, 2], [3, 1], [2, 2]]])
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(scheme.ids_of(classes), ids)


def test_unknown_ids_are_listed_with_their_counts(scheme):
    with pytest.raises(LabelError, match=r"^a.nii: ids 8 \(1 voxels\), 2035 \(2 voxels\) are not in the scheme small"):
        scheme.classes_of(np.array([0, 8, 2035, 2035, 7]), what="a.nii")


def test_ids_are_translated_into_another_scheme(scheme):
    mapped = scheme.mapped_ids(np.array([30, 9, 7, 0]), "two")
    np.testing.assert_array_equal(mapped, [0, 2, 1, 0])
    np.testing.assert_array_equal(scheme.mapped_ids(np.array([30, 9]), "small"), [30, 9])
    assert {scheme.mapped_ids(np.array([30, 9], np.int64), target).dtype for target in ("small", "two")} == {
        np.dtype(np.int32)
    }
    with pytest.raises(LabelError, match="scheme small has no mapping to three; it maps to two"):
        scheme.mapped_ids(np.array([30]), "three")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": (1, 7, 9, 30)}, "first id must be 0"),
        ({"ids": (0, 7, 7, 30)}, r"ids \[7\] stand there more than once"),
        ({"names": ("Background",)}, "differ in length"),
        ({"partners": (0, 9, 9, 30)}, "7 names 9 as its pair, but not the reverse"),
        ({"partners": (0, 9, 7, 31)}, "30 names 31 as its pair"),
        ({"ids": (0, 7, 9, -1)}, r"ids \[-1\] are negative or beyond 32 bits"),
        ({"ids": (0, 7, 9, 2**31)}, r"ids \[2147483648\] are negative or beyond 32 bits"),
        ({"colours": ("#000000", "red", "#00ff00", "#0000ff")}, "'red' is no colour; write it as #rrggbb"),
        ({"colours": ("#000000", "#ff00000", "#00ff00", "#0000ff")}, "'#ff00000' is no colour"),
    ],
)
def test_a_scheme_that_contradicts_itself_is_refused(scheme, changes, words):
    with pytest.raises(LabelError, match=f"label scheme small: .*{words}"):
        replace(scheme, **changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs the columns index and name"),
        ("index,name\n0,a\n", "needs the columns index and name"),
        ("index\tname\n0\t" + "a" * 140_000 + "\n", "cannot be read"),
        ("index\tname\nzero\ta\n", "ids must be whole numbers"),
        ("index\tname\tto_x\n0\ta\t\n", "ids must be whole numbers"),
        ("index\tname\n0\n", "a row has more or fewer fields than the header"),
        ("index\tname\n0\ta\tb\n", "a row has more or fewer fields than the header"),
        ("index\tname\n0\ta\n5\n7\tb\n", "a row has more or fewer fields than the header"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, words):
    path = tmp_path / "bad.tsv"
    path.write_text(text)
    with pytest.raises(LabelError, match=f"label table bad: .*{words}"):
        read_scheme(path)


def test_a_scheme_may_have_256_classes_and_no_more():
    def scheme_of(n_classes: int) -> LabelScheme:
        ids = tuple(range(n_classes))
        return LabelScheme("large", ids, tuple(map(str, ids)), ("#000000",) * n_classes, ids)

    assert scheme_of(256).classes_of(np.array([255])).tolist() == [255]
    with pytest.raises(LabelError, match="label scheme large: has 257 classes; at most 256 are possible"):
        scheme_of(257)


def test_the_finest_scheme_with_freesurfers_ids_is_found(scheme):
    found = {name: load_scheme(name).freesurfer_scheme for name in ("deepnat25", "freesurfer", "wholehead", "tissue")}
    assert found == {"deepnat25": "deepnat25", "freesurfer": "freesurfer", "wholehead": "freesurfer", "tissue": ""}
    both = replace(scheme, mappings={"deepnat25": {}, "freesurfer": {}})
    assert both.freesurfer_scheme == "freesurfer"


def test_mappings_are_written_in_the_order_of_their_names(scheme):
    mapping = scheme.mappings["two"]
    many = replace(scheme, mappings={"two": mapping, "one": mapping, "zero": mapping})
    assert write_scheme(many).splitlines()[0] == "index\tname\tcolor\tpair\tto_one\tto_two\tto_zero"


def test_colour_and_pair_may_be_left_out(tmp_path):
    (tmp_path / "bare.tsv").write_text("index\tname\n0\tnothing\n5\tsomething\n")
    scheme = read_scheme(tmp_path / "bare.tsv")
    assert (scheme.partners, scheme.colours[1]) == ((0, 5), "#808080")


def test_the_mark_that_excel_writes_before_a_table_is_no_part_of_it(tmp_path):
    (tmp_path / "marked.tsv").write_text(TABLE, encoding="utf-8-sig")
    assert read_scheme(tmp_path / "marked.tsv").ids == (0, 7, 9, 30)


def test_an_unknown_scheme_lists_the_known_ones():
    with pytest.raises(LabelError, match="'x' is not known; known are atropos, brain, deepnat25, freesurfer, fslfast"):
        load_scheme("x")


def test_a_table_of_ones_own_is_loaded_by_path_or_from_a_folder(tmp_path):
    (tmp_path / "mine.tsv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "tissue.tsv").write_text(TABLE, encoding="utf-8")
    assert load_scheme(str(tmp_path / "mine.tsv")).ids == (0, 7, 9, 30)
    assert load_scheme("mine.tsv", tmp_path).name == "mine"
    assert load_scheme("tissue", tmp_path).ids == (0, 7, 9, 30)  # before the shipped one
    assert load_scheme("tissue").ids == (0, 1, 2, 3)
    assert load_scheme("hmrf", tmp_path).ids == (0, 1, 2, 3)
    with pytest.raises(LabelError, match="'other' is not known; known are atropos"):
        load_scheme("other", tmp_path)
    with pytest.raises(MissingInputError, match=r"other\.tsv: label table cannot be read"):
        load_scheme("other.tsv", tmp_path)
    (tmp_path / "my_tool.tsv").write_text(TABLE, encoding="utf-8")
    with pytest.raises(LabelError, match=r"my_tool\.tsv: a protocol's name has lower-case letters and digits only"):
        load_scheme("my_tool", tmp_path)


def test_a_table_that_is_no_text_and_one_too_long_are_refused(tmp_path):
    (tmp_path / "binary.tsv").write_bytes(b"index\tname\n0\t\xff\n")
    with pytest.raises(LabelError, match=r"binary\.tsv: is no text in UTF-8"):
        read_scheme(tmp_path / "binary.tsv")
    (tmp_path / "long.tsv").write_text("index\tname\n" + "".join(f"{i}\tx\n" for i in range(257)))
    with pytest.raises(LabelError, match="label scheme long: has 257 classes; at most 256"):
        read_scheme(tmp_path / "long.tsv")


def test_the_25_structures_carry_freesurfer_ids_and_pairs():
    scheme = load_scheme("deepnat25")
    assert scheme.ids == (
        0,
        2,
        3,
        4,
        7,
        8,
        10,
        11,
        12,
        13,
        14,
        15,
        16,
        17,
        18,
        41,
        42,
        43,
        46,
        47,
        49,
        50,
        51,
        52,
        53,
        54,
    )
    partner_of = dict(zip(scheme.ids, scheme.partners, strict=True))
    assert [partner_of[i] for i in (2, 18, 14, 15, 16)] == [41, 54, 14, 15, 16]


@pytest.mark.parametrize("name", ["freesurfer", "neuromorphometrics"])
def test_every_shipped_scheme_maps_onto_the_25_and_pairs_go_to_pairs(name):
    scheme, target = load_scheme(name), load_scheme("deepnat25")
    mapping = scheme.mappings["deepnat25"]
    assert set(mapping.values()) == set(target.ids)
    partner_of = dict(zip(target.ids, target.partners, strict=True))
    for index, partner in zip(scheme.ids, scheme.partners, strict=True):
        assert mapping[partner] == partner_of[mapping[index]], index


def test_names_and_mapped_names_stand_for_the_same_structure():
    scheme, target = load_scheme("freesurfer"), load_scheme("deepnat25")
    name_of = dict(zip(target.ids, target.names, strict=True))
    for index, name in zip(scheme.ids, scheme.names, strict=True):
        mapped = scheme.mappings["deepnat25"][index]
        if index in name_of:
            assert (mapped, name_of[index]) == (index, name)


@pytest.mark.data
def test_the_mapping_to_the_25_is_that_of_the_table_beside_the_data():
    table = Path(os.environ.get("NEURONAT_DATA", "/nowhere")) / "malc" / "seg-neuromorphometrics_dseg.tsv"
    if not table.exists():
        pytest.skip("NEURONAT_DATA holds no malc folder")
    scheme, target = load_scheme("neuromorphometrics"), load_scheme("deepnat25")
    id_of = dict(zip(target.names, target.ids, strict=True))
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    assert [(int(r["index"]), r["name"]) for r in rows] == list(zip(scheme.ids, scheme.names, strict=True))
    assert {int(r["index"]): id_of[r["deepnat25"]] for r in rows} == dict(scheme.mappings["deepnat25"])


def test_quotes_in_a_name_stay_as_they_are():
    for name in ('"Nucleus A"', '"A', "5' end"):
        scheme = LabelScheme("own", (0, 1), ("none", name), ("#000000",) * 2, (0, 1))
        assert parse_scheme("own", write_scheme(scheme)).names == ("none", name)
