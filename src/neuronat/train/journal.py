"""The training's log: one JSON object a line, with loss, accuracy per task, speed, and where the time went."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

__all__ = ["describe", "new_tally", "summarize", "total_seconds", "write_line"]


def new_tally() -> dict[str, float]:
    """Return empty sums for the iterations between two log lines."""
    return {"iterations": 0, "blocks": 0, "centres": 0, "loss": 0.0, "sampling_s": 0.0, "network_s": 0.0}


def summarize(
    tally: Mapping[str, float], correct_per_task: list[float], *, iteration: int, iterations: int, rate: float
) -> dict[str, object]:
    """Turn the sums into the numbers of one log line.

    Parameters
    ----------
    tally : mapping
        Sums since the last line (`new_tally`).
    correct_per_task : list of float
        Correctly labelled centres per task; the centre task first.
    iteration, iterations : int
        Where the training is, and where it ends.
    rate : float
        Learning rate.

    Returns
    -------
    dict
        Mean loss, accuracy per task in [0, 1], centres and blocks per second, share of time in sampling, seconds left.

    Notes
    -----
    Source: ours.
    """
    seconds = max(tally["sampling_s"] + tally["network_s"], 1e-9)
    return {
        "iteration": iteration,
        "time": round(time.time(), 1),
        "loss": round(tally["loss"] / tally["iterations"], 5),
        "accuracy_per_task": [round(c / max(tally["centres"], 1), 5) for c in correct_per_task],
        "rate": round(rate, 6),
        "centres_per_s": round(tally["centres"] / seconds, 1),
        "blocks_per_s": round(tally["blocks"] / seconds, 1),
        "seconds": round(seconds, 2),
        "share_sampling": round(tally["sampling_s"] / seconds, 4),
        "seconds_left": round((iterations - iteration) * seconds / tally["iterations"], 1),
    }


def describe(line: Mapping[str, object]) -> str:
    """Say a log line in words, for the screen."""
    accuracy = line["accuracy_per_task"]
    centre = accuracy[0] if isinstance(accuracy, list) else 0.0
    return (
        f"iteration {line['iteration']}: loss {line['loss']:.4f}, centre accuracy {centre:.3f}, "
        f"{line['centres_per_s']:.0f} patches/s ({line['share_sampling']:.0%} of the time in sampling), "
        f"{float(str(line['seconds_left'])) / 60:.0f} min left"
    )


def write_line(path: Path, line: Mapping[str, object]) -> None:
    """Append one JSON object to the log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def total_seconds(path: Path) -> float:
    """Add up the seconds of a log's lines; 0 where there is no log."""
    if not path.is_file():
        return 0.0
    with path.open(encoding="utf-8") as file:
        return sum(float(json.loads(line).get("seconds", 0.0)) for line in file)
