"""Measure what fine-tuning gains, against training from scratch and against no adaptation, in the same minutes.

Usage: python benchmarks/finetune.py SCANS -o OUT [--test SCANS] [--hold-out NAME]... [--model NAME|DIR]
    [--protocol NAME|TABLE] [--merged-from PROTOCOL=OTHER] [--as-new NAME] [--shots N]... [--arm NAME]...
    [--minutes M | --iterations N] [--scans GLOB] [--seed N] [--threads N] [--device NAME]

SCANS are those of `neuronat finetune`. For each number of shots the first so many scans are learnt from, by each arm:
`finetune` (fresh heads first, then all), `heads` (heads alone) and `scratch` (the same network, its weights forgotten).
The scans of --test and --hold-out are measured on; `before` is the model as it is, where it knows the protocol.
--as-new gives the protocol another name, so that the model takes it for one that it has never seen: its features were
still made for it, which flatters a model that had learnt it. What is done already is not done again. Example:
    python benchmarks/finetune.py $NEURONAT_DATA/malc --scans "*/anat/*_desc-brain_T1w.nii.gz" -o runs/finetune \
        --hold-out sub-1002 --protocol deepnat25 --merged-from deepnat25=neuromorphometrics --shots 1 --shots 3
One line per arm goes into OUT/finetune.tsv: shots, arm, protocol, Dice before and after, minutes, iterations.
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dense import parser, start
from neuronat.labels.scheme import LabelScheme, load_scheme, read_scheme, write_scheme
from neuronat.nets.folder import find_model
from neuronat.nets.store import read_model_card
from neuronat.pipeline.budget import Budget
from neuronat.pipeline.finetune import finetune
from neuronat.pipeline.finetune_material import find_scans
from neuronat.pipeline.finetune_settings import FinetuneConfig
from neuronat.space.files import read_label_map, write_label_map
from neuronat.space.volume import LabelMap
from neuronat.train.protocols import ProtocolScan

ARMS = {"finetune": {}, "heads": {"heads_only": True}, "scratch": {"from_scratch": True}}
COLUMNS = ("shots", "arm", "protocol", "before", "after", "minutes", "iterations")


def main(arguments: Sequence[str] | None = None, base: FinetuneConfig | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("place", type=Path, metavar="SCANS", help="folder or table")
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--test", type=Path, help="folder or table of further scans to measure on")
    options.add_argument("--hold-out", action="append", default=[])
    options.add_argument("--model", default="neuronet")
    options.add_argument("--protocol", default="deepnat25")
    options.add_argument("--merged-from", default="", metavar="PROTOCOL=OTHER")
    options.add_argument("--as-new", default="", metavar="NAME")
    options.add_argument("--shots", type=int, action="append")
    options.add_argument("--arm", choices=list(ARMS), action="append")
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--iterations", type=int, default=0)
    options.add_argument("--scans", default=FinetuneConfig.scans, help="glob in the folder")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args(arguments)
    device = start(chosen).device
    config = replace(
        base or FinetuneConfig(),
        protocols=(chosen.protocol,),
        merged_from=dict([chosen.merged_from.split("=")] if chosen.merged_from else []),
        scans=chosen.scans,
        iterations=chosen.iterations,
        seed=chosen.seed,
    )
    found = find_scans(chosen.place.resolve(), config)
    tested = find_scans(chosen.test.resolve(), config) if chosen.test else []
    names = {scan.name for scan in tested} | set(chosen.hold_out)
    training = [scan for scan in found if scan.name not in names]
    tested += [scan for scan in found if scan.name in chosen.hold_out]
    if chosen.as_new:
        scheme, source = taught(chosen.model, config)
        training = [renamed(scan, scheme, source, chosen.out, chosen.as_new) for scan in training]
        tested = [renamed(scan, scheme, source, chosen.out, chosen.as_new) for scan in tested]
        table = chosen.out.resolve() / f"{chosen.as_new}.tsv"
        table.write_text(write_scheme(replace(scheme, name=chosen.as_new, mappings={})), encoding="utf-8")
        config = replace(config, protocols=(str(table),), merged_from={})
    config = replace(config, hold_out=tuple(scan.name for scan in tested))
    budget = Budget(device=device, max_minutes=chosen.minutes, resume=True)
    rows = []
    for shots in chosen.shots or [1, 3]:
        place = write_table(training[:shots] + tested, chosen.out.resolve() / f"scans-{shots}.tsv")
        for arm in chosen.arm or list(ARMS):
            rows += measured(place, chosen.out / f"{arm}-{shots}", chosen.model, replace(config, **ARMS[arm]), budget)
            write_rows(rows, chosen.out / "finetune.tsv")


def taught(model: str, config: FinetuneConfig) -> tuple[LabelScheme, LabelScheme]:
    """Return the scheme of the protocol, and that of the label maps it is merged from."""
    (name,) = config.protocols
    folder = find_model(model).resolve() / "labels"
    scheme = read_scheme(Path(name)) if name.endswith(".tsv") else load_scheme(name, folder)
    other = config.merged_from.get(scheme.name)
    return scheme, load_scheme(other, folder) if other else scheme


def renamed(scan: ProtocolScan, scheme: LabelScheme, source: LabelScheme, out: Path, name: str) -> ProtocolScan:
    """Write the label map of a scan under another protocol's name."""
    path = out.resolve() / "labels" / f"{scan.name}_seg-{name}_dseg.nii.gz"
    if source.name not in scan.maps:
        raise SystemExit(f"{scan.name} has no label map of {source.name}")
    if not path.is_file():
        labels = read_label_map(scan.maps[source.name][0], source)
        ids = source.mapped_ids(labels.ids, scheme.name)
        write_label_map(path, LabelMap(ids, labels.affine, replace(scheme, name=name, mappings={})))
    return ProtocolScan(scan.name, scan.scan, {name: (path,)})


def write_table(scans: Sequence[ProtocolScan], path: Path) -> Path:
    """List scans and label maps for `neuronat finetune`."""
    protocols = sorted({protocol for scan in scans for protocol in scan.maps})
    lines = [["scan", *protocols]]
    for scan in scans:
        lines.append([str(scan.scan), *(str(scan.maps[p][0]) if p in scan.maps else "n/a" for p in protocols)])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def measured(place: Path, out: Path, model: str, config: FinetuneConfig, budget: Budget) -> list[dict[str, object]]:
    """Train one arm, unless that is done, and read its card: one row per protocol."""
    if not out.exists() and finetune(place, out, model, config, budget, lambda _step, _done: None) is None:
        print(f"{out.name}: the minutes were over first; run it again, it goes on")
        return []
    card = read_model_card(out)
    accuracy = {item.measure.removeprefix("mean Dice, "): item.value for item in card.accuracy}
    phases = card.training.recipe["phases"].values()
    arm, _, shots = out.name.rpartition("-")
    rows = []
    for protocol in [name for name in accuracy if not name.endswith(" before fine-tuning")]:
        before = accuracy.get(f"{protocol}, before fine-tuning")
        rows.append(
            {
                "shots": shots,
                "arm": arm,
                "protocol": protocol,
                "before": "n/a" if before is None else f"{before:.4f}",
                "after": f"{accuracy[protocol]:.4f}",
                "minutes": f"{card.training.duration_s / 60:.1f}",
                "iterations": sum(phase["iterations"] for phase in phases),
            }
        )
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    return rows


def write_rows(rows: Sequence[dict[str, object]], path: Path) -> None:
    """Write the table of all arms so far."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
