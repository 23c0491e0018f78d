import numpy as np
import pytest

from neuronat.errors import UnusableInputError
from neuronat.measure.compare import join_scores, mean_known, summarize
from neuronat.measure.scores import StructureScore


def score(scan, index, dice, *, name="", hd95_mm=1.0, asd_mm=0.5):
    return StructureScore(scan, index, name or f"structure {index}", dice, hd95_mm, asd_mm, 10.0, 11.0)


def table(dice):
    """Scores from rows (scan) of columns (structures 4, 9, 2)."""
    return [
        score(f"s{row}", index, value)
        for row, values in enumerate(dice)
        for index, value in zip((4, 9, 2), values, strict=True)
    ]


def test_scores_are_paired_by_scan_and_structure_in_any_order():
    first = table([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    second = table([[0.7, 0.8, 0.9], [0.65, 0.75, 0.85]])[::-1]
    joined = join_scores({"x": first, "y": second})
    assert (joined.methods, joined.scans, joined.indices) == (("x", "y"), ("s0", "s1"), (4, 9, 2))
    np.testing.assert_array_equal(
        joined.values["dice"],
        [[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], [[0.7, 0.8, 0.9], [0.65, 0.75, 0.85]]],
    )
    assert joined.left_out == ()


def test_what_only_one_method_has_is_left_out_and_said():
    first = [*table([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), score("s9", 4, 0.5)]
    second = [*table([[0.7, 0.8, 0.9]]), score("s0", 30, 0.1)]
    joined = join_scores({"x": first, "y": second})
    assert (joined.scans, joined.indices) == (("s0",), (4, 9, 2))
    assert joined.left_out == (
        "x: 2 scans without a partner in every table left out (s1, s9)",
        "y: 1 structures without a partner in every table left out ((30, 'structure 30'))",
    )


def test_scans_are_sorted_whatever_the_order_of_the_tables():
    names = [f"s{n:02d}" for n in range(40)]
    first = [score(name, 4, 0.5) for name in names[::-1]]
    joined = join_scores({"x": first, "y": first[7:] + first[:7]})
    assert joined.scans == tuple(names)


def test_what_is_left_out_is_listed_up_to_five():
    def left_out(n: int) -> str:
        (line,) = join_scores(
            {"x": [score(f"s{k}", 4, 0.5) for k in range(n + 1)], "y": [score("s0", 4, 0.5)]}
        ).left_out
        return line

    assert left_out(5) == "x: 5 scans without a partner in every table left out (s1, s2, s3, s4, s5)"
    assert left_out(6) == "x: 6 scans without a partner in every table left out (s1, s2, s3, s4, s5, ...)"


def test_a_number_with_two_names_is_two_structures():
    first, second = [score("s0", 4, 0.5, name="3rd Ventricle")], [score("s0", 4, 0.5, name="Left-Lateral-Ventricle")]
    with pytest.raises(UnusableInputError, match="x, y have no structure in common"):
        join_scores({"x": first, "y": second})


def test_tables_of_other_scans_are_refused():
    with pytest.raises(UnusableInputError, match="x, y have no scan in common"):
        join_scores({"x": [score("s0", 4, 0.5)], "y": [score("s1", 4, 0.5)]})


def test_summaries_are_computed_by_hand():
    joined = join_scores({"x": table([[0.2, 0.4, 0.6], [0.4, 0.8, np.nan], [0.9, 0.9, 0.9]])})
    rows = {(r.name, r.metric): r for r in summarize(joined)}
    one, last, overall = rows["structure 4", "dice"], rows["structure 2", "dice"], rows["all structures", "dice"]
    # 0.2, 0.4, 0.9: deviations -0.3, -0.1, 0.4 from 0.5; variance 0.26 / 2
    assert (one.n_scans, one.n_without) == (3, 0)
    np.testing.assert_allclose([one.mean, one.median, one.standard_error], [0.5, 0.4, np.sqrt(0.13 / 3)])
    # 0.6 and 0.9 remain
    assert (last.n_scans, last.n_without) == (2, 1)
    np.testing.assert_allclose([last.mean, last.median, last.standard_error], [0.75, 0.75, 0.15])
    # scans' means 0.4, 0.6, 0.9
    np.testing.assert_allclose([overall.mean, overall.median], [1.9 / 3, 0.6])
    assert overall.index is None


def test_nothing_known_gives_no_number_and_one_scan_no_error():
    joined = join_scores({"x": table([[0.2, np.nan, 0.6]])})
    rows = {r.name: r for r in summarize(joined) if r.metric == "dice"}
    nothing, single = rows["structure 9"], rows["structure 4"]
    assert (nothing.n_scans, nothing.n_without) == (0, 1)
    np.testing.assert_array_equal([nothing.mean, nothing.median, nothing.standard_error], [np.nan] * 3)
    np.testing.assert_array_equal([single.mean, single.standard_error], [0.2, np.nan])


def test_distances_are_summarized_too():
    joined = join_scores({"x": [score("s0", 4, 0.5, hd95_mm=3.0, asd_mm=2.0), score("s1", 4, 0.5)]})
    means = {r.metric: r.mean for r in summarize(joined) if r.index == 4}
    assert means == {"dice": 0.5, "hd95_mm": 2.0, "asd_mm": 1.25}


def test_mean_known_leaves_out_what_is_not_there():
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan], [np.nan, 5.0, np.nan]])
    np.testing.assert_array_equal(mean_known(values), [2.0, np.nan, 5.0])
