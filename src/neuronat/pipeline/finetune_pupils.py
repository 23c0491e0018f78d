"""The networks that are fine-tuned: built from a finished model, each with what one step of its training does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from neuronat.config import DataConfig, NetworkConfig, Recipe
from neuronat.errors import ConfigError, ModelError
from neuronat.labels.scheme import LabelScheme
from neuronat.nets.deepnat import DeepNat
from neuronat.nets.network import Network
from neuronat.nets.store import Model
from neuronat.nets.unet import UNet
from neuronat.pipeline.finetune_material import to_packed_scan
from neuronat.pipeline.finetune_settings import FinetuneConfig, Phase
from neuronat.pipeline.training import make_lesson, move_threshold
from neuronat.pipeline.whole_material import Material
from neuronat.pipeline.whole_training import make_source, make_whole_exercise
from neuronat.train.course import Exercise, TrainConfig, seconds_per_step
from neuronat.train.finetune import adapted_network, head_prefixes, learn_only
from neuronat.train.loop import Lesson, make_exercise
from neuronat.train.scans import OUTSIDE, PackedScan

__all__ = [
    "Pupil",
    "finished_networks",
    "fitted_iterations",
    "foreground_threshold",
    "fresh_protocols",
    "let_learn",
    "make_pupils",
    "schemes_after",
    "stages_after",
]

USUAL_THRESHOLD = 0.02  # of the shipped patchwise model, whose card does not say it (decision 0012)
USED_SHARE = 0.85  # of the minutes; the rest is for what the timing did not see
LEAST_STEPS = 10


@dataclass(frozen=True, eq=False)
class Pupil:
    """A network on its device, how the names of its taught heads' weights begin, and its exercise."""

    network: Network
    heads: tuple[str, ...]
    exercise: Callable[[TrainConfig], Exercise]


def fresh_protocols(model: Model, material: Material) -> tuple[str, ...]:
    """Return the protocols that are taught and that the model does not know."""
    return tuple(protocol for protocol in material.protocols if protocol not in model.schemes)


def schemes_after(model: Model, material: Material, config: FinetuneConfig) -> dict[str, LabelScheme]:
    """Return what the fine-tuned model answers in: what was taught, after what it knew where that stays as it was."""
    keeps = config.heads_only and model.whole is not None
    return {**(model.schemes if keeps else {}), **material.schemes}


def make_pupils(model: Model, material: Material, config: FinetuneConfig, device: torch.device) -> dict[str, Pupil]:
    """Build the networks that learn, by stage.

    Parameters
    ----------
    model : Model
        What they come from.
    material : Material
        Scans and protocols.
    config : FinetuneConfig
        What to teach.
    device : torch.device
        Where.

    Returns
    -------
    dict of str to Pupil
        Without the first stage of a patchwise model where labels fill the masks: there is nothing it could learn.

    Raises
    ------
    ConfigError
        If the training scans hold a single class.

    Notes
    -----
    Source: ours (decision 0032).
    """
    if model.whole is not None:
        return {"whole": _whole_pupil(model, material, config, device)}
    (protocol,) = material.protocols.values()
    scans = [to_packed_scan(volume, protocol) for volume in material.training]
    stages = [stage for stage in model.patchwise if stage == "structures" or _has_background(scans)]
    recipe = _recipe_of(model, config, is_cascade="foreground" in stages)
    fresh = fresh_protocols(model, material)
    pupils = {}
    for stage in stages:
        start = model.patchwise[stage]
        shape = replace(start.config, n_classes=2 if stage == "foreground" else protocol.scheme.n_classes)
        net = adapted_network(start, shape, _forgotten(start, fresh, config), seed=config.seed)
        if not isinstance(net, DeepNat):
            raise ModelError(f"model {model.name}: stage {stage} is no patchwise network")
        if stage == "foreground" and not fresh and not config.from_scratch:
            move_threshold(net, 1 - foreground_threshold(model))  # taken back while it learns
        lesson = make_lesson(scans, recipe, stage, protocol.scheme, device)
        pupils[stage] = _patchwise_pupil(net.to(device), lesson)
    return pupils


def _patchwise_pupil(net: DeepNat, lesson: Lesson) -> Pupil:
    """Return a stage's network with its exercise."""
    return Pupil(net, head_prefixes(net, ("its own",)), lambda training: make_exercise(net, lesson, training))


