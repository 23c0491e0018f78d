import numpy as np
import pytest

from neuronat.errors import ConfigError
from neuronat.infer.islands import IslandConfig, without_islands
from neuronat.labels.scheme import LabelScheme, load_scheme

SCHEME = load_scheme("deepnat25")
THIRD, FOURTH, VENTRICLE, CORTEX = (
    SCHEME.names.index(name)
    for name in ("3rd-Ventricle", "4th-Ventricle", "Left-Lateral-Ventricle", "Left-Cerebral-Cortex")
)
LETTER = {"3": THIRD, "4": FOURTH, "v": VENTRICLE, "c": CORTEX, ".": 0}


def drawn(line, second=None):
    """Probabilities along a drawn line of voxels: 0.6 for what is drawn, 0.3 for what is drawn below it."""
    rows = np.full((len(line), SCHEME.n_classes), 0.1 / (SCHEME.n_classes - 2), np.float32)
    for voxel, (first, other) in enumerate(zip(line, second or "." * len(line), strict=True)):
        rows[voxel, LETTER[other]] = 0.3
        rows[voxel, LETTER[first]] = 0.6
    return rows / rows.sum(axis=1, keepdims=True)


def labelled(rows):
    letters = {number: letter for letter, number in LETTER.items()}
    return "".join(letters[number] for number in rows.argmax(axis=1).tolist())


def cleaned(rows, spacing_mm=(1.0, 1.0, 1.0), shape=(1, 1, -1), **config):
    mask = np.ones(np.empty(len(rows)).reshape(shape).shape, bool)
    return without_islands(rows, mask, np.array(spacing_mm), SCHEME, IslandConfig(**config))


@pytest.mark.parametrize(
    ("drawing", "below", "expected"),
    [
        ("33333.....33", "cccccccccccc", "33333.....cc"),  # 6 mm away
        ("33333....33", "ccccccccccc", "33333....33"),  # 5 mm away
        ("3333.....33", "ccccccccccc", "3333.....33"),  # half as large as the body
        ("vvvvv.....vv", "cccccccccccc", "vvvvv.....vv"),  # comes in pieces
        ("33.3333333.......3", "cccccccccccccccccc", "33.3333333.......c"),  # the body need not come first
        ("33333333...33333333333333333333", "c" * 31, "33333333...33333333333333333333"),  # long, near at its other end
        (".....", "ccccc", "....."),
    ],
)
def test_far_and_small_pieces_go_to_the_next_class(drawing, below, expected):
    assert labelled(cleaned(drawn(drawing, below))) == expected


def test_probabilities_elsewhere_stay_and_all_sum_to_one():
    rows = drawn("33333.....33", "cccccccccccc")
    found = cleaned(rows)
    np.testing.assert_array_equal(found[:10], rows[:10])
    np.testing.assert_array_equal(found[10:, THIRD], 0)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[10:, CORTEX], 0.3 / 0.4, atol=1e-6)
    assert labelled(rows) == "33333.....33"  # the input is left as it was


def test_a_piece_that_becomes_an_island_again_goes_on():
    drawing, below = "44444" + 8 * "." + "33" + 8 * "." + "33333", "." * 13 + "44" + "." * 13
    rows = drawn(drawing, below)
    rows[13:15, CORTEX] = 0.2
    rows /= rows.sum(axis=1, keepdims=True)
    assert labelled(cleaned(rows)) == "44444" + 8 * "." + "cc" + 8 * "." + "33333"


def test_distances_are_in_mm_and_pieces_hang_together_by_corners():
    rows = drawn("3333" + "...." + "...3" + "....", "cccc" * 4)
    wide = {"spacing_mm": (1.0, 3.0, 0.5), "shape": (1, 4, 4), "largest_share": 1.0}
    assert labelled(cleaned(rows, **wide, reach_mm=6.5)) == labelled(rows)  # two rows of 3 mm
    assert labelled(cleaned(rows, **wide, reach_mm=6.0)) == "3333" + "...." + "...c" + "...."
    corner = drawn("33.." + "..3." + "...3" + "....", "cccc" * 4)
    assert labelled(cleaned(corner, shape=(1, 4, 4), reach_mm=1.0)) == labelled(corner)


def test_a_certain_island_becomes_background():
    rows = np.zeros((12, SCHEME.n_classes), np.float32)
    for voxel, letter in enumerate("33333.....33"):
        rows[voxel, LETTER[letter]] = 1
    assert labelled(cleaned(rows)) == "33333......."


def test_only_voxels_of_the_mask_have_rows():
    mask = np.zeros((2, 3, 20), bool)
    mask[1, 2, 3:15] = mask[0, 0, 0] = True
    rows = np.concatenate([drawn("c"), drawn("33333.....33", "cccccccccccc")])
    found = without_islands(rows, mask, np.ones(3), SCHEME, IslandConfig())
    assert labelled(found) == "c33333.....cc"


def test_protocols_that_nobody_looked_at_are_left_alone():
    other = LabelScheme("other", SCHEME.ids, SCHEME.names, SCHEME.colours, SCHEME.partners)
    rows = drawn("33333.....33", "cccccccccccc")
    found = without_islands(rows, np.ones((1, 1, 12), bool), np.ones(3), other, IslandConfig())
    np.testing.assert_array_equal(found, rows)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"IslandConfig\.reach_mm must be above 0; got 0"):
        IslandConfig(reach_mm=0)
