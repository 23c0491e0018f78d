import csv
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from neuronat.errors import GridError
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.measure.agreement import (
    agreement_summary,
    agreement_table,
    judge_agreement,
    measure_agreement,
)
from neuronat.measure.groups import common_groups
from neuronat.space.volume import LabelMap

# stored as L, A, S; a voxel has 6 mm3
AFFINE = np.array([[-1.0, 0, 0, 9], [0, 2.0, 0, -7], [0, 0, 3.0, 4], [0, 0, 0, 1]])
DEEPNAT, FINE, FREESURFER = (load_scheme(name) for name in ("deepnat25", "neuromorphometrics", "freesurfer"))


def own_scheme(name: str, **mappings: dict[int, int]) -> LabelScheme:
    return LabelScheme(name, (0, 1), ("none", "one"), ("#000000", "#ffffff"), (0, 1), mappings)


def row(scheme: LabelScheme, *ids: int) -> LabelMap:
    """A map of 2 x 5 x 3 voxels: the ids given along j in one row, and nothing elsewhere."""
    values = np.zeros((2, 5, 3), np.int32)
    values[1, : len(ids), 2] = ids
    return LabelMap(values, AFFINE, scheme)


def test_the_finest_scheme_that_two_share_is_taken():
    assert common_groups([FINE, DEEPNAT]) == {"deepnat25": ("neuromorphometrics", "deepnat25")}
    assert common_groups([DEEPNAT]) == {}
    alone = own_scheme("alone")
    assert common_groups([DEEPNAT, alone]) == {}
    both = own_scheme("both", deepnat25={0: 0, 1: 10}, freesurfer={0: 0, 1: 10})
    # freesurfer is finer than deepnat25, but deepnat25 itself maps to nothing else
    assert common_groups([both, FREESURFER, DEEPNAT]) == {
        "deepnat25": ("both", "freesurfer", "deepnat25"),
        "freesurfer": ("both", "freesurfer"),
    }


def test_overlap_and_volumes_of_a_fine_and_a_coarse_protocol():
    # 59 and 60 are the left and right thalamus of the fine scheme, 10 and 49 those of the coarse one
    agreement = measure_agreement(
        {"deepnat25": row(DEEPNAT, 10, 10, 10, 49), "neuromorphometrics": row(FINE, 60, 60, 59, 59)}
    )
    left, right = (
        structure for structure in agreement.structures if structure.name in ("Left-Thalamus", "Right-Thalamus")
    )
    assert left.pairs[0].dice == pytest.approx(2 * 2 / (3 + 2))
    assert left.pairs[0].volumes_mm3 == (18.0, 12.0)
    assert left.pairs[0].difference_percent == pytest.approx(100 * 6 / 15)
    assert right.pairs[0].dice == pytest.approx(2 * 1 / (1 + 2))
    assert (left.mean_dice, left.apart) == (pytest.approx(0.8), "")
    caudate = next(structure for structure in agreement.structures if structure.name == "Left-Caudate")
    assert caudate.pairs[0].volumes_mm3 == (None, None)  # not found, so not known
    assert (caudate.mean_dice, caudate.pairs[0].dice, caudate.pairs[0].difference_percent) == (None, None, None)
    assert (agreement.scheme, agreement.mapped) == ("deepnat25", ("deepnat25", "neuromorphometrics"))


def test_the_map_holds_the_share_of_the_majority():
    agreement = measure_agreement(
        {
            "deepnat25": row(DEEPNAT, 10, 10, 49, 16),
            "freesurfer": row(FREESURFER, 10, 49, 11, 16),
            "neuromorphometrics": row(FINE, 60, 60, 35, 35),
        }
    )
    expected = np.ones((2, 5, 3), np.float32)
    expected[1, 1:3, 2] = [2 / 3, 1 / 3]
    np.testing.assert_allclose(agreement.shares.values, expected)
    np.testing.assert_array_equal(agreement.shares.affine, AFFINE)


def test_one_that_differs_from_all_others_is_named():
    same, other = (10, 10, 10, 0), (0, 0, 10, 10)
    three = {
        "deepnat25": row(DEEPNAT, *same),
        "freesurfer": row(FREESURFER, *other),
        "neuromorphometrics": row(FINE, 60, 60, 60, 0),
    }

    def apart(labels) -> str:
        return next(s for s in measure_agreement(labels).structures if s.name == "Left-Thalamus").apart

    assert apart(three) == "freesurfer"
    assert apart({name: three[name] for name in ("deepnat25", "freesurfer")}) == "", "of two nobody can tell"
    # one that misses the structure stands apart; with all three different nobody does
    assert apart(three | {"freesurfer": row(FREESURFER, 0)}) == "freesurfer"
    assert apart(three | {"neuromorphometrics": row(FINE, 60, 0, 0, 60)}) == ""
    # two halves of what two others have: each half is as bad as the other
    fourth = own_scheme("fourth", deepnat25={0: 0, 1: 10})
    halves = {"freesurfer": row(FREESURFER, 10, 10), "fourth": row(fourth, 0, 0, 1, 1)}
    whole = {"deepnat25": row(DEEPNAT, 10, 10, 10, 10), "neuromorphometrics": row(FINE, 60, 60, 60, 60)}
    assert apart(whole | halves) == ""


