"""`neuronat models`: which models there are, what their cards say, and how they travel."""

import json
from pathlib import Path

import click

__all__ = ["command"]


@click.group(name="models")
def command() -> None:
    """List, inspect, verify, import and export models."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(as_json: bool) -> None:
    """List the models that come with neuronat and those that were imported."""
    from neuronat.errors import ModelError
    from neuronat.nets.folder import imported_models, shipped_models
    from neuronat.nets.store import read_model_card

    shipped = shipped_models()
    rows = []
    for name, folder in (imported_models() | shipped).items():
        row = {"name": name, "origin": "shipped" if name in shipped else "imported"}
        try:
            card = read_model_card(folder)
            rows.append(row | {"licence": card.licence, "description": card.description})
        except ModelError as error:
            rows.append(row | {"licence": "n/a", "description": f"damaged: {error}"})
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for row in rows:
        click.echo("\t".join(row.values()))


@command.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print the card as it is.")
def info(model: str, as_json: bool) -> None:
    """Show the card of MODEL, a name or a folder: origin, licence, training, measured accuracy."""
    from neuronat.nets.card import write_card
    from neuronat.nets.store import read_model_card

    card = read_model_card(model)
    if as_json:
        click.echo(write_card(card), nl=False)
        return
    sizes = {
        name: f"{len(spec.protocols)} protocols" if spec.protocols else f"{spec.n_classes} classes"
        for name, spec in card.stages.items()
    }
    stages = ", ".join(f"{name} ({spec.architecture}, {sizes[name]})" for name, spec in card.stages.items())
    click.echo(f"name         {card.name}, version {card.version}\ndescription  {card.description}")
    click.echo(f"networks     {stages}\nprotocols    {', '.join(card.schemes)}")
    spec = card.scan
    mask = "with a brain mask" if spec.needs_mask else "no mask needed"
    click.echo(f"scan         {spec.modality}, {spec.spacing_mm:g} mm, {spec.orientation}, {mask}")
    click.echo(f"trained on   {card.training.material} ({card.training.n_scans} scans, seed {card.training.seed})")
    for accuracy in card.accuracy:
        click.echo(f"accuracy     {accuracy.measure} {accuracy.value:.4g} on {accuracy.measured_on}")
    for protocol, ids in card.untaught.items():
        click.echo(f"not taught   {protocol}: {', '.join(map(str, ids))}")
    click.echo(f"licence      {card.licence}")
    for line in card.credits:
        click.echo(f"credit       {line}")
    click.echo("not for diagnosis")


@command.command()
@click.argument("models", nargs=-1)
def verify(models: tuple[str, ...]) -> None:
    """Load MODELS (all known ones by default) and compare every hash, name, shape and value."""
    from neuronat.nets.folder import imported_models, shipped_models
    from neuronat.nets.store import verify_model

    for name in models or sorted(imported_models() | shipped_models()):
        click.echo(f"{name}: whole, sha256 {verify_model(name)}")


@command.command(name="import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Folder to keep models in. [default: yours]")
def import_(source: Path, folder: Path | None) -> None:
    """Import a model from SOURCE, a zip file or a folder; nothing in it is executed."""
    from neuronat.nets.archive import import_model
    from neuronat.nets.folder import imported_models_folder

    placed = import_model(source, folder or imported_models_folder())
    click.echo(f"{placed.name}: imported; use it with --model {placed.name if folder is None else placed}")


@command.command()
@click.argument("model")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The zip file to write.")
def export(model: str, out: Path) -> None:
    """Write MODEL, a name or a folder, as one zip file that `models import` reads."""
    from neuronat.nets.archive import export_model

    export_model(model, out)
    click.echo(f"{out}: written")
