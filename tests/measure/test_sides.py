import pytest

from neuronat.measure.sides import asymmetry_percent, pair_volumes
from neuronat.measure.volumes import StructureVolume


def row(index: int, name: str, ml: float | None, reason: str = "") -> StructureVolume:
    return StructureVolume(
        index, name, None if ml is None else int(ml * 1000), None if ml is None else ml * 1e3, reason
    )


@pytest.mark.parametrize(
    ("left", "right", "index"),
    [
        *[(3.0, 1.0, 100.0), (1.0, 3.0, -100.0), (2.0, 2.0, 0.0), (0.75, 0.25, 100.0)],
        *[(None, 2.0, None), (2.0, None, None), (0.0, 0.0, None)],
    ],
)
def test_asymmetry_is_the_difference_in_percent_of_the_mean(left, right, index):
    assert asymmetry_percent(left, right) == index


def test_sides_come_together_in_alphabetical_order():
    rows = [
        row(53, "Right-Hippocampus", 3.0),
        row(16, "Brain-Stem", 20.0),
        row(17, "Left-Hippocampus", 5.0),
        row(18, "Left-Amygdala", 1.0),
    ]
    pairs = pair_volumes(rows)
    assert [pair.name for pair in pairs] == ["Amygdala", "Brain stem", "Hippocampus"]
    amygdala, stem, hippocampus = pairs
    assert (amygdala.left, amygdala.right, amygdala.middle) == (rows[3], None, None)
    assert (stem.left, stem.right, stem.middle) == (None, None, rows[1])
    assert (hippocampus.left, hippocampus.right) == (rows[2], rows[0])
    assert [pair.asymmetry_percent for pair in pairs] == [None, None, 50.0]


def test_what_is_no_pair_stays_apart():
    rows = [row(1, "Left-lesion", 1.0), row(2, "Right-lesion", 1.0), row(3, "lesion", 1.0)]
    assert [(pair.name, pair.middle) for pair in pair_volumes(rows)] == [
        ("Left-lesion", rows[0]),
        ("lesion", rows[2]),
        ("Right-lesion", rows[1]),
    ]


def test_notes_name_the_side_unless_both_have_the_same():
    def note(left: str, right: str) -> str:
        return pair_volumes([row(1, "Left-X", 1.0, left), row(2, "Right-X", 1.0, right)])[0].note

    assert note("", "") == ""
    assert note("truncated", "truncated") == "truncated"
    assert note("", "truncated") == "right: truncated"
    assert note("not found", "truncated") == "left: not found, right: truncated"
    assert pair_volumes([row(16, "Brain-Stem", 1.0, "truncated")])[0].note == "truncated"
    assert pair_volumes([row(1, "Left-X", 1.0, "truncated")])[0].note == "truncated"  # the other side is not measured


def test_two_of_one_side_are_no_pair():
    rows = [row(1, "Left-X", 1.0), row(2, "left x", 2.0)]
    assert [(pair.name, pair.left, pair.middle) for pair in pair_volumes(rows)] == [
        ("left x", None, rows[1]),
        ("Left-X", None, rows[0]),
    ]
