"""Training logs as curves: what was logged, by iteration; plain arrays, nothing is drawn here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import UnusableInputError

__all__ = ["Curves", "Points", "parse_log", "running_mean"]

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves (N, 2) float64 of iteration and value: loss, accuracy per task (centre first), validation by name."""

    loss: Points
    accuracy_per_task: tuple[Points, ...]
    validation: Mapping[str, Points]


def parse_log(text: str) -> Curves:
    """Read the curves from the text of a training log, one JSON object a line.

    Parameters
    ----------
    text : str
        Lines with `iteration` and `loss`, `accuracy_per_task` or `validation` (numbers by name).

    Returns
    -------
    Curves
        By rising iteration. Where a resumed training wrote an iteration twice, the later line counts.

    Raises
    ------
    UnusableInputError
        If a line other than the last cannot be read (the last may be cut off while training goes on), or there
        is none.

    Notes
    -----
    Source: ours.
    """
    trained: dict[int, dict[str, object]] = {}
    validated: dict[int, Mapping[str, float]] = {}
    lines = [line for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            iteration = int(entry["iteration"])
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            raise UnusableInputError(f"line {number} is no log line ({error}); give a training's log.jsonl") from error
        if "validation" in entry:
            validated[iteration] = entry["validation"]
        if "loss" in entry:
            trained[iteration] = entry
    if not trained and not validated:
        raise UnusableInputError("holds no line of a training; give its log.jsonl")
    losses = {iteration: entry["loss"] for iteration, entry in trained.items()}
    accuracies = {iteration: entry.get("accuracy_per_task", []) for iteration, entry in trained.items()}
    n_tasks = min((len(a) for a in accuracies.values() if isinstance(a, list)), default=0)
    names = sorted({name for line in validated.values() for name in line})
    return Curves(
        loss=_points(losses),
        accuracy_per_task=tuple(
            _points({i: a[task] for i, a in accuracies.items() if isinstance(a, list)}) for task in range(n_tasks)
        ),
        validation={name: _points({i: line[name] for i, line in validated.items() if name in line}) for name in names},
    )


def running_mean(points: Points) -> Points:
    """Smooth a curve (N, 2) by the mean over a fiftieth of its points; shorter windows at the ends.

    Notes
    -----
    Source: ours.
    """
    reach = len(points) // 100
    means = [points[max(n - reach, 0) : n + reach + 1, 1].mean() for n in range(len(points))]
    return np.column_stack([points[:, 0], means]) if means else points


def _points(value_at: Mapping[int, object]) -> Points:
    """Sort by iteration; what is no number is left out."""
    rows = [(i, float(v)) for i, v in sorted(value_at.items()) if isinstance(v, int | float)]
    return np.array(rows, np.float64).reshape(-1, 2)
