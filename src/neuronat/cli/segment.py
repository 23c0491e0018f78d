"""`neuronat segment`: the main job."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuronat.cli.options import segment_config, segment_options

if TYPE_CHECKING:
    from neuronat.pipeline.batch import Outcome

__all__ = ["command", "describe", "report"]

SOME_FAILED = 1


@click.command(name="segment")
@click.argument("scans", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@segment_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Show neither progress nor warnings.")
@click.pass_context
def command(
    context: click.Context, /, scans: tuple[Path, ...], out: Path, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Label the structures of T1-weighted scans.

    \b
    SCANS are images of one head each (NIfTI or MGZ), as they come from the scanner or
    skull-stripped, or one with its brain --mask; or DICOM folders, whose one T1-weighted 3D series
    is taken. Not for diagnosis.
    """
    from neuronat.cli.progress import shown_progress
    from neuronat.pipeline.batch import segment_files

    config = segment_config(options)
    rows = []
    with shown_progress(quiet) as progress:
        for outcome in segment_files(scans, out, config, progress):
            report(outcome, out, as_json=as_json, quiet=quiet)
            rows.append(describe(outcome))
            del outcome  # its result keeps what networks saw, and the next scan needs the memory
    failed = [row["exit_code"] for row in rows if row["exit_code"]]
    code = (failed[0] if len(scans) == 1 else SOME_FAILED) if failed else 0
    if as_json:
        click.echo(json.dumps({"scans": rows, "exit_code": code}, indent=1, ensure_ascii=False))
    context.exit(code)


def report(outcome: "Outcome", out: Path, *, as_json: bool, quiet: bool) -> None:
    """Say in one line what became of a scan, and one per warning."""
    from neuronat.cli.failures import failure_message
    from neuronat.record import counted, shown_name

    if outcome.failure is not None:
        click.echo(f"neuronat: {failure_message(outcome.failure)}", err=True)
        return
    if outcome.report_failure is not None:
        reason = failure_message(outcome.report_failure)
        click.echo(f"neuronat: {shown_name(outcome.scan)}: labels are whole, but no report ({reason})", err=True)
    if outcome.result is not None and not quiet:
        said = [("warning", line) for line in outcome.result.warnings]
        for kind, line in [*said, *((outcome.result.verdict, line) for line in outcome.result.reasons)]:
            click.echo(f"neuronat: {shown_name(outcome.scan)}: {kind}: {line}", err=True)
    if as_json:
        return
    if outcome.result is None:
        click.echo(f"{outcome.stem}: already done and verified in {out}")
        return
    for protocol, volumes in outcome.result.volumes.items():
        n_structures = sum(1 for volume in volumes if volume.n_voxels)
        where = out / f"{outcome.stem}_seg-{protocol}_dseg"
        click.echo(f"{outcome.stem}: {counted(n_structures, 'structure')} in {outcome.duration_s:.0f} s, {where}.*")


def describe(outcome: "Outcome") -> dict[str, Any]:
    """Describe an outcome as plain values for JSON."""
    from neuronat.cli.failures import exit_code_of, failure_message
    from neuronat.measure.agreement import agreement_summary
    from neuronat.record import shown_name

    row: dict[str, Any] = {
        "scan": shown_name(outcome.scan),
        "stem": outcome.stem,
        "state": outcome.state,
        "exit_code": 0,
        "outputs": list(outcome.outputs),
        "duration_s": round(outcome.duration_s, 2),
    }
    if outcome.failure is not None:
        row |= {"exit_code": exit_code_of(outcome.failure), "message": failure_message(outcome.failure)}
    if outcome.report_failure is not None:
        row |= {"exit_code": SOME_FAILED, "report_message": failure_message(outcome.report_failure)}
    if outcome.result is not None:
        row |= {
            "verdict": outcome.result.verdict,
            "reasons": list(outcome.result.reasons),
            "warnings": list(outcome.result.warnings),
            "volumes_mm3": {
                protocol: {volume.name: volume.volume_mm3 for volume in volumes}
                for protocol, volumes in outcome.result.volumes.items()
            },
            "confidence": {
                protocol: outcome.result.named_confidence(protocol) for protocol in outcome.result.confidence
            },
        }
        if outcome.result.agreement is not None:
            row["agreement"] = agreement_summary(outcome.result.agreement)
    return row
