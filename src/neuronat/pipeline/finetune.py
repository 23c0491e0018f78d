"""The third sentence: a finished model and a few labelled scans in, a model that fits them out."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from neuronat import __version__
from neuronat.errors import ConfigError, OutputError
from neuronat.labels.scheme import LabelScheme
from neuronat.nets.card import ModelCard
from neuronat.nets.network import Network
from neuronat.nets.store import Model, load_model, save_model
from neuronat.pipeline.budget import Budget
from neuronat.pipeline.finetune_card import draft_card, finished_card, inherited_licence
from neuronat.pipeline.finetune_material import (
    chosen_lessons,
    find_scans,
    hashes_of,
    pack_material,
    read_material,
    require_adaptable,
)
from neuronat.pipeline.finetune_pupils import (
    Pupil,
    finished_networks,
    fitted_iterations,
    fresh_protocols,
    let_learn,
    make_pupils,
    schemes_after,
    stages_after,
)
from neuronat.pipeline.finetune_scores import Score, measure_gain
from neuronat.pipeline.finetune_settings import FinetuneConfig, Phase, fixed_iterations, phases_of, with_iterations
from neuronat.pipeline.settings import Progress
from neuronat.record import Marker, differences, make_folder, read_marker, shown_name, write_marker
from neuronat.train.course import Course, follow_course
from neuronat.train.journal import total_seconds
from neuronat.train.teaching import Protocol

__all__ = ["Finetuned", "finetune", "work_folder"]

PLAN, PACKED = "plan.json", "packed"
ELSEWHERE = ("scans", "label_folders", "mask_ending", "credits")  # of the plan: what they lead to is hashed


@dataclass(frozen=True, kw_only=True)
class Finetuned:
    """What came out: the model's folder, what was taught on how many scans, and scores on held-out ones."""

    folder: Path
    protocols: tuple[str, ...]
    n_scans: int
    seconds: float
    scores: tuple[Score, ...]


def work_folder(out: Path) -> Path:
    """Return where plan, packed scans, checkpoints and log of a fine-tuning lie: beside the model's folder."""
    return out.with_name(f"{out.name}.training")


def finetune(
    place: Path, out: Path, name: str, config: FinetuneConfig, budget: Budget, progress: Progress
) -> Finetuned | None:
    """Fine-tune a model to a few labelled scans, as far as the minutes carry.

    Parameters
    ----------
    place : Path
        A folder of scans with label maps, or a table that lists them.
    out : Path
        The folder of the new model.
    name : str
        Name or folder of the model to start from.
    config : FinetuneConfig
        What is taught, and how.
    budget : Budget
        Device, minutes, resume.
    progress : callable
        Takes a line of text and the share done, in [0, 1].

    Returns
    -------
    Finetuned or None
        None where the minutes were over first; the checkpoint stays.

    Raises
    ------
    OutputError
        If `out` is there already, or cannot be written.
    ModelError
        If the model is not known, or cannot be fine-tuned.
    ConfigError
        If the configuration does not fit the scans or the minutes, or another training lies beside `out`.
    MissingInputError, UnusableInputError, LabelError, GridError, UsageError
        If the scans cannot be trained on.

    Notes
    -----
    Source: ours (decisions 0032 and 0033); [DEEPNAT] names the use.
    """
    began = time.monotonic()
    if out.exists():
        raise OutputError(f"{shown_name(out)} exists already; choose another folder for the model")
    model = load_model(name)
    require_adaptable(model)
    replace(model.card, name=out.name)  # says at once if no model can have this name
    scans, protocols = chosen_lessons(find_scans(place, config), model, name, config)
    wanted, work = _plan(model, hashes_of(scans), protocols, config), work_folder(out)
    plan = _earlier_plan(work, wanted, is_resumed=budget.resume)
    if plan is None:
        make_folder(work)
        pack_material(scans, protocols, work / PACKED, config, progress)
    material = read_material(scans, protocols, work / PACKED, config)
    pupils = make_pupils(model, material, config, budget.device)
    card = draft_card(out.name, model, material, stages_after(model, material, pupils), config)
    phases = phases_of(tuple(pupils), config, has_fresh=bool(fresh_protocols(model, material)))
    left = budget.max_minutes - (time.monotonic() - began) / 60
    if plan is None:
        plan = replace(wanted, notes=_iterations(phases, pupils, config, minutes=left))
        write_marker(work / PLAN, plan)
    phases = with_iterations(phases, plan.notes)
    for phase in phases:
        left = budget.max_minutes - (time.monotonic() - began) / 60
        if not _follow(phase, pupils[phase.stage], work, replace(budget, max_minutes=left), progress):
            return None
    networks = finished_networks(model, material, pupils)
    scores = measure_gain(model, networks, material, work, progress)
    seconds = sum(total_seconds(work / phase.name / "log.jsonl") for phase in phases)
    card = finished_card(
        card, phases, seconds=seconds, scores=scores, held_out=[volume.name for volume in material.held_out]
    )
    made = _finished_model(card, networks, model, schemes_after(model, material, config))
    save_model(made, out, licence_text=inherited_licence(card, name))
    return Finetuned(
        folder=out, protocols=tuple(protocols), n_scans=len(material.training), seconds=seconds, scores=scores
    )


