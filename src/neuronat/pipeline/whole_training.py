"""Training a network of several protocols: the recipe's scans are packed, the network trained, validated and stored."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neuronat import __version__
from neuronat.config import WholeRecipe, resolved_path
from neuronat.errors import ConfigError, LabelError
from neuronat.labels.scheme import BRAIN, LabelScheme, load_scheme
from neuronat.nets.card import Accuracy, ModelCard, ScanSpec, StageSpec, TrainingRecord
from neuronat.nets.network import build_network
from neuronat.nets.neuronet import NeuroNet, NeuroNetConfig
from neuronat.nets.store import Model, load_model, save_model
from neuronat.nets.unet import UNet, UNetConfig
from neuronat.nets.widen import widened
from neuronat.pipeline.budget import Budget
from neuronat.pipeline.settings import Progress
from neuronat.pipeline.whole_material import HEADS, Material, packed_volumes
from neuronat.record import write_text
from neuronat.synth.lesions import lesion_sites
from neuronat.train.course import Course, Exercise, TrainConfig, follow_course
from neuronat.train.crops import Crop, CropConfig, CropSource, draw_crop
from neuronat.train.finetune import adapted_network
from neuronat.train.journal import total_seconds
from neuronat.train.lessons import LossConfig, score_crops
from neuronat.train.validate import mean_dice, validation_table
from neuronat.train.validate_whole import validate_brain, validate_whole
from neuronat.train.volumes import lookup_tables, to_device

__all__ = ["make_source", "make_whole_card", "make_whole_exercise", "train_whole"]

RAW_HEAD = ScanSpec(normalization="mean 1 of the brighter half", needs_mask=False)


def train_whole(recipe: WholeRecipe, path: Path, budget: Budget, progress: Progress) -> Path | None:
    """Train the network that a recipe describes, as far as the minutes carry.

    Parameters
    ----------
    recipe : WholeRecipe
        What to train, on what.
    path : Path
        The recipe's file, which its paths are relative to.
    budget : Budget
        Device, minutes, resume.
    progress : callable
        Takes a line of text and the share done, in [0, 1].

    Returns
    -------
    Path or None
        The model's folder; None where the minutes were over first, and for all but the first of several processes.

    Raises
    ------
    ConfigError
        If the recipe does not fit, or its folder holds a training and `resume` is off.
    MissingInputError, UnusableInputError, LabelError, GridError
        If the scans cannot be trained on.

    Notes
    -----
    Source: [NEURONET] training.
    """
    began = time.monotonic()
    folder = resolved_path(recipe.folder, path)
    if not budget.resume and any(folder.glob("checkpoint-*.pt")):
        raise ConfigError(f"{folder.name}: holds a training already; add --resume, or give another folder")
    with budget.team.first_goes_ahead():
        material = packed_volumes(recipe, path, progress)
    source = make_source(material, budget.device)
    net = _start(recipe, path, material).to(budget.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    course = Course(
        folder=folder,
        max_minutes=budget.max_minutes - (time.monotonic() - began) / 60,
        resume=budget.resume,
        progress=lambda done, line: progress(line, done),
        team=budget.team,
    )
    exercise = make_whole_exercise(net, source, recipe.crops, recipe.loss, recipe.training)
    is_done = follow_course(net, exercise, recipe.training, course)
    if not is_done or not budget.team.is_first:
        return None
    dice = _validated(net.eval(), recipe, material, source, progress)
    for protocol, scores in dice.items():
        table = validation_table(scores, material.schemes[protocol])
        write_text(folder / f"validation-{protocol}.tsv", table)
    card = make_whole_card(recipe, material, seconds=total_seconds(folder / "log.jsonl"), dice=dice)
    save_model(Model(card, {"whole": net.cpu()}, material.schemes), folder / recipe.name, overwrite=True)
    return folder / recipe.name


def _validated(
    net: NeuroNet | UNet, recipe: WholeRecipe, material: Material, source: CropSource, progress: Progress
) -> dict[str, dict[str, dict[int, float]]]:
    """Measure Dice by protocol, held-out scan and structure; of brain masks on held-out scans set into heads."""
    device = next(net.parameters()).device
    if BRAIN not in material.protocols:
        return validate_whole(net, material.held_out, material.protocols, device, progress)
    held = make_source(replace(material, training=material.held_out, heads=[]), device)
    return {BRAIN: validate_brain(net, replace(held, heads=source.heads), recipe.crops, progress)}


def make_source(material: Material, device: torch.device) -> CropSource:
    """Put the scans and heads of a training on a device."""
    heads = load_scheme(HEADS)
    sources = {p.source.name: p.source for p in material.protocols.values()} | {HEADS: heads}
    tables = lookup_tables({n: p for n, p in material.protocols.items() if n != BRAIN}, heads)
    schemes = material.schemes
    there = {volume.name: to_device(volume, sources, device) for volume in material.training}
    return CropSource(
        scans=[there[volume.name] for volume in material.training],
        heads=[to_device(volume, sources, device) for volume in material.heads],
        tables={p: {s: torch.from_numpy(t).to(device) for s, t in found.items()} for p, found in tables.items()},
        mirrored={p: torch.from_numpy(schemes[p].mirrored_classes).to(device) for p in tables},
        head_ids=heads.ids,
        sites={p: lesion_sites(schemes[p].names).to(device) for p in tables},
    )


def make_whole_exercise(
    net: NeuroNet | UNet, source: CropSource, crops: CropConfig, loss: LossConfig, training: TrainConfig
) -> Exercise:
    """Return what one step of a training does: draw crops, score the protocols that the source teaches."""
    order = [protocol for protocol in net.config.protocols if protocol in source.tables or protocol == BRAIN]
    is_half = training.precision == "bfloat16"

    def score(drawn: list[Crop]) -> tuple[Tensor, Tensor, int]:
        with torch.autocast(drawn[0].grey.device.type, torch.bfloat16, enabled=is_half):
            return score_crops(net, drawn, order, loss)

    def draw(chance: torch.Generator, share_done: float) -> list[Crop]:
        wanted = crops if share_done < training.balanced_until else crops.as_frequent()
        return [draw_crop(source, wanted, chance) for _ in range(training.n_blocks)]

    return Exercise(
        draw=draw,
        score=score,
        n_tasks=len(order),
        settings={"crops": asdict(crops), "loss": asdict(loss), "protocols": order},
    )


def _spec(recipe: WholeRecipe, schemes: Mapping[str, LabelScheme]) -> StageSpec:
    """Describe the network for the card."""
    protocols = {name: scheme.n_classes for name, scheme in schemes.items()}
    shape = recipe.network
    if shape.architecture == "neuronet":
        return StageSpec(architecture="neuronet", protocols=protocols, step_vox=int(recipe.crops.step_vox))
    return StageSpec(
        architecture="unet",
        protocols=protocols,
        filters=shape.filters,
        n_features=shape.n_features,
        n_hidden=shape.n_hidden,
        n_coordinates=6 * shape.has_coordinates,
        step_vox=int(recipe.crops.step_vox),
    )


def _start(recipe: WholeRecipe, path: Path, material: Material) -> NeuroNet | UNet:
    """Return a new network, or one with the weights of the model in `start_from`, what it lacks from chance."""
    config = _spec(recipe, material.schemes).network_config
    if recipe.network.start_from:
        start = load_model(resolved_path(recipe.network.start_from, path)).whole
        if isinstance(start, UNet) and isinstance(config, UNetConfig):
            return _widened(start, config, recipe, path)
        if not isinstance(start, NeuroNet) or not isinstance(config, NeuroNetConfig):
            raise ConfigError(f"{path.name}: start_from is another kind of network than the recipe's")
        net = adapted_network(start, config, (), seed=recipe.training.seed)
    else:
        torch.manual_seed(recipe.training.seed)
        net = build_network(config)
    if not isinstance(net, NeuroNet | UNet):
        raise ConfigError(f"{path.name}: a network of whole scans is needed")
    return net


def _widened(start: UNet, config: UNetConfig, recipe: WholeRecipe, path: Path) -> UNet:
    """Return a network that begins with the answers of `start`; the error of one that cannot names the recipe."""
    try:
        return widened(start, config, seed=recipe.training.seed)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: start_from: {error}") from error


def make_whole_card(
    recipe: WholeRecipe, material: Material, *, seconds: float, dice: Mapping[str, Mapping[str, Mapping[int, float]]]
) -> ModelCard:
    """Write the card of a trained model; `dice` by protocol, held-out scan and structure id."""
    held = ", ".join(volume.name for volume in material.held_out)
    means = {protocol: list(mean_dice(scores).values()) for protocol, scores in dice.items()}
    if not material.schemes:
        raise LabelError("no protocol was trained")
    return ModelCard(
        name=recipe.name,
        description=recipe.description,
        stages={"whole": _spec(recipe, material.schemes)},
        schemes=tuple(material.schemes),
        training=TrainingRecord(
            material=recipe.whole.material or recipe.whole.scans,
            n_scans=len({volume.name for volume in material.training}) + len(material.heads),
            recipe={
                "training": asdict(recipe.training),
                "crops": asdict(recipe.crops),
                "loss": asdict(recipe.loss),
                "start_from": recipe.network.start_from,
            },
            seed=recipe.training.seed,
            duration_s=seconds,
            neuronat_version=__version__,
        ),
        licence=recipe.whole.licence,
        credits=recipe.whole.credits,
        accuracy=tuple(
            Accuracy(measure=f"mean Dice, {protocol}", value=float(np.mean(values)), measured_on=f"{held}, held out")
            for protocol, values in means.items()
            if values
        ),
        scan=RAW_HEAD if recipe.crops.brightness else ScanSpec(),
        crf=asdict(recipe.crf) if recipe.refined else {},
        refined=recipe.refined,
        untaught=material.untaught,
    )
