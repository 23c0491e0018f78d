import re

import numpy as np
import pytest

from neuronat.errors import GridError, LabelError, UnusableInputError
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.measure.scores import StructureScore, map_together, parse_scores, score_structures, scores_table
from neuronat.space.volume import LabelMap

FOUR = LabelScheme("four", (0, 7, 3, 900), ("none", "a", "b", "c"), ("#000000",) * 4, (0, 3, 7, 900))
AFFINE = np.array([[-0.5, 0, 0, 40], [0, 2.0, 0, -7], [0, 0, 3.0, 11], [0, 0, 0, 1]])
HEADER = "scan\tindex\tname\tdice\thd95_mm\tasd_mm\tvolume_predicted_mm3\tvolume_reference_mm3\n"


def drawn():
    """Two maps (5, 6, 7): a shifted by a voxel of 2 mm, b missed, c in neither."""
    predicted, reference = np.zeros((2, 5, 6, 7), np.int16)
    predicted[1:3, 1:3, 2] = 7
    reference[1:3, 2:4, 2] = 7
    reference[4, 5, 6] = 3
    return predicted, reference


def test_a_row_per_structure_is_counted_by_hand():
    predicted, reference = drawn()
    rows = score_structures(LabelMap(predicted, AFFINE, FOUR), LabelMap(reference, AFFINE, FOUR), scan="sub-01")
    diagonal = np.sqrt((4 * 0.5) ** 2 + (5 * 2.0) ** 2 + (6 * 3.0) ** 2)
    assert [(row.scan, row.index, row.name) for row in rows] == [
        ("sub-01", 7, "a"),
        ("sub-01", 3, "b"),
        ("sub-01", 900, "c"),
    ]
    measures = ("dice", "hd95_mm", "asd_mm", "volume_predicted_mm3", "volume_reference_mm3")
    values = [[getattr(row, measure) for measure in measures] for row in rows]
    np.testing.assert_allclose(
        values, [[0.5, 2.0, 1.0, 12.0, 12.0], [0.0, diagonal, diagonal, 0.0, 3.0], [np.nan, np.nan, np.nan, 0.0, 0.0]]
    )


def test_the_stored_order_of_the_axes_does_not_matter():
    predicted, reference = drawn()
    # the same voxels at the same places: k, i, j with i reversed
    turned = reference.transpose(2, 0, 1)[:, ::-1]
    affine = AFFINE[:, [2, 0, 1, 3]].copy()
    affine[:3, 1] *= -1
    affine[:3, 3] += AFFINE[:3, 0] * 4
    rows = score_structures(LabelMap(predicted, AFFINE, FOUR), LabelMap(turned, affine, FOUR), scan="s")
    np.testing.assert_allclose([rows[0].dice, rows[0].hd95_mm, rows[0].asd_mm], [0.5, 2.0, 1.0])


@pytest.mark.parametrize(("axis", "shift"), [(0, 0.1), (1, -2.0), (2, 3.0)])
def test_voxels_at_other_places_are_refused_with_both_grids(axis, shift):
    predicted, reference = drawn()
    moved = AFFINE.copy()
    moved[axis, 3] += shift
    with pytest.raises(GridError, match=r"5 x 6 x 7 voxels of 0.5 x 2 x 3 mm, LAS.*reference labels on 5 x 6 x 7"):
        score_structures(LabelMap(predicted, AFFINE, FOUR), LabelMap(reference, moved, FOUR), scan="s")


def test_other_extents_are_refused():
    predicted, reference = drawn()
    with pytest.raises(GridError, match=r"5 x 6 x 6 voxels.*bring them to one grid"):
        score_structures(LabelMap(predicted[:, :, :6], AFFINE, FOUR), LabelMap(reference, AFFINE, FOUR), scan="s")


def test_a_fine_reference_is_mapped_onto_the_prediction():
    coarse, fine = load_scheme("deepnat25"), load_scheme("neuromorphometrics")
    ids = np.array([[[0, 4, 11, 15]], [[30, 32, 31, 4]]], np.int16)  # 15 and 30 belong to none of the 25
    predicted = LabelMap(np.zeros((2, 1, 4), np.int16), AFFINE, coarse)
    left, right = map_together(predicted, LabelMap(ids, AFFINE, fine))
    assert (left.scheme.name, right.scheme.name) == ("deepnat25", "deepnat25")
    np.testing.assert_array_equal(right.ids, [[[0, 14, 15, 0]], [[0, 18, 54, 14]]])
    np.testing.assert_array_equal(left.ids, predicted.ids)


