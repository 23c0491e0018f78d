"""`neuronat doctor`: whether everything is there and calculates correctly."""

import json
from typing import Any

import click

__all__ = ["command"]

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "nibabel",
    "SimpleITK",
    "numba",
    "safetensors",
    "click",
    "rich",
    "nilearn",
)
UNSOUND = 69


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show versions, test the device and verify the models."""
    from neuronat.errors import ModelError
    from neuronat.nets.folder import imported_models, shipped_models
    from neuronat.nets.store import verify_model
    from neuronat.pipeline.device import TOLERANCE, device_error, device_names

    models: dict[str, str] = {}
    for name, folder in sorted((imported_models() | shipped_models()).items()):
        try:
            models[name] = f"whole, sha256 {verify_model(folder)}"
        except ModelError as error:
            models[name] = f"DAMAGED: {error}"
    errors = {name: device_error(name) for name in device_names()}
    is_sound = all(error <= TOLERANCE for error in errors.values())
    is_whole = not any(state.startswith("DAMAGED") for state in models.values())
    findings = _surroundings() | {
        "devices": {name: {"error": error, "sound": error <= TOLERANCE} for name, error in errors.items()},
        "models": models,
        "sound": is_sound and is_whole and bool(models),
    }
    click.echo(json.dumps(findings, indent=1) if as_json else "\n".join(_lines(findings)))
    if not findings["sound"]:
        context.exit(UNSOUND)


def _surroundings() -> dict[str, Any]:
    """Versions of everything that calculates, cores and memory; no host, user or path."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from neuronat import __version__
    from neuronat.space.memory import free_memory_bytes

    packages: dict[str, str] = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "neuronat": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": packages,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "free_memory_gb": round(free_memory_bytes() / 1e9, 1),
    }


def _lines(findings: dict[str, Any]) -> list[str]:
    """Say the findings in lines for people."""
    lines = [f"{key}: {findings[key]}" for key in ("neuronat", "python", "system", "cores")]
    lines.append(f"free memory: {findings['free_memory_gb']} GB")
    lines += [f"{name}: {number}" for name, number in findings["packages"].items()]
    for name, device in findings["devices"].items():
        verdict = "calculates correctly" if device["sound"] else "CALCULATES WRONGLY, do not use it"
        lines.append(f"device {name}: {verdict} (3D convolution, largest error {device['error']:.1e})")
    lines += [f"model {name}: {state}" for name, state in findings["models"].items()] or ["model: none found"]
    lines.append("all is well" if findings["sound"] else "NOT ALL IS WELL, see above")
    return lines
