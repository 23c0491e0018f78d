import tracemalloc

import numpy as np
import pytest

from neuronat.errors import LabelError, ShapeError
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.measure.overlap import count_jointly, dice_of_counts, dice_per_structure, fast_classes

FOUR = LabelScheme("four", (0, 7, 3, 900), ("none", "a", "b", "c"), ("#000000",) * 4, (0, 3, 7, 900))


def drawn(*rows):
    """A map of extents (2, 3, 4), written as six strings: . 0, a 7, b 3, c 900."""
    ids = {".": 0, "a": 7, "b": 3, "c": 900}
    return np.array([[ids[letter] for letter in row] for row in rows], np.int16).reshape(2, 3, 4)


PREDICTED = drawn("aab.", "aabb", "....", "c...", "....", "....")
REFERENCE = drawn("aa..", "abbb", "..b.", "....", "....", "....")


def test_dice_is_counted_by_hand():
    dice = dice_per_structure(PREDICTED, REFERENCE, FOUR)
    # a: 4 and 3 voxels, 3 common; b: 3 and 4 voxels, 2 common; c: 1 voxel predicted, none in the reference
    np.testing.assert_allclose([dice[7], dice[3]], [6 / 7, 4 / 7], rtol=1e-12)
    assert dice[900] == 0.0
    assert list(dice) == [7, 3, 900]


def test_a_missed_structure_has_the_worst_dice_and_an_absent_one_has_none():
    nothing = np.zeros((2, 3, 4), np.int16)
    dice = dice_per_structure(nothing, REFERENCE, FOUR)
    assert dice[7] == dice[3] == 0.0
    assert np.isnan(dice[900])


def test_joint_counts_have_predicted_rows_and_reference_columns():
    counts = count_jointly(PREDICTED, REFERENCE, FOUR)
    expected = [[15, 0, 1, 0], [0, 3, 1, 0], [1, 0, 2, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(counts, expected)


def test_dice_of_counts_needs_no_maps():
    np.testing.assert_allclose(dice_of_counts(np.array([[5, 1, 0], [2, 3, 0], [0, 0, 0]])), [10 / 13, 6 / 9, np.nan])


def test_counts_go_on_beyond_one_part():
    # 1.3 million voxels: more than one part of the histogram, drawn as blocks
    predicted = np.zeros((100, 110, 120), np.uint8)
    reference = np.zeros((100, 110, 120), np.uint8)
    predicted[:60, :, :] = 7
    reference[40:, :, 30:] = 7
    expected = [[40 * 110 * 30, 40 * 110 * 90], [60 * 110 * 120 - 20 * 110 * 90, 20 * 110 * 90]]
    np.testing.assert_array_equal(count_jointly(predicted, reference, FOUR)[:2, :2], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_integer_types_give_the_same_classes(dtype):
    ids = np.array([[[0, 3, 7]], [[7, 0, 3]]], dtype)
    np.testing.assert_array_equal(fast_classes(ids, FOUR), [[[0, 2, 1]], [[1, 0, 2]]])


def test_a_mirrored_map_exchanges_the_pairs():
    scheme = load_scheme("neuromorphometrics")
    ids = np.random.default_rng(3).choice(scheme.ids, (5, 6, 7)).astype(np.int16)
    partner_of = dict(zip(scheme.ids, scheme.partners, strict=True))
    swapped = np.vectorize(partner_of.get)(ids)
    dice = dice_per_structure(swapped, ids, scheme)
    for index, partner in partner_of.items():
        if index and (ids == index).any() and partner == index:
            assert dice[index] == 1.0
        elif index and (ids == index).any():
            assert dice[index] == 0.0


def test_misfit_names_both_shapes():
    with pytest.raises(ShapeError, match=r"\(2, 3, 4\).*\(2, 3, 5\) differ"):
        dice_per_structure(PREDICTED, np.zeros((2, 3, 5), np.int16), FOUR)


@pytest.mark.parametrize("stranger", [5, -1, 901, 70000])
def test_unknown_ids_are_named_with_their_counts(stranger):
    ids = REFERENCE.astype(np.int32)
    ids[0, 0, :2] = stranger
    with pytest.raises(LabelError, match=rf"predicted labels: ids {stranger} \(2 voxels\)"):
        dice_per_structure(ids, REFERENCE, FOUR)


def test_a_scheme_as_large_as_the_table_of_classes_still_names_strangers():
    # 255 classes: the first one that stands for no structure has the number that marks a stranger
    ids = (*range(200), *range(201, 256))
    scheme = LabelScheme("large", ids, tuple(map(str, ids)), ("#000000",) * 255, ids)
    assert fast_classes(np.array([255, 0, 199]), scheme).tolist() == [254, 0, 199]
    with pytest.raises(LabelError, match=r"ids 200 \(2 voxels\) are not in the scheme large"):
        fast_classes(np.array([200, 3, 200]), scheme)


def test_an_id_of_many_digits_needs_no_table_of_its_size():
    atlas = LabelScheme("atlas", (0, 200_000_000), ("none", "a"), ("#000000",) * 2, (0, 200_000_000))
    ids = np.array([200_000_000, 0, 200_000_000], np.int32)
    tracemalloc.start()
    assert fast_classes(ids, atlas).tolist() == [1, 0, 1]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000, "bytes; a table of all ids has 200 million"
