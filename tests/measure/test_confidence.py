import numpy as np
import pytest

from neuronat.errors import ConfigError
from neuronat.labels.scheme import load_scheme
from neuronat.measure.confidence import Calibration, calibrated, expected_dice, fit_calibration, judge_confidence


def test_certain_labels_promise_a_dice_of_one_and_those_of_chance_less():
    classes = np.array([0, 1, 1, 2], np.uint8)
    sure = expected_dice(classes, np.ones(4, np.float32), np.array([1.0, 2.0, 1.0, 0.0]))
    np.testing.assert_array_equal(sure, [1, 1, 1, np.nan])
    unsure = expected_dice(classes, np.full(4, 0.5, np.float32), np.array([1.0, 1.5, 1.0, 0.5]))
    np.testing.assert_allclose(unsure, [2 * 0.5 / (1 + 1), 2 * 1.0 / (2 + 1.5), 2 * 0.5 / (1 + 1), np.nan])


def test_where_probabilities_are_true_the_expected_dice_is_the_true_one(rng):
    # 200,000 voxels draw their true class by the probabilities that the network gave
    share = rng.beta(0.4, 0.6, 200_000)
    truth = rng.random(len(share)) < share
    classes = (share > 0.5).astype(np.uint8)
    certainty = np.maximum(share, 1 - share).astype(np.float32)
    expected = expected_dice(classes, certainty, np.array([np.sum(1 - share), share.sum()]))
    true_dice = 2 * np.sum(truth & (classes == 1)) / (truth.sum() + classes.sum())
    assert expected[1] == pytest.approx(true_dice, abs=0.005)  # chance: about 0.001


def test_a_calibration_is_found_again_from_what_it_made(rng):
    known = Calibration(offset=-0.7, expected=0.6, size=0.25)
    expected, size_ml = rng.uniform(0.3, 0.98, 400), np.exp(rng.uniform(-2, 5, 400))
    found = fit_calibration(expected, size_ml, calibrated(known, expected, size_ml))
    np.testing.assert_allclose([found.offset, found.expected, found.size], [-0.7, 0.6, 0.25], atol=2e-3)


def test_mean_confidence_is_mean_dice_and_it_never_falls_with_certainty(rng):
    expected, size_ml = rng.uniform(0.3, 0.98, 300), np.exp(rng.uniform(-2, 5, 300))
    dice = np.clip(1.1 - expected + rng.normal(0, 0.1, 300), 0, 1)  # the surer, the worse
    found = fit_calibration(expected, size_ml, dice)
    assert (found.expected, found.size >= 0) == (0, True)
    assert calibrated(found, expected, size_ml).mean() == pytest.approx(dice.mean(), abs=1e-3)


def test_too_little_to_fit_is_refused():
    few = np.full(19, 0.5)
    with pytest.raises(ConfigError, match="needs 20 structures with all numbers; got 19"):
        fit_calibration(few, few, few)
    enough = np.full(20, 0.5)
    assert calibrated(fit_calibration(enough, enough, enough), enough, enough) == pytest.approx(enough, abs=1e-3)
    holed = np.where(np.arange(30) == 3, np.nan, 0.5)
    with pytest.raises(ConfigError, match="needs 20 structures with all numbers; got 30"):
        fit_calibration(np.full(30, 0.5), np.ones(30), holed)
    with pytest.raises(ConfigError, match="needs 20 structures with all numbers; got 30"):
        fit_calibration(holed, np.ones(30), np.full(30, 0.5))


@pytest.mark.parametrize(
    "numbers",
    [
        {"offset": np.nan, "expected": 1.0, "size": 0.0},
        {"offset": 0.0, "expected": -0.1, "size": 0.0},
        {"offset": 0.0, "expected": 1.0, "size": np.inf},
        {"offset": 0.0, "expected": np.inf, "size": 0.0},
        {"offset": 0.0, "expected": 1.0, "size": 0.0, "usual": {"17": 1.01}},
        {"offset": 0.0, "expected": 1.0, "size": 0.0, "usual": {"17": -0.01}},
        {"offset": 0.0, "expected": 1.0, "size": 0.0, "usual": {"Hippocampus": 0.5}},
    ],
)
def test_a_calibration_checks_its_numbers(numbers: dict):
    with pytest.raises(ConfigError, match=r"needs finite numbers|is a number in"):
        Calibration(**numbers)


def test_a_usual_confidence_may_be_none_or_full():
    assert Calibration(offset=0.0, expected=1.0, size=0.0, usual={"17": 0.0, "53": 1.0}).usual["53"] == 1


def test_the_surest_network_is_taken_for_a_thousandth_from_certain():
    taken_at_its_word = Calibration(offset=0.0, expected=1.0, size=0.0)
    found = calibrated(taken_at_its_word, np.array([0.0, 0.9995, 1.0]), np.ones(3))
    np.testing.assert_allclose(found, [0.001, 0.999, 0.999], rtol=1e-9)


def test_structures_below_their_usual_confidence_are_named():
    scheme = load_scheme("deepnat25")
    usual = {"10": 0.9, "17": 0.8, "18": 0.7}
    assert judge_confidence({10: 0.81, 17: 0.75, 18: 0.7, 53: 0.1}, usual, scheme) == ()  # nothing is usual of 53
    findings = judge_confidence({10: 0.5, 17: 0.58, 18: 0.7}, usual, scheme)
    assert [(f.level, f.index, f.reason) for f in findings] == [
        ("review", 10, "low confidence in Left-Thalamus (0.50, usually 0.90)"),
        ("review", 17, "low confidence in Left-Hippocampus (0.58, usually 0.80)"),
    ]


def test_a_few_of_very_many_are_no_reason():
    scheme = load_scheme("neuromorphometrics")
    usual = {str(index): 0.9 for index in scheme.ids[1:]}
    confidence = {index: 0.85 for index in scheme.ids[1:]}
    least = len(confidence) // 20
    few, more = ({**confidence, **dict.fromkeys(scheme.ids[1:n], 0.3)} for n in (least, least + 1))
    assert judge_confidence(few, usual, scheme) == ()
    (finding,) = judge_confidence(more, usual, scheme)
    assert finding.reason.endswith(f"and {least - 3} more")


def test_many_low_structures_make_one_line():
    scheme = load_scheme("deepnat25")
    usual = {str(index): 0.9 for index in scheme.ids}
    (finding,) = judge_confidence({10: 0.5, 17: 0.4, 18: 0.6, 53: 0.7, 49: 0.85}, usual, scheme)
    assert finding.index is None
    assert finding.reason.startswith("low confidence in Left-Hippocampus (0.40, usually 0.90), Left-Thalamus")
    assert finding.reason.endswith("and 1 more")
