"""The training loop of every network: draw, descend, log, checkpoint, validate; killed at any moment, it resumes."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from neuronat.errors import ConfigError
from neuronat.train.checkpoint import TrainingState, load_newest, save_checkpoint
from neuronat.train.journal import describe, new_tally, summarize, write_line
from neuronat.train.team import SOLO, Team

__all__ = [
    "Course",
    "Exercise",
    "TrainConfig",
    "follow_course",
    "make_optimizer",
    "rate_at",
    "seconds_per_step",
]

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One network's training; a batch holds `n_blocks` blocks of `n_centres`^3 centres, or so many crops.

    `momentum` is SGD's, `epsilon` Adam's. `averaging`: decay of a running average of the weights, which is what a
    training ends with; 0 for none. `freeze_norms_from`: share from which on batch normalization keeps its statistics.
    `balanced_until`: share up to which small classes are drawn more often than they are, which teaches them soon and
    makes them too large; from there on all are drawn as frequent as they are (decision 0050).
    """

    iterations: int = 5000
    n_blocks: int = 32
    n_centres: int = 4
    optimizer: str = "sgd"
    rate: float = 0.01
    momentum: float = 0.9
    epsilon: float = 1e-7
    weight_decay: float = 5e-4
    warm_up: float = 0.02
    averaging: float = 0.0
    freeze_norms_from: float = 1.0
    balanced_until: float = 1.0
    precision: str = "float32"
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("iterations", "n_blocks", "n_centres", "rate", "epsilon"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"TrainConfig.{name} must be above 0; got {getattr(self, name)!r}")
        if self.optimizer not in ("sgd", "adagrad", "adam"):
            raise ConfigError(f"TrainConfig.optimizer must be sgd, adagrad or adam; got {self.optimizer!r}")
        if not 0 <= self.averaging < 1 or not 0 <= self.freeze_norms_from <= 1:
            raise ConfigError("TrainConfig.averaging must be in [0, 1), freeze_norms_from in [0, 1]")
        if not 0 <= self.balanced_until <= 1:
            raise ConfigError(f"TrainConfig.balanced_until must be in [0, 1]; got {self.balanced_until}")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"TrainConfig.precision must be float32 or bfloat16; got {self.precision!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """Where and how long one call trains: `checkpoint-*.pt` (the last two) and `log.jsonl` go into `folder`.

    Of a `team` of processes the first one writes.
    """

    folder: Path
    max_minutes: float = math.inf
    resume: bool = False
    log_every: int = 50
    checkpoint_every_s: float = 120.0
    validate_every: int = 0
    validate: Callable[[Any], Mapping[str, float]] | None = None
    progress: Callable[[float, str], None] | None = None
    team: Team = SOLO


@dataclass(frozen=True, eq=False)
class Exercise:
    """What one step does.

    `draw` takes the source of chance and the share of the training that is done, and returns a batch; `score` returns
    from it the loss, the correct answers per task (T,), and the number of answers. `settings` must be equal for a
    checkpoint to fit.
    """

    draw: Callable[[torch.Generator, float], Any]
    score: Callable[[Any], tuple[Tensor, Tensor, int]]
    n_tasks: int
    settings: Mapping[str, object]


def follow_course(net: Network, exercise: Exercise, config: TrainConfig, course: Course) -> bool:
    """Train any network in place until its iterations or the course's minutes are over.

    Parameters
    ----------
    net : nn.Module
        The network, on the device it learns on.
    exercise : Exercise
        What one step does.
    config : TrainConfig
        Length, batch, optimizer, seed.
    course : Course
        Folder, minutes, resume, callbacks.

    Returns
    -------
    bool
        True when all iterations are done, False when the minutes were over first. Then, too, the network holds the
        average of its weights, if one is kept.

    Raises
    ------
    ConfigError
        If the folder's checkpoint belongs to other settings.

    Notes
    -----
    Source: ours.
    """
    team = course.team
    state, done = _begin(net, exercise, config, course)
    generator, average = state.generator, state.average
    tally, correct = new_tally(), torch.zeros(exercise.n_tasks, device=generator.device)
    started = saved = time.monotonic()
    is_over = False
    while done < config.iterations and not is_over:
        share_done = done / config.iterations
        rate = rate_at(share_done, config)
        _set_rate(state.optimizer, rate)
        begun = time.perf_counter()
        batch = exercise.draw(generator, share_done)
        drawn = time.perf_counter()
        _set_mode(net, share_done, config)
        loss, n_correct, n_answers = _step(exercise.score(batch), state.optimizer, net, team)
        if average is not None:
            average.update_parameters(net)
        correct += n_correct
        passed = (1, config.n_blocks, n_answers, loss, drawn - begun, time.perf_counter() - drawn)
        tally = {key: tally[key] + value for key, value in zip(tally, passed, strict=True)}
        done += 1
        if done % course.log_every == 0 or done == config.iterations:
            line = summarize(tally, correct.tolist(), iteration=done, iterations=config.iterations, rate=rate)
            _report(course, done / config.iterations, line)
            tally, correct = new_tally(), torch.zeros_like(correct)
        is_over = team.agree(time.monotonic() - started > 60 * course.max_minutes)
        is_due = is_over or done == config.iterations or time.monotonic() - saved > course.checkpoint_every_s
        if is_due and team.is_first:
            save_checkpoint(course.folder, state, iteration=done)
            saved = time.monotonic()
        if course.validate and course.validate_every and done % course.validate_every == 0:
            _log_validation(course, done, _best(net, average))
    if average is not None:
        net.load_state_dict(average.module.state_dict())
    return done >= config.iterations


def seconds_per_step(net: nn.Module, exercise: Exercise, config: TrainConfig, *, n_steps: int = 3) -> float:
    """Time a few steps without making one, so that a training can be fitted into the minutes there are.

    Parameters
    ----------
    net : nn.Module
        The network, on the device it will learn on; its weights and statistics stay as they are.
    exercise : Exercise
        What one step does.
    config : TrainConfig
        The training to come.
    n_steps : int
        How many steps are timed, after a first one that is not.

    Returns
    -------
    float
        Mean seconds of a step; what the optimizer itself takes is left out.

    Notes
    -----
    Source: ours.
    """
    generator = torch.Generator(next(net.parameters()).device).manual_seed(config.seed)
    net.train()
    _keep_statistics(net)
    began = 0.0
    for step in range(1 + n_steps):
        began = time.perf_counter() if step == 1 else began
        loss, _, _ = exercise.score(exercise.draw(generator, 0.0))
        loss.backward()  # type: ignore[no-untyped-call]
        float(loss.detach())  # an accelerator has done its work by now
    net.zero_grad(set_to_none=True)
    return (time.perf_counter() - began) / n_steps


def _begin(net: nn.Module, exercise: Exercise, config: TrainConfig, course: Course) -> tuple[TrainingState, int]:
    """Return the state of a training, new or from its newest checkpoint, and the iterations done."""
    team = course.team
    generator = torch.Generator(next(net.parameters()).device).manual_seed(config.seed + team.rank)
    torch.manual_seed(config.seed + team.rank)  # dropout
    settings = asdict(config) | dict(exercise.settings)
    state = TrainingState(net, make_optimizer(net, config), generator, settings, _averaged(net, config))
    with team.first_goes_ahead():  # what it has just written is there for all
        done = load_newest(course.folder, state) if course.resume else 0
    if done and not team.is_first:  # the checkpoint has the first member's chance
        generator.manual_seed(config.seed + team.rank + team.size * done)
    return state, done


def make_optimizer(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the configured optimizer; weights decay, biases do not."""
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=config.rate, eps=config.epsilon)
    if config.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, lr=config.rate)
    return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum)


