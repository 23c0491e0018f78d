"""The other sentence: a recipe is read, its scans are packed, its networks trained, validated and stored."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from neuronat import __version__
from neuronat.config import Recipe, WholeRecipe, read_recipe, resolved_path
from neuronat.errors import ConfigError
from neuronat.labels.scheme import LabelScheme
from neuronat.nets.card import Accuracy, ModelCard, StageSpec, TrainingRecord
from neuronat.nets.deepnat import DeepNat, DeepNatConfig
from neuronat.nets.store import Model, load_model, save_model
from neuronat.pipeline.budget import Budget
from neuronat.pipeline.material import named_scheme, packed_scans
from neuronat.pipeline.settings import Progress
from neuronat.pipeline.whole_training import train_whole
from neuronat.record import write_text
from neuronat.synth.lesions import lesion_sites
from neuronat.train.course import Course
from neuronat.train.examples import find_candidates, margin_vox
from neuronat.train.journal import total_seconds
from neuronat.train.loop import Lesson, train_network
from neuronat.train.scans import PackedScan, foreground_of, stack_scans, unseen_ids
from neuronat.train.validate import mean_dice, validate_networks, validation_table

__all__ = ["make_card", "make_lesson", "make_validation", "move_threshold", "start_network", "train_recipe"]

AROUND_FOREGROUND_VOX = 2
WHITE = "Cerebral-White-Matter"
VARIED = (WHITE, "Cerebral-Cortex")  # drawn twice as often ([DEEPNAT] sampling)
FOREGROUND = LabelScheme("foreground", (0, 1), ("Background", "Foreground"), ("#000000", "#ffffff"), (0, 1))


def train_recipe(path: Path, budget: Budget, progress: Progress, *changes: Mapping[str, Any]) -> Path | None:
    """Train the model that a recipe describes, as far as the minutes carry.

    Parameters
    ----------
    path : Path
        The recipe, a TOML file.
    budget : Budget
        Device, minutes, resume.
    progress : callable
        Takes a line of text and the share of the stage done, in [0, 1].
    *changes : mapping
        What replaces keys of the recipe (`config.read_recipe`).

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
    Source: [DEEPNAT] training.
    """
    began = time.monotonic()
    recipe = read_recipe(path, *changes)
    if isinstance(recipe, WholeRecipe):
        return train_whole(recipe, path, budget, progress)
    protocol, folder = named_scheme(recipe.protocol, path), _training_folder(recipe, path, resumes=budget.resume)
    with budget.team.first_goes_ahead():
        training, held_out = packed_scans(recipe, path, progress)
    n_scans, unseen, networks = len(training), unseen_ids(training, protocol), dict[str, DeepNat]()
    for stage, config in recipe.stages.items():
        net = start_network(recipe, path, stage, protocol).to(budget.device)
        course = Course(
            folder=folder / stage,
            max_minutes=budget.max_minutes - (time.monotonic() - began) / 60,
            resume=budget.resume,
            validate_every=recipe.validate_every,
            validate=make_validation(stage, networks, held_out, protocol, budget.device),
            progress=lambda done, line, stage=stage: progress(f"{stage}: {line}", done),  # type: ignore[misc]
            team=budget.team,
        )
        lesson = make_lesson(training, recipe, stage, protocol, budget.device)
        if stage == "structures":
            training.clear()  # the lesson has what it needs, and the last stage needs no more
        if not train_network(net, lesson, config, course):
            return None
        del lesson  # before the next stage makes its own
        networks[stage] = net.eval()
        if stage == "foreground":
            move_threshold(net, recipe.network.foreground_threshold)
    if not budget.team.is_first:
        return None
    validation = validate_networks(networks, held_out, protocol, budget.device, progress)
    write_text(folder / "validation.tsv", validation_table(validation, protocol))
    seconds = sum(total_seconds(folder / stage / "log.jsonl") for stage in recipe.stages)
    card = make_card(recipe, protocol, n_scans=n_scans, seconds=seconds, accuracy=mean_dice(validation))
    card = replace(card, untaught={protocol.name: unseen} if unseen else {})
    model = Model(card, {stage: net.cpu() for stage, net in networks.items()}, {protocol.name: protocol})
    save_model(model, folder / recipe.name, overwrite=True)
    return folder / recipe.name


def _training_folder(recipe: Recipe, path: Path, *, resumes: bool) -> Path:
    """Return where a training lives; ConfigError if one does already and shall not be resumed."""
    folder = resolved_path(recipe.folder, path)
    if not resumes and any(folder.glob("*/checkpoint-*.pt")):
        raise ConfigError(f"{folder.name}: holds a training already; add --resume, or give another folder")
    return folder


def start_network(recipe: Recipe, path: Path, stage: str, protocol: LabelScheme) -> DeepNat:
    """Return a stage's network: new, from the seed, or with the weights of the model in `start_from`."""
    config = DeepNatConfig(
        n_classes=2 if stage == "foreground" else protocol.n_classes,
        n_tasks=recipe.network.n_tasks,
        coordinates=recipe.network.coordinates,
    )
    torch.manual_seed(recipe.stages[stage].seed)
    net = DeepNat(config)
    if recipe.network.start_from:
        start = load_model(resolved_path(recipe.network.start_from, path))
        if stage not in start.networks or start.networks[stage].config != config:
            raise ConfigError(f"{path.name}: start_from has no network like the recipe's {stage}")
        net.load_state_dict(start.networks[stage].state_dict())
        if stage == "foreground":  # take back what the start's recipe, taken to be like this one, had moved
            move_threshold(net, 1 - recipe.network.foreground_threshold)
    return net


