import pytest

from neuronat.labels import load_scheme
from neuronat.labels.sides import group_by_structure, side_of


@pytest.mark.parametrize(
    ("name", "base", "side"),
    [
        ("Left-Cerebral-White-Matter", "Cerebral white matter", "left"),
        ("Right Ventral DC", "Ventral DC", "right"),
        ("3rd-Ventricle", "3rd ventricle", ""),
        ("Leftover", "Leftover", ""),
        ("WM", "WM", ""),
        ("ctx-lh-cuneus", "cuneus", "left"),
        ("R_Thal", "Thal", "right"),
        ("Right-", "Right", ""),
    ],
)
def test_names_lose_their_side(name, base, side):
    ((row,),) = group_by_structure([name])
    assert (row.position, row.base, row.side) == (0, base, side)


def test_left_stands_above_right_whatever_the_order():
    groups = group_by_structure(["Right-Thalamus", "3rd-Ventricle", "Left-Thalamus"])
    assert [[row.position for row in group] for group in groups] == [[2, 0], [1]]


@pytest.mark.parametrize("scheme_name", ["deepnat25", "freesurfer", "neuromorphometrics"])
def test_sides_by_name_are_the_pairs_of_the_tables(scheme_name):
    scheme = load_scheme(scheme_name)
    sides = {index: side_of(name)[1] for index, name in zip(scheme.ids, scheme.names, strict=True)}
    other = {"left": "right", "right": "left", "": ""}
    for index, partner in zip(scheme.ids, scheme.partners, strict=True):
        assert sides[partner] == other[sides[index]]
