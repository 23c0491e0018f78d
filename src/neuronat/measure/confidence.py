"""How much of each structure is right: what the network's own probabilities say, and what that was worth before.

The **expected Dice** of a structure is the Dice coefficient that its probabilities promise, taken at their word.
Networks are surer than they should be, so nobody is shown that number. A **calibration**, fitted on scans that the
network had not seen and whose labels are known, turns it into **confidence**: the Dice coefficient to be expected.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from neuronat.errors import ConfigError
from neuronat.labels.scheme import LabelScheme
from neuronat.measure.plausible import Finding

__all__ = ["Calibration", "calibrated", "expected_dice", "fit_calibration", "judge_certainty", "judge_confidence"]

SURE = 0.999
UNSURE_SHARE = 0.2
LEAST_ROWS = 20
DROP = 0.2
FEW = 0.05
MOST_LISTED = 3


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Logistic map from expected Dice and size to confidence; `usual` holds a structure's confidence by its id.

    confidence = s(offset + expected logit(expected Dice) + size ln(volume in ml)), s the logistic function. The weights
    are at least 0, so that the surer network never gets the lower confidence. `usual` is the mean over unspoiled scans.
    """

    offset: float
    expected: float
    size: float
    usual: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.offset) or not (0 <= self.expected < math.inf and 0 <= self.size < math.inf):
            raise ConfigError(f"a calibration needs finite numbers, and weights of at least 0; got {self}")
        for index, usual in self.usual.items():
            if not index.isdecimal() or not 0 <= usual <= 1:
                raise ConfigError(f"usual confidence is a number in [0, 1] by id; got {usual!r} for {index!r}")


def expected_dice(
    classes: NDArray[np.uint8], certainty: NDArray[np.float32], masses: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the Dice coefficient that probabilities promise for each class.

    Parameters
    ----------
    classes : (V,) uint8
        The class chosen at each voxel.
    certainty : (V,) float32
        Probability of that class.
    masses : (C,) float64
        Sum of the probabilities of each class over all voxels.

    Returns
    -------
    (C,) float64
        In [0, 1]; NaN for a class that no voxel has.

    Notes
    -----
    Source: ours. If each voxel were class c with its probability p, of n chosen voxels S = sum of p over them would be
    right, and M = sum of p over all voxels would be true; 2 S / (n + M) is the Dice coefficient of these sums.

    Examples
    --------
    >>> classes, certainty = np.array([1, 1, 0], np.uint8), np.array([1.0, 0.5, 0.75], np.float32)
    >>> expected_dice(classes, certainty, np.array([0.75 + 0.5, 1.75, 0.0])).round(3).tolist()
    [0.667, 0.8, nan]
    """
    n_chosen = np.bincount(classes, minlength=len(masses)).astype(np.float64)
    right = np.bincount(classes, weights=certainty, minlength=len(masses))
    unknown = np.full(len(masses), np.nan)
    promised: NDArray[np.float64] = np.divide(2 * right, n_chosen + masses, out=unknown, where=n_chosen > 0)
    return promised


def calibrated(
    calibration: Calibration, expected: NDArray[np.float64], size_ml: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the confidence (N,) in structures of an expected Dice (N,) and a size (N,) in ml, above 0.

    Notes
    -----
    Source: ours (decision 0037).

    Examples
    --------
    >>> taken_at_its_word = Calibration(offset=0.0, expected=1.0, size=0.0)
    >>> calibrated(taken_at_its_word, np.array([0.25, 0.75]), np.array([1.0, 9.0])).tolist()
    [0.25, 0.75]
    """
    scores = _features(expected, size_ml) @ np.array([calibration.offset, calibration.expected, calibration.size])
    confidence: NDArray[np.float64] = 1 / (1 + np.exp(-scores))
    return confidence


def fit_calibration(
    expected: NDArray[np.float64], size_ml: NDArray[np.float64], dice: NDArray[np.float64]
) -> Calibration:
    """Fit a calibration to structures whose Dice coefficient is known.

    Parameters
    ----------
    expected, size_ml, dice : (N,) float64
        Expected Dice, size in ml, and true Dice, of structures of scans that the network had not seen.

    Returns
    -------
    Calibration
        Without `usual`.

    Raises
    ------
    ConfigError
        If there are fewer than 20 structures, or a number is missing.

    Notes
    -----
    Source: ours. Cross-entropy of a true share and a predicted one, so that over the rows fitted the mean confidence is
    the mean Dice; convex, with one minimum.
    """
    features = _features(expected, size_ml)
    if len(dice) < LEAST_ROWS or not (np.isfinite(features).all() and np.isfinite(dice).all()):
        raise ConfigError(f"a calibration needs {LEAST_ROWS} structures with all numbers; got {len(dice)}")

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = features @ weights
        slope = features.T @ (1 / (1 + np.exp(-scores)) - dice)
        return float(np.mean(np.logaddexp(0, scores) - dice * scores)), slope / len(dice)

    free, positive = (None, None), (0.0, None)
    found = optimize.minimize(loss, np.array([0.0, 1.0, 0.0]), jac=True, bounds=[free, positive, positive])
    offset, by_expected, by_size = (float(weight) for weight in found.x)
    return Calibration(offset=offset, expected=by_expected, size=by_size)


def judge_certainty(most_probable: NDArray[np.float32]) -> tuple[Finding, ...]:
    """Judge how sure the networks were: `most_probable` (N,) holds the largest probability of each brain voxel.

    Notes
    -----
    Source: ours. `review` where a fifth of the voxels has no class with a probability of at least 0.5.
    """
    share = float(np.mean(most_probable < 0.5)) if most_probable.size else 0.0
    return (Finding("review", f"no label is likely in {share:.0%} of the brain"),) if share > UNSURE_SHARE else ()


def judge_confidence(
    confidence: Mapping[int, float], usual: Mapping[str, float], scheme: LabelScheme
) -> tuple[Finding, ...]:
    """Judge in which structures there is clearly less confidence than in unspoiled scans.

    Parameters
    ----------
    confidence : mapping of int to float
        By id.
    usual : mapping of str to float
        By id, as in a `Calibration`.
    scheme : LabelScheme
        The names.

    Returns
    -------
    tuple of Finding
        `review` for each structure that is 0.2 or more below its usual confidence; one for all where they are many,
        none where they are fewer than a twentieth of a protocol of many structures.

    Notes
    -----
    Source: ours (decision 0037). What is small and always hard to label is no news; what is harder than usual is.
    """
    drops = {index: usual.get(str(index), 0.0) - value for index, value in confidence.items()}
    low = sorted((index for index, drop in drops.items() if drop >= DROP), key=lambda index: -drops[index])
    if len(low) < int(FEW * len(confidence)):
        return ()
    said = [f"{scheme.name_of[index]} ({confidence[index]:.2f}, usually {usual[str(index)]:.2f})" for index in low]
    if len(low) > MOST_LISTED:
        listed = f"{', '.join(said[:MOST_LISTED])} and {len(low) - MOST_LISTED} more"
        return (Finding("review", f"low confidence in {listed}"),)
    return tuple(Finding("review", f"low confidence in {line}", index) for index, line in zip(low, said, strict=True))


def _features(expected: NDArray[np.float64], size_ml: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the weights multiply, (N, 3): one, the expected Dice as a logit, the logarithm of the size."""
    sure = np.clip(expected, 1 - SURE, SURE)
    return np.stack([np.ones_like(sure), np.log(sure / (1 - sure)), np.log(size_ml)], axis=1)