@torch.no_grad()
def move_threshold(net: DeepNat, threshold: float) -> None:
    """Move the biases of a foreground network so that what had the probability `threshold` has one half."""
    foreground = net.heads.bias.view(net.config.n_tasks, net.config.n_classes)[:, 1]
    foreground += math.log((1 - threshold) / threshold)


def make_lesson(
    scans: list[PackedScan], recipe: Recipe, stage: str, protocol: LabelScheme, device: torch.device
) -> Lesson:
    """Return what a stage learns from.

    The first stage tells foreground from background in the whole mask; the second sees the foreground and its
    rim, where the first may err; a single step sees everything.

    Notes
    -----
    Source: [DEEPNAT] sampling. Ours: the rim.
    """
    config = recipe.stages[stage]
    is_first = stage == "foreground"
    examples = stack_scans(
        [foreground_of(scan) for scan in scans] if is_first else scans,
        margin_vox=margin_vox(config.n_centres),
        around_foreground_vox=AROUND_FOREGROUND_VOX if recipe.network.is_cascade and not is_first else None,
        device=device,
    )
    n_classes = 2 if is_first else protocol.n_classes
    varied = {c: 2.0 for c, name in enumerate(protocol.names) if name.endswith(VARIED) and not is_first}
    mirrored = torch.arange(2) if is_first else torch.from_numpy(protocol.mirrored_classes)
    candidates = find_candidates(examples, n_classes, varied)
    sites = None if is_first else lesion_sites(protocol.names).to(device)
    return Lesson(examples, candidates, mirrored.to(device), recipe.augment, sites)


def make_validation(
    stage: str,
    finished: Mapping[str, DeepNat],
    held_out: list[PackedScan],
    protocol: LabelScheme,
    device: torch.device,
) -> Callable[[DeepNat], dict[str, float]]:
    """Return what measures a stage in the middle of its training: the mean Dice of each held-out scan.

    The first stage is measured at foreground against background, the second together with the finished first one.

    Notes
    -----
    Source: [DEEPNAT] evaluation. Ours: on the way, without CRF.
    """

    def validate(net: DeepNat) -> dict[str, float]:
        if stage == "foreground":
            scans = [foreground_of(scan) for scan in held_out]
            return mean_dice(validate_networks({"structures": net}, scans, FOREGROUND, device, _silent))
        networks = {**finished, "structures": net}
        return mean_dice(validate_networks(networks, held_out, protocol, device, _silent))

    return validate


def _silent(_line: str, _done: float) -> None:
    """Show nothing."""


def make_card(
    recipe: Recipe, protocol: LabelScheme, *, n_scans: int, seconds: float, accuracy: Mapping[str, float]
) -> ModelCard:
    """Write the card of a trained model; `accuracy` is the mean Dice per held-out scan."""
    spec = {"n_tasks": recipe.network.n_tasks, "coordinates": recipe.network.coordinates}
    return ModelCard(
        name=recipe.name,
        description=recipe.description,
        stages={
            stage: StageSpec(n_classes=2 if stage == "foreground" else protocol.n_classes, **spec)  # type: ignore[arg-type]
            for stage in recipe.stages
        },
        schemes=(protocol.name,),
        training=TrainingRecord(
            material=recipe.data.material or recipe.data.scans,
            n_scans=n_scans,
            recipe={stage: asdict(config) for stage, config in recipe.stages.items()}
            | {
                "augment": asdict(recipe.augment),
                "start_from": recipe.network.start_from,
                "foreground_threshold": recipe.network.foreground_threshold,
            },
            seed=recipe.structures.seed,
            duration_s=seconds,
            neuronat_version=__version__,
        ),
        licence=recipe.data.licence,
        credits=recipe.data.credits,
        accuracy=tuple(
            Accuracy(measure="mean Dice over the structures, no CRF", value=value, measured_on=f"{scan}, held out")
            for scan, value in accuracy.items()
        ),
        crf=asdict(recipe.crf),
    )