def _whole_pupil(model: Model, material: Material, config: FinetuneConfig, device: torch.device) -> Pupil:
    """Return a network of whole brains with its exercise."""
    start = model.whole
    if not isinstance(start, UNet):
        raise ModelError(f"model {model.name}: no network of whole brains")
    classes = {name: scheme.n_classes for name, scheme in schemes_after(model, material, config).items()}
    forgotten = _forgotten(start, fresh_protocols(model, material), config)
    net = adapted_network(start, replace(start.config, protocols=classes), forgotten, seed=config.seed)
    if not isinstance(net, UNet):
        raise ModelError(f"model {model.name}: no network of whole brains")
    net.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    source = make_source(material, device)
    return Pupil(
        net,
        head_prefixes(net, tuple(material.protocols)),
        lambda training: make_whole_exercise(net, source, config.crops, config.loss, training),
    )


def _forgotten(start: Network, fresh: tuple[str, ...], config: FinetuneConfig) -> tuple[str, ...]:
    """Return how the names of the weights begin that are not taken along."""
    return ("",) if config.from_scratch else head_prefixes(start, fresh)


def _has_background(scans: list[PackedScan]) -> bool:
    """Tell whether some voxel of a mask belongs to no structure."""
    return any(bool(((scan.classes == 0) & (scan.classes != OUTSIDE)).any()) for scan in scans)


def _recipe_of(model: Model, config: FinetuneConfig, *, is_cascade: bool) -> Recipe:
    """Return the recipe that teaches a patchwise model in the same way from the start."""
    spec = model.card.stages["structures"]
    training = TrainConfig(n_blocks=config.n_blocks, n_centres=config.n_centres)
    return Recipe(
        name=model.name,
        protocol=model.card.schemes[0],
        folder="",
        description="",
        data=DataConfig(folder="", scans="", mask_ending="", label_ending="", scheme="", packed=""),
        network=NetworkConfig(n_tasks=spec.n_tasks, coordinates=spec.coordinates, is_cascade=is_cascade),
        foreground=training,
        structures=training,
        augment=config.augment,
    )


def foreground_threshold(model: Model) -> float:
    """Return from which probability on the first stage of a patchwise model passes a voxel on."""
    found = model.card.training.recipe.get("foreground_threshold", USUAL_THRESHOLD)
    return found if isinstance(found, float) and 0 < found < 1 else USUAL_THRESHOLD


def let_learn(pupil: Pupil, phase: Phase) -> None:
    """Let the weights learn that learn in a phase, and no others."""
    learn_only(pupil.network, pupil.heads if phase.is_heads else ("",))


def fitted_iterations(phases: list[Phase], pupils: Mapping[str, Pupil], *, minutes: float) -> dict[str, int]:
    """Time a few steps of each phase, and say how many fit into the minutes.

    Parameters
    ----------
    phases : list of Phase
        Their shares add up to 1.
    pupils : mapping of str to Pupil
        By stage.
    minutes : float
        For all of them.

    Returns
    -------
    dict of str to int
        Iterations by the phase's name.

    Raises
    ------
    ConfigError
        If next to none fit.

    Notes
    -----
    Source: ours.
    """
    found = {}
    for phase in phases:
        pupil = pupils[phase.stage]
        let_learn(pupil, phase)
        step_s = seconds_per_step(pupil.network, pupil.exercise(phase.config), phase.config)
        n_steps = min(60 * minutes, 1e9) * USED_SHARE * phase.share / step_s
        if n_steps < LEAST_STEPS:
            raise ConfigError(
                f"{minutes:.1f} minutes are left, a step of {phase.name} takes {step_s:.1f} s; "
                f"give more minutes, or a number of iterations"
            )
        found[phase.name] = int(n_steps)
    return found


def stages_after(model: Model, material: Material, pupils: Mapping[str, Pupil]) -> tuple[str, ...]:
    """Return the stages of the fine-tuned model.

    A first stage that could not learn stays as it was, where the protocol is the model's own; it knows nothing of
    a new one, whose second stage then sees everything.

    Notes
    -----
    Source: ours.
    """
    is_known = not fresh_protocols(model, material)
    return tuple(stage for stage in model.networks if stage in pupils or is_known)


def finished_networks(model: Model, material: Material, pupils: Mapping[str, Pupil]) -> dict[str, Network]:
    """Return the networks of the fine-tuned model by stage, ready to be used; to be called once, at the end.

    Notes
    -----
    Source: ours.
    """
    learnt: dict[str, Network] = {stage: pupil.network for stage, pupil in pupils.items()}
    first = learnt.get("foreground")
    if isinstance(first, DeepNat):
        move_threshold(first, foreground_threshold(model))
    device = next(next(iter(learnt.values())).parameters()).device
    stages = stages_after(model, material, pupils)
    return {stage: learnt.get(stage, model.networks[stage]).to(device).eval() for stage in stages}
