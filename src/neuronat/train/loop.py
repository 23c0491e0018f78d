"""The training loop: draw blocks, descend, log, checkpoint, validate; killed at any moment, it resumes."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from neuronat.errors import ConfigError
from neuronat.nets.deepnat import DeepNat, task_offsets
from neuronat.nets.shared import first_features, lattice_cells, lattice_variants
from neuronat.train.augment import AugmentConfig, augment_blocks
from neuronat.train.checkpoint import TrainingState, load_newest, save_checkpoint
from neuronat.train.examples import Block, Candidates, draw_anchors, gather_blocks
from neuronat.train.journal import describe, new_tally, summarize, write_line
from neuronat.train.scans import TrainingSet

__all__ = ["Course", "Lesson", "TrainConfig", "make_optimizer", "rate_at", "score_block", "train_network"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One network's training; a batch holds `n_blocks` blocks of `n_centres`^3 centres."""

    iterations: int = 5000
    n_blocks: int = 32
    n_centres: int = 4
    optimizer: str = "sgd"
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.02
    precision: str = "float32"
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("iterations", "n_blocks", "n_centres", "rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"TrainConfig.{name} must be above 0; got {getattr(self, name)!r}")
        if self.optimizer not in ("sgd", "adagrad"):
            raise ConfigError(f"TrainConfig.optimizer must be sgd or adagrad; got {self.optimizer!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"TrainConfig.precision must be float32 or bfloat16; got {self.precision!r}")


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a network learns from: scans, candidates, mirrored classes (C,) int64, and how blocks are changed."""

    examples: TrainingSet
    candidates: Candidates
    mirrored_classes: Tensor
    augment: AugmentConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """Where and how long one call trains: `checkpoint-*.pt` (the last two) and `log.jsonl` go into `folder`."""

    folder: Path
    max_minutes: float = math.inf
    resume: bool = False
    log_every: int = 50
    checkpoint_every_s: float = 120.0
    validate_every: int = 0
    validate: Callable[[DeepNat], Mapping[str, float]] | None = None
    progress: Callable[[float, str], None] | None = None


def train_network(net: DeepNat, lesson: Lesson, config: TrainConfig, course: Course) -> bool:
    """Train a network in place until its iterations or the course's minutes are over.

    Parameters
    ----------
    net : DeepNat
        The network, on the device of the examples.
    lesson : Lesson
        Scans and how to draw from them.
    config : TrainConfig
        Length, batch, optimizer, seed.
    course : Course
        Folder, minutes, resume, callbacks.

    Returns
    -------
    bool
        True when all iterations are done, False when the minutes were over first.

    Raises
    ------
    ConfigError
        If the folder's checkpoint belongs to other settings.

    Notes
    -----
    Source: [DEEPNAT] training. Ours: blocks of centres, a rate that falls as a cosine, warm-up.
    """
    device = lesson.examples.intensities.device
    generator = torch.Generator(device).manual_seed(config.seed)
    torch.manual_seed(config.seed)  # dropout
    state = TrainingState(net, make_optimizer(net, config), generator, asdict(config) | asdict(net.config))
    done = load_newest(course.folder, state) if course.resume else 0
    offsets = torch.from_numpy(task_offsets(net.config.n_tasks)).to(device)
    tally, correct = new_tally(), torch.zeros(net.config.n_tasks, device=device)
    started = saved = time.monotonic()
    while done < config.iterations:
        rate = rate_at(done / config.iterations, config)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        begun = time.perf_counter()
        block = _draw(lesson, config, offsets, generator)
        drawn = time.perf_counter()
        loss, n_correct, n_centres = _descend(net.train(), block, state.optimizer, config.precision)
        correct += n_correct
        passed = (1, config.n_blocks, n_centres, loss, drawn - begun, time.perf_counter() - drawn)
        tally = {key: tally[key] + value for key, value in zip(tally, passed, strict=True)}
        done += 1
        if done % course.log_every == 0 or done == config.iterations:
            line = summarize(tally, correct.tolist(), iteration=done, iterations=config.iterations, rate=rate)
            tally, correct = new_tally(), torch.zeros_like(correct)
            write_line(course.folder / "log.jsonl", line)
            if course.progress:
                course.progress(done / config.iterations, describe(line))
        is_over = time.monotonic() - started > 60 * course.max_minutes
        if is_over or done == config.iterations or time.monotonic() - saved > course.checkpoint_every_s:
            save_checkpoint(course.folder, state, done)
            saved = time.monotonic()
        if course.validate and course.validate_every and done % course.validate_every == 0:
            write_line(
                course.folder / "log.jsonl",
                {"iteration": done, "validation": dict(course.validate(net.eval()))},
            )
        if is_over:
            break
    return done >= config.iterations


def make_optimizer(net: DeepNat, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the configured optimizer; weights decay, biases do not."""
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, lr=config.rate)
    return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum)


def rate_at(progress: float, config: TrainConfig) -> float:
    """Learning rate at a progress in [0, 1): a linear warm-up, then the fall of a cosine to 1 % of the base rate."""
    if progress < config.warm_up:
        return config.rate * max(progress / config.warm_up, 0.02)
    fallen = (progress - config.warm_up) / (1 - config.warm_up)
    return config.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * fallen)) / 2)


def score_block(net: DeepNat, block: Block) -> tuple[Tensor, Tensor]:
    """Score the eligible centres of a batch of blocks.

    Parameters
    ----------
    net : DeepNat
        The network.
    block : Block
        B blocks of n^3 centres.

    Returns
    -------
    scores : (V, T, C) float
        Scores at the V eligible centres.
    labels : (V, T) int64
        Their labels.

    Notes
    -----
    Source: ours; equal to the network's `forward` on the V patches.
    """
    rows = block.eligible.flatten()
    coordinates = block.coordinates.flatten(0, 3)[rows][:, list(net.config.coordinate_channels)]
    labels = block.labels.flatten(0, 3)[rows]
    n_centres = block.labels.shape[1]
    if n_centres == 1:
        return net(block.intensities[rows], coordinates), labels
    variants = lattice_variants(net, first_features(net, block.intensities))
    cells = torch.stack(lattice_cells(variants, (n_centres,) * 3), 2)
    features = cells.flatten(1, 2).movedim(1, -1).flatten(0, 3)[rows]
    return net.classify(features, coordinates), labels


def _draw(lesson: Lesson, config: TrainConfig, offsets: Tensor, generator: torch.Generator) -> Block:
    """Draw one batch."""
    anchors = draw_anchors(lesson.candidates, config.n_blocks, generator)
    block = gather_blocks(lesson.examples, anchors, config.n_centres, offsets, generator)
    return augment_blocks(block, lesson.augment, lesson.mirrored_classes, offsets, generator)


def _descend(net: DeepNat, block: Block, optimizer: torch.optim.Optimizer, precision: str) -> tuple[float, Tensor, int]:
    """Make one step; return the loss, the correct labels per task (T,), and the number of centres."""
    device = block.intensities.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        scores, labels = score_block(net, block)
    scores = scores.float()
    n_centres, n_tasks, _ = scores.shape
    # every task has weight 1 ([DEEPNAT]): the sum over tasks of the mean over centres
    loss = n_tasks * functional.cross_entropy(scores.flatten(0, 1), labels.flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach()), (scores.argmax(2) == labels).sum(0).float(), n_centres