def test_who_is_a_tenth_worse_than_the_rest_stands_apart_and_not_who_is_less():
    def apart(n_apart: int) -> str:
        """Two have 20 voxels alike, the third its own 20, of which `n_apart` are none of theirs: Dice 1 - n / 20."""
        both, third = np.zeros((2, 2, 5, 11), np.int32)
        both[:, :, :5] = 10
        third[:, :, :5] = 10
        third[0, 0, :n_apart], third[0, 0, 5 : 5 + n_apart] = 0, 10
        labels = {
            "deepnat25": LabelMap(both, AFFINE, DEEPNAT),
            "freesurfer": LabelMap(third, AFFINE, FREESURFER),
            "neuromorphometrics": LabelMap(np.where(both, 60, 0), AFFINE, FINE),
        }
        return next(s for s in measure_agreement(labels).structures if s.name == "Left-Thalamus").apart

    assert (apart(5), apart(6)) == ("", "freesurfer")


def test_protocols_that_were_made_to_agree_have_one_voice():
    follows = {"deepnat25": "", "neuromorphometrics": "deepnat25", "twin": "neuromorphometrics", "freesurfer": ""}
    twin = own_scheme("twin", deepnat25={0: 0, 1: 10}, tissue={0: 0, 1: 2})
    tissue = load_scheme("tissue")
    assert common_groups([DEEPNAT, FINE, twin], follows) == {}
    assert common_groups([DEEPNAT, FREESURFER, FINE, twin], follows) == {"deepnat25": ("deepnat25", "freesurfer")}
    assert common_groups([FINE, twin, FREESURFER], follows)["deepnat25"] == ("neuromorphometrics", "freesurfer")
    assert common_groups([twin, tissue], follows) == {"tissue": ("twin", "tissue")}
    three = {
        "deepnat25": row(DEEPNAT, 10, 10, 10),
        "freesurfer": row(FREESURFER, 0, 0, 10),
        "neuromorphometrics": row(FINE, 60, 60, 60),
    }
    agreement = measure_agreement(three, follows)
    assert agreement.mapped == ("deepnat25", "freesurfer")
    assert {s.apart for s in agreement.structures} == {""}, "of two nobody can tell"
    assert float(agreement.shares.values.min()) == 0.5
    assert measure_agreement({name: three[name] for name in ("deepnat25", "neuromorphometrics")}, follows) is None


def test_of_groups_of_equal_size_the_finest_comes_first():
    fine, coarse = own_scheme("fine", freesurfer={0: 0, 1: 10}), own_scheme("coarse", tissue={0: 0, 1: 1})
    groups = common_groups([load_scheme("tissue"), coarse, FREESURFER, fine])
    assert list(groups.items()) == [("freesurfer", ("freesurfer", "fine")), ("tissue", ("tissue", "coarse"))]


def test_the_table_has_a_row_per_structure_and_pair():
    agreement = measure_agreement({"deepnat25": row(DEEPNAT, 10, 10, 10), "neuromorphometrics": row(FINE, 60, 60)})
    rows = list(csv.DictReader(StringIO(agreement_table(agreement)), delimiter="\t"))
    assert len(rows) == 25
    thalamus = next(line for line in rows if line["name"] == "Left-Thalamus")
    assert thalamus == {
        "scheme": "deepnat25", "index": "10", "name": "Left-Thalamus", "first": "deepnat25",
        "second": "neuromorphometrics", "dice": "0.8", "volume_first_mm3": "18", "volume_second_mm3": "12",
        "difference_percent": "40", "apart": "n/a",
    }  # fmt: skip
    assert {line["dice"] for line in rows if line["name"] != "Left-Thalamus"} == {"n/a"}


def test_the_summary_and_the_gate_name_who_disagrees_where():
    labels = {
        "deepnat25": row(DEEPNAT, 10, 10, 10, 16),
        "freesurfer": row(FREESURFER, 0, 0, 10, 16),
        "neuromorphometrics": row(FINE, 60, 60, 60, 35),
    }
    agreement = measure_agreement(labels)
    summary = agreement_summary(agreement)
    assert summary["Protocols"] == list(labels)
    # thalamus: 1 between the first and third, 0.5 with the second; brain stem: 1
    assert summary["MeanDice"] == {"deepnat25": 0.875, "freesurfer": 0.75, "neuromorphometrics": 0.875}
    assert summary["Structures"]["Left-Thalamus"] == round(2 / 3, 4)
    assert summary["Structures"]["Left-Caudate"] is None
    assert summary["Apart"] == {"Left-Thalamus": "freesurfer"}
    assert judge_agreement(agreement) == ()
    worse = measure_agreement(labels | {"freesurfer": row(FREESURFER, 0, 0, 0, 16)})
    assert [(finding.level, finding.reason) for finding in judge_agreement(worse)] == [
        ("review", "protocols disagree about Left-Thalamus (Dice 0.00 at best)")
    ]


def test_two_ways_to_draw_a_structure_are_no_disagreement():
    one = {"deepnat25": row(DEEPNAT, 10, 10), "freesurfer": row(FREESURFER, 10, 10)}
    other = {name: LabelMap(row(FINE, 0, 0, 60, 60).ids, AFFINE, replace(FINE, name=name)) for name in ("a", "b")}
    agreement = measure_agreement(one | other)
    thalamus = next(s for s in agreement.structures if s.name == "Left-Thalamus")
    assert thalamus.mean_dice < 0.5
    assert judge_agreement(agreement) == ()


def test_nothing_in_common_is_no_agreement_and_other_grids_are_refused():
    assert measure_agreement({"deepnat25": row(DEEPNAT, 10)}) is None
    assert measure_agreement({"deepnat25": row(DEEPNAT, 10), "alone": row(own_scheme("alone"), 1)}) is None
    moved = AFFINE.copy()
    moved[2, 3] += 1
    with pytest.raises(GridError, match=r"protocol deepnat25 lies on .*, freesurfer on .*; compare label maps of one"):
        measure_agreement(
            {"deepnat25": row(DEEPNAT, 10), "freesurfer": LabelMap(row(FREESURFER, 10).ids, moved, FREESURFER)}
        )
