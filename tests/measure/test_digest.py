import numpy as np

from neuronat.measure.compare import Comparison, Summary
from neuronat.measure.digest import comparison_page, significance_table, summary_table
from neuronat.measure.significance import PairedTest

SUMMARIES = (
    Summary("x|1", None, "all structures", "dice", 7, 0, 0.8125, 0.82, 0.01),
    Summary("x|1", None, "all structures", "hd95_mm", 7, 0, 2.5, 2.0, 0.25),
    Summary("x|1", None, "all structures", "asd_mm", 1, 6, 0.5, 0.5, np.nan),
    Summary("x|1", 4, "ventricle", "dice", 0, 7, np.nan, np.nan, np.nan),
)
TESTS = (
    PairedTest("x|1", "y", None, "all structures", 7, 0.02, 3.0, 0.03125, 0.0625),
    PairedTest("x|1", "y", 4, "ventricle", 5, 0.01, np.nan, np.nan, np.nan, "5 scans differ; needs 6"),
    PairedTest("x|1", "y", 9, "caudate", 9, 0.01, 2.0, 0.004, 0.008),
)
ONE = Comparison(("x|1",), ("s0",) * 7, (4,), ("ventricle",), {}, ("x: 2 scans left out",))


def test_the_summary_is_a_table_with_na():
    lines = summary_table(SUMMARIES).splitlines()
    assert lines[0] == "method\tindex\tname\tmetric\tn_scans\tn_without\tmean\tmedian\tstandard_error"
    assert lines[1] == "x|1\tn/a\tall structures\tdice\t7\t0\t0.8125\t0.82\t0.01"
    assert lines[4] == "x|1\t4\tventricle\tdice\t0\t7\tn/a\tn/a\tn/a"


def test_the_tests_are_a_table_with_reasons():
    lines = significance_table(TESTS, correction="holm").splitlines()
    assert lines[0].split("\t")[5:] == ["median_difference", "statistic", "p", "p_corrected", "correction", "reason"]
    assert lines[1] == "x|1\ty\tn/a\tall structures\t7\t0.02\t3\t0.03125\t0.0625\tholm\tn/a"
    assert lines[2].endswith("\tn/a\tn/a\tn/a\tholm\t5 scans differ; needs 6")


def test_the_page_shows_means_the_tests_that_matter_and_what_was_left_out():
    page = comparison_page(ONE, SUMMARIES, TESTS, correction="holm")
    assert page.startswith("# x\\|1\n\n7 scans, 1 structures.\n")
    assert "- Left out: x: 2 scans left out" in page
    assert "| x\\|1 | 0.812 ± 0.010 (0.820) | 2.500 ± 0.250 (2.000) | 0.500 (0.500, 6 n/a) |" in page
    assert "| x\\|1 | y | all structures | 0.02 | 0.03125 | 0.0625 |" in page
    assert "| x\\|1 | y | caudate | 0.01 | 0.004 | 0.008 |" in page
    assert "| ventricle | 0.01 |" not in page
    assert (
        "\n1 tests of single structures with a corrected p of 0.05 or more, or n/a, stand in tests.tsv only.\n" in page
    )
    assert "| 4 | ventricle | n/a |" in page


def test_the_page_says_why_there_is_no_p():
    few = PairedTest("x|1", "y", None, "all structures", 5, 0.02, np.nan, np.nan, np.nan, "5 scans differ; needs 6")
    page = comparison_page(ONE, SUMMARIES, (few,), correction="holm")
    assert "| x\\|1 | y | all structures | 0.02 | n/a (5 scans differ; needs 6) | n/a |" in page


def test_a_page_of_one_method_has_no_tests():
    assert "Differences" not in comparison_page(ONE, SUMMARIES, (), correction="holm")


def test_the_page_shows_tests_of_structures_below_one_in_twenty():
    tests = [PairedTest("x|1", "y", 9, name, 9, 0.01, 2.0, 0.01, p) for name, p in (("a", 0.0499), ("b", 0.05))]
    page = comparison_page(ONE, SUMMARIES, tests, correction="holm")
    assert "| x\\|1 | y | a | 0.01 | 0.01 | 0.0499 |" in page
    assert "| x\\|1 | y | b |" not in page