def rate_at(progress: float, config: TrainConfig) -> float:
    """Learning rate at a progress in [0, 1): a linear warm-up, then the fall of a cosine to 1 % of the base rate."""
    if progress < config.warm_up:
        return config.rate * max(progress / config.warm_up, 0.02)
    fallen = (progress - config.warm_up) / (1 - config.warm_up)
    return config.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * fallen)) / 2)


def _report(course: Course, share_done: float, line: Mapping[str, object]) -> None:
    """Write a line into the log, and show it."""
    if not course.team.is_first:
        return
    write_line(course.folder / "log.jsonl", line)
    if course.progress:
        course.progress(share_done, describe(line))


def _log_validation(course: Course, done: int, net: nn.Module) -> None:
    """Validate, and write the scores into the log."""
    if course.validate and course.team.is_first:
        scored = dict(course.validate(net.eval()))
        write_line(course.folder / "log.jsonl", {"iteration": done, "validation": scored})


def _step(
    scored: tuple[Tensor, Tensor, int], optimizer: torch.optim.Optimizer, net: nn.Module, team: Team
) -> tuple[float, Tensor, int]:
    """Make one step down the team's mean loss; return this member's as a number, and the rest as it is."""
    loss, n_correct, n_answers = scored
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    team.average_gradients(net)
    optimizer.step()
    return float(loss.detach()), n_correct, n_answers


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def _set_mode(net: nn.Module, progress: float, config: TrainConfig) -> None:
    """Put a network into training mode; late in the training, batch normalization keeps its statistics."""
    net.train()
    if progress >= config.freeze_norms_from:
        _keep_statistics(net)


def _keep_statistics(net: nn.Module) -> None:
    """Let batch normalization use its running statistics, and leave them as they are."""
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()


def _averaged(net: nn.Module, config: TrainConfig) -> AveragedModel | None:
    """Return a running average of a network's weights and statistics, if one is to be kept."""
    if not config.averaging:
        return None
    return AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(config.averaging), use_buffers=True)  # type: ignore[no-untyped-call]


def _best(net: Network, average: AveragedModel | None) -> Network:
    """Return the averaged network where there is one."""
    return net if average is None else average.module  # type: ignore[return-value]