def _finished_model(
    card: ModelCard, networks: Mapping[str, Network], origin: Model, schemes: Mapping[str, LabelScheme]
) -> Model:
    """Put a fine-tuned model together; the template stays where its protocol is the same."""
    kept = {n: s for n, s in origin.card.template.items() if n in schemes and schemes[n].ids == origin.schemes[n].ids}
    card, template = replace(card, template=kept), origin.template if kept else None
    return Model(card, {stage: net.cpu() for stage, net in networks.items()}, schemes, template=template)


def _plan(model: Model, hashes: Mapping[str, str], protocols: Mapping[str, Protocol], config: FinetuneConfig) -> Marker:
    """Say from what a model is going to be made, so that only the same training goes on."""
    settings = {name: value for name, value in asdict(config).items() if name not in ELSEWHERE}
    settings |= {"protocols": {name: list(protocol.scheme.ids) for name, protocol in protocols.items()}}
    return Marker(version=__version__, inputs=hashes, models={model.name: model.sha256}, settings=settings, outputs={})


def _earlier_plan(work: Path, wanted: Marker, *, is_resumed: bool) -> Marker | None:
    """Return the plan of a training to go on with; None where there is none."""
    plan = read_marker(work / PLAN)
    if plan is None:
        return None
    if not is_resumed:
        raise ConfigError(f"{shown_name(work)}: holds a training already; add --resume, or give another folder")
    if changed := differences(plan, wanted):
        raise ConfigError(
            f"{shown_name(work)}: begun with something else ({changed[0]}); resume with the same, "
            f"or give another folder"
        )
    return plan


def _iterations(
    phases: list[Phase], pupils: Mapping[str, Pupil], config: FinetuneConfig, *, minutes: float
) -> Mapping[str, int]:
    """Return how many steps each phase has."""
    if config.iterations:
        return fixed_iterations(phases, config.iterations)
    return fitted_iterations(phases, pupils, minutes=minutes)


def _follow(phase: Phase, pupil: Pupil, work: Path, budget: Budget, progress: Progress) -> bool:
    """Train one phase, or go on with it; return whether it is finished."""
    let_learn(pupil, phase)
    course = Course(
        folder=work / phase.name,
        max_minutes=budget.max_minutes,
        resume=budget.resume,
        log_every=max(1, min(50, phase.config.iterations // 10)),
        progress=lambda done, line: progress(f"{phase.name}: {line}", done),
    )
    return follow_course(pupil.network, pupil.exercise(phase.config), phase.config, course)
