"""DeepNAT's part of training: blocks of patches, scored at their centres and neighbours."""

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from neuronat.nets.deepnat import DeepNat, task_offsets
from neuronat.nets.shared import first_features, lattice_cells, lattice_variants
from neuronat.synth.lesions import LesionSites
from neuronat.train.augment import AugmentConfig, augment_blocks, vary_blocks
from neuronat.train.course import Course, Exercise, TrainConfig, follow_course
from neuronat.train.examples import Block, Candidates, draw_anchors, gather_blocks
from neuronat.train.scans import TrainingSet

__all__ = ["Lesson", "make_exercise", "score_block", "train_network"]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a network learns from: scans, candidates, mirrored classes (C,) int64, and how blocks are changed.

    `sites` are where lesions may lie.
    """

    examples: TrainingSet
    candidates: Candidates
    mirrored_classes: Tensor
    augment: AugmentConfig
    sites: LesionSites | None = None


def train_network(net: DeepNat, lesson: Lesson, config: TrainConfig, course: Course) -> bool:
    """Train a DeepNAT network on blocks of patches; see `follow_course`.

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
    return follow_course(net, make_exercise(net, lesson, config), config, course)


def make_exercise(net: DeepNat, lesson: Lesson, config: TrainConfig) -> Exercise:
    """Return what one step of a network's training does: draw blocks, score their centres and neighbours."""
    offsets = torch.from_numpy(task_offsets(net.config.n_tasks)).to(lesson.examples.intensities.device)
    natural = replace(lesson, candidates=lesson.candidates.as_frequent())
    return Exercise(
        draw=lambda generator, share_done: _draw(
            lesson if share_done < config.balanced_until else natural, config, offsets, generator
        ),
        score=lambda block: _score(net, block, config.precision),
        n_tasks=net.config.n_tasks,
        settings=asdict(net.config),
    )


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
    is_varied = bool(lesson.augment.structure or lesson.augment.lesion)
    block = gather_blocks(
        lesson.examples, anchors, offsets, generator, n_centres=config.n_centres, has_surroundings=is_varied
    )
    block = vary_blocks(block, lesson.augment, lesson.mirrored_classes, lesson.sites, generator)
    return augment_blocks(block, lesson.augment, lesson.mirrored_classes, offsets, generator)


def _score(net: DeepNat, block: Block, precision: str) -> tuple[Tensor, Tensor, int]:
    """Return the loss of a block, the correct labels per task (T,), and the number of centres."""
    with torch.autocast(block.intensities.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        scores, labels = score_block(net, block)
    scores = scores.float()
    n_centres, n_tasks, _ = scores.shape
    # every task has weight 1 ([DEEPNAT]): the sum over tasks of the mean over centres
    loss = n_tasks * functional.cross_entropy(scores.flatten(0, 1), labels.flatten())
    return loss, (scores.argmax(2) == labels).sum(0).float(), n_centres
