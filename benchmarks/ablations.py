"""Train the arms of an experiment, which differ from one recipe in little, and measure each on the held-out scans.

Usage: python benchmarks/ablations.py ARMS.toml OUT [--arm NAME]... [--protocol NAME] [--max-minutes M] [--threads N]
           [--device NAME]

ARMS.toml names the recipe (`base`, beside it), what all arms change in it (`[common]`), and what each changes
(`[arms.NAME]`); recipes/arms holds examples. Every arm trains in OUT/NAME, goes on where it was stopped, and ends
as a model there, with OUT/NAME.tsv (or OUT/NAME-<protocol>.tsv), a table like that of `neuronat evaluate` with the Dice
of each held-out scan and structure. What is done is not done again. At the end:
    neuronat compare OUT/*.tsv -o OUT/report       (Wilcoxon's tests, corrected; box plots)
One line per arm says the mean Dice, the minutes, and, for a DeepNAT, how accurate the centre's task was in the last
tenth of the training, and how accurate its neighbours' were.
"""

import csv
import json
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dense import parser, start
from neuronat.measure.scores import StructureScore, scores_table
from neuronat.pipeline.budget import Budget
from neuronat.pipeline.training import train_recipe
from neuronat.record import write_text
from neuronat.train.journal import total_seconds


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("arms", type=Path, metavar="ARMS.toml")
    options.add_argument("out", type=Path)
    options.add_argument("--arm", action="append", help="only these")
    options.add_argument("--protocol", help="whose Dice is printed; default: the first")
    options.add_argument("--max-minutes", type=float, default=math.inf, help="of each arm")
    chosen = options.parse_args(arguments)
    device = start(chosen).device
    described = tomllib.loads(chosen.arms.read_text(encoding="utf-8"))
    if unknown := set(chosen.arm or []) - set(described["arms"]):
        raise SystemExit(f"{chosen.arms.name} has no arm {', '.join(sorted(unknown))}")
    base, out = chosen.arms.resolve().parent / described["base"], chosen.out.resolve()
    for name in chosen.arm or described["arms"]:
        changes = (described.get("common", {}), described["arms"][name], {"name": name, "folder": str(out / name)})
        budget = Budget(device=device, max_minutes=chosen.max_minutes, resume=True)
        if not (out / name / name).is_dir() and train_recipe(base, budget, quiet, *changes) is None:
            print(f"{name}: the minutes were over first; run it again, it goes on")
            continue
        tables = written_tables(out / name, out)
        print(told(name, tables[chosen.protocol or next(iter(tables))], out / name), flush=True)


def written_tables(folder: Path, out: Path) -> dict[str, list[StructureScore]]:
    """Write what a training found on its held-out scans as tables to compare; return them by protocol."""
    found = {}
    for path in sorted(folder.glob("validation*.tsv")):
        with path.open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if "index" in row]
        protocol = path.stem.removeprefix("validation").removeprefix("-")
        found[protocol] = [
            StructureScore(
                row["scan"],
                int(row["index"]),
                row["name"],
                math.nan if row["dice"] == "n/a" else float(row["dice"]),
                *[math.nan] * 4,
            )
            for row in rows
        ]
        write_text(out / f"{folder.name}{'-' if protocol else ''}{protocol}.tsv", scores_table(found[protocol]))
    return found


def told(name: str, scores: Sequence[StructureScore], folder: Path) -> str:
    """Say how an arm did."""
    by_scan: dict[str, list[float]] = {}
    for score in scores:
        by_scan.setdefault(score.scan, []).append(score.dice)
    dice = float(np.mean([np.nanmean(values) for values in by_scan.values()]))
    logs = sorted(folder.rglob("log.jsonl"))
    said = f"{name}: mean Dice {dice:.4f}, {sum(total_seconds(log) for log in logs) / 60:.1f} min"
    last = folder / "structures" / "log.jsonl"
    if last.is_file():
        lines = [json.loads(line) for line in last.read_text(encoding="utf-8").splitlines()]
        accuracy = [line["accuracy_per_task"] for line in lines if "accuracy_per_task" in line]
        tasks = np.mean(accuracy[-max(1, len(accuracy) // 10) :], axis=0)
        said += f", centre right in {tasks[0]:.3f}"
        said += f", neighbours in {tasks[1:].mean():.3f}" if len(tasks) > 1 else ""
    return said


def quiet(_line: str, _done: float) -> None:
    """Show nothing."""


if __name__ == "__main__":
    main()
