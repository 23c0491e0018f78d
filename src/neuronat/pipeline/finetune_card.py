"""The card and the licence of a fine-tuned model: what it was made from, on what, how, and how good it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from neuronat import __version__
from neuronat.labels.scheme import LabelScheme
from neuronat.nets.card import Accuracy, ModelCard, StageSpec, TrainingRecord
from neuronat.nets.folder import LICENCE, find_model
from neuronat.nets.store import Model
from neuronat.pipeline.finetune_pupils import foreground_threshold, schemes_after
from neuronat.pipeline.finetune_scores import Score
from neuronat.pipeline.finetune_settings import FinetuneConfig, Phase
from neuronat.pipeline.whole_material import Material
from neuronat.record import is_telling

__all__ = ["draft_card", "finished_card", "inherited_licence"]


def draft_card(name: str, model: Model, material: Material, stages: Sequence[str], config: FinetuneConfig) -> ModelCard:
    """Write the card of a model that is going to be fine-tuned, so that what is wrong with it shows at once.

    Parameters
    ----------
    name : str
        Of the new model.
    model : Model
        What it is made from; its licence, credits and expectations of a scan stay.
    material : Material
        What it learns.
    stages : sequence of str
        Those of the model that stay.
    config : FinetuneConfig
        How it learns.

    Returns
    -------
    ModelCard
        Without accuracy and length of the training.

    Raises
    ------
    ModelError
        If the name is none that a model can have.

    Notes
    -----
    Source: ours (decision 0033).
    """
    schemes = schemes_after(model, material, config)
    taught = ", ".join(material.protocols)
    scans = ", ".join(_shown(volume.name, number) for number, volume in enumerate(material.training, 1))
    origin = f"{model.name} (sha256 {model.sha256[:16]})"
    start = f"the architecture of {origin}" if config.from_scratch else origin
    credit = f"Made from the weights of {model.name} ({model.card.licence})."
    return ModelCard(
        name=name,
        description=f"Made from {start} by fine-tuning to {taught} on {_counted(len(material.training))}.",
        stages={stage: _spec(model.card.stages[stage], stage, schemes) for stage in stages},
        schemes=tuple(schemes),
        training=TrainingRecord(
            material=f"{scans}, with label maps of {taught}; before, as {model.name}: {model.card.training.material}",
            n_scans=len(material.training),
            recipe=_recipe(model, config),
            seed=config.seed,
            neuronat_version=__version__,
        ),
        licence=model.card.licence,
        credits=(credit, *model.card.credits, *config.credits),
        scan=model.card.scan,
        crf=model.card.crf,
        refined=tuple(name for name in model.card.refined if name in schemes),
        untaught=_untaught(model, material, schemes, config),
    )


def _untaught(
    model: Model, material: Material, schemes: Mapping[str, LabelScheme], config: FinetuneConfig
) -> dict[str, tuple[int, ...]]:
    """List what neither the scans at hand show nor those that the model learnt from before, by protocol."""
    found = {**model.card.untaught, **{name: () for name in material.protocols}, **material.untaught}
    for name in material.protocols:
        if name in model.schemes and not config.from_scratch:
            before = model.card.untaught.get(name, ())
            found[name] = tuple(index for index in found[name] if index in before)
    return {name: ids for name, ids in found.items() if ids and name in schemes}


def _counted(n_scans: int) -> str:
    """Say how many scans."""
    return "one scan" if n_scans == 1 else f"{n_scans} scans"


def _shown(name: str, number: int) -> str:
    """Return a scan's name, or its number where the name looks as if it told who was scanned when."""
    return f"scan {number}" if is_telling(name) else name


def _spec(spec: StageSpec, stage: str, schemes: Mapping[str, Any]) -> StageSpec:
    """Describe a stage's network for the new protocols."""
    classes = {name: scheme.n_classes for name, scheme in schemes.items()}
    if stage == "whole":
        return replace(spec, protocols=classes)
    return spec if stage == "foreground" else replace(spec, n_classes=next(iter(classes.values())))


def _recipe(model: Model, config: FinetuneConfig) -> dict[str, Any]:
    """Say how the weights come about."""
    origin = {"name": model.name, "version": model.card.version, "sha256": model.sha256, "licence": model.card.licence}
    recipe: dict[str, Any] = {
        "start_from": origin,
        "heads_only": config.heads_only,
        "from_scratch": config.from_scratch,
    }
    if model.whole is not None:
        return recipe | {"crops": asdict(config.crops), "loss": asdict(config.loss)}
    return recipe | {"augment": asdict(config.augment), "foreground_threshold": foreground_threshold(model)}


def finished_card(
    card: ModelCard, phases: Sequence[Phase], *, seconds: float, scores: Sequence[Score], held_out: Sequence[str]
) -> ModelCard:
    """Complete a draft by the phases that ran, their seconds, and what was measured on held-out scans.

    Notes
    -----
    Source: ours.
    """
    where = f"{', '.join(_shown(name, number) for number, name in enumerate(held_out, 1))}, held out"
    accuracy = []
    for score in scores:
        accuracy.append(Accuracy(measure=f"mean Dice, {score.protocol}", value=score.after, measured_on=where))
        if score.before is not None:
            measure = f"mean Dice, {score.protocol}, before fine-tuning"
            accuracy.append(Accuracy(measure=measure, value=score.before, measured_on=where))
    trained = {phase.name: asdict(phase.config) for phase in phases}
    recipe = {**card.training.recipe, "phases": trained}
    training = replace(card.training, recipe=recipe, duration_s=round(float(seconds), 1))
    return replace(card, training=training, accuracy=tuple(a for a in accuracy if np.isfinite(a.value)))


def inherited_licence(card: ModelCard, name: str) -> str:
    """Return the text of the new model's LICENSE: the terms of the model `name` that it was made from go on."""
    terms = (find_model(name) / LICENCE).read_text(encoding="utf-8")
    return f"{card.name}: {card.description}\nThe terms of the model that it was made from apply to it:\n\n{terms}"
