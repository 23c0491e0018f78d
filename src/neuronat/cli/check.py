"""`neuronat check`: what a scan is and what would be done with it."""

import json
from pathlib import Path
from typing import Any

import click

from neuronat.cli.options import reading_options, segment_config

__all__ = ["command"]


@click.command(name="check")
@click.argument("scan", type=click.Path(path_type=Path))
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, /, scan: Path, as_json: bool, **options: Any) -> None:
    """Say what a scan is and what would be done; compute nothing.

    The exit code is the one that `segment` would start with: 0 if it would go on. What the networks
    find is not known here: a warning may become a refusal.
    """
    from neuronat.cli.failures import failure_message
    from neuronat.pipeline.inspect import inspect_scan

    found = inspect_scan(scan, segment_config(options))
    values = found.as_values()
    click.echo(json.dumps(values, indent=1, ensure_ascii=False) if as_json else "\n".join(_lines(values)))
    if found.refusal is not None:
        click.echo(f"neuronat: {failure_message(found.refusal)}", err=True)
        context.exit(found.refusal.exit_code)


def _lines(values: dict[str, Any]) -> list[str]:
    """Say the findings in lines for people."""
    shape, spacing = (" x ".join(f"{n:g}" for n in values[key]) for key in ("shape", "spacing_mm"))
    low, high = values["grey_values"]
    lines = [
        f"{values['scan']}: {values['format']}, {values['stored_type']}, {shape} voxels of {spacing} mm",
        f"orientation {values['orientation']}, oblique by {values['obliquity_degrees']:g} degrees",
        f"grey values {low:g} to {high:g}",
    ]
    if values["brain_ml"] is not None:
        lines.append(f"brain mask of {values['brain_ml']:.0f} ml")
    way = "rotated and resampled" if values["rotated"] else "resampled" if values["resampled"] else "as it is"
    working = " x ".join(str(n) for n in values["working_shape"])
    lines.append(f"would be brought to {working} voxels of 1 mm, {way}")
    lines.append(f"would need about {values['memory_gb']:.1f} GB of memory; {values['free_memory_gb']:.1f} GB are free")
    lines += [f"warning: {warning}" for warning in values["warnings"]]
    lines.append("would be segmented" if values["usable"] else "would be refused")
    return lines