def test_a_fine_prediction_is_mapped_onto_a_coarse_reference():
    coarse, fine = load_scheme("deepnat25"), load_scheme("neuromorphometrics")
    predicted = LabelMap(np.full((2, 1, 4), 11, np.int16), AFFINE, fine)
    left, _ = map_together(predicted, LabelMap(np.zeros((2, 1, 4), np.int16), AFFINE, coarse))
    assert left.scheme.name == "deepnat25"
    np.testing.assert_array_equal(left.ids, np.full((2, 1, 4), 15))


def test_two_fine_maps_stay_fine_unless_a_scheme_is_asked_for():
    fine = load_scheme("neuromorphometrics")
    ids = LabelMap(np.full((2, 1, 4), 11, np.int16), AFFINE, fine)
    assert map_together(ids, ids)[0].scheme.name == "neuromorphometrics"
    mapped = map_together(ids, ids, scheme="deepnat25")
    assert mapped[0].scheme.name == mapped[1].scheme.name == "deepnat25"
    np.testing.assert_array_equal(mapped[1].ids, np.full((2, 1, 4), 15))


def test_schemes_without_a_mapping_are_refused():
    a = LabelMap(np.zeros((2, 3, 4), np.int16), AFFINE, FOUR)
    b = LabelMap(np.zeros((2, 3, 4), np.int16), AFFINE, load_scheme("deepnat25"))
    with pytest.raises(LabelError, match=r"in the scheme four, reference labels in deepnat25.*one maps onto the other"):
        map_together(a, b)
    with pytest.raises(LabelError, match=r"both map onto neuromorphometrics"):
        map_together(b, b, scheme="neuromorphometrics")
    with pytest.raises(LabelError, match="map them together first"):
        score_structures(a, b, scan="s")


def test_the_table_is_read_back():
    scores = (
        StructureScore("sub-01", 7, "a b", 0.912345, 1.4142, 0.25, 1234.5, 1000000.0),
        StructureScore("sub-02", 7, "a b", np.nan, np.nan, np.nan, 0.0, 0.0),
    )
    text = scores_table(scores)
    assert text.splitlines()[0] + "\n" == HEADER
    assert text.splitlines()[1:] == [
        "sub-01\t7\ta b\t0.912345\t1.4142\t0.2500\t1234.5\t1000000",
        "sub-02\t7\ta b\tn/a\tn/a\tn/a\t0\t0",
    ]
    first, second = parse_scores("\ufeff" + text)  # as spreadsheets write it
    assert first == scores[0]
    assert (second.scan, second.volume_predicted_mm3, np.isnan(second.dice)) == ("sub-02", 0.0, True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no column scan, index"),
        ("index\tname\n4\ta\n", "has no column scan, dice"),
        (HEADER, "holds no row"),
        (HEADER + "s\t7\ta\thigh\t1\t1\t1\t1\n", "line 2 cannot be read"),
        (HEADER + "s\t7\ta\t0.5\t1\n", "line 2 cannot be read"),
        (HEADER + "s\tx\ta\t0.5\t1\t1\t1\t1\n", "line 2 cannot be read"),
        (HEADER + "s\t7\ta\t0.5\tinf\t1\t1\t1\n", "line 2 cannot be read (hd95_mm is infinite)"),
        (HEADER + "s\t7\ta\t0.5\t1\t-Infinity\t1\t1\n", "line 2 cannot be read (asd_mm is infinite)"),
        pytest.param(HEADER + 140000 * "s" + "\t7\ta\t0.5\t1\t1\t1\t1\n", "line 2 cannot be read (field", id="long"),
        pytest.param(140000 * "s" + "\n", "line 1 cannot be read (field larger than", id="long header"),
        (HEADER + "s\t7\ta\t0.5\t1\t1\t1\t1\n" * 2, "line 3: structure 7 of scan s stands there a second time"),
    ],
)
def test_a_damaged_table_is_refused_with_the_line(text, complaint):
    with pytest.raises(UnusableInputError, match=re.escape(complaint)):
        parse_scores(text)
