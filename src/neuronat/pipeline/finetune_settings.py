"""How a model is fine-tuned: the configuration, and the phases that it amounts to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from neuronat.errors import ConfigError
from neuronat.synth.degrade import DegradeConfig
from neuronat.train.augment import AugmentConfig
from neuronat.train.course import TrainConfig
from neuronat.train.crops import CropConfig
from neuronat.train.lessons import LossConfig

__all__ = ["FinetuneConfig", "Phase", "fixed_iterations", "phases_of", "with_iterations"]

STAGE_SHARES = {
    "whole": {"whole": 1.0},
    "patchwise": {"foreground": 0.2, "structures": 0.8},
    "single": {"structures": 1.0},
}
HEADS_SHARE = 0.3
FRESH_BALANCED_UNTIL = 0.67
SGD_RATES, ADAM_RATES = {"heads": 0.02, "all": 0.005}, {"heads": 0.004, "all": 0.003}
LONGEST_AVERAGE = 0.99


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What is taught, from which scans, and how.

    `protocols`: names or paths of tables; empty: those of the model that the scans have label maps of. `scans` is a
    glob in the folder of scans. `heads_only`: the new or adapted heads learn, nothing else; other protocols stay.
    `from_scratch`: forget the model's weights, to see what they are worth. `iterations`: 0 for as many as fit the
    minutes.
    """

    protocols: tuple[str, ...] = ()
    merged_from: Mapping[str, str] = field(default_factory=dict)
    scans: str = "**/*_T1w.nii*"
    label_folders: tuple[Path, ...] = ()
    mask_ending: str = "_desc-brain_mask.nii.gz"
    hold_out: tuple[str, ...] = ()
    heads_only: bool = False
    from_scratch: bool = False
    iterations: int = 0
    seed: int = 1
    credits: tuple[str, ...] = ()
    crops: CropConfig = field(
        default_factory=lambda: CropConfig(
            extent=64,
            n_inside=14000,
            n_anywhere=600,
            n_balanced=5000,
            share_composite=0.0,
            share_painted=0.0,
            degrade=DegradeConfig(gain=0.12, gamma=0.2, bias=0.1, noise=0.05),
        )
    )
    loss: LossConfig = field(default_factory=lambda: LossConfig(dice=0.5, deep=0.3))
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    n_blocks: int = 32
    n_centres: int = 4

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise ConfigError(f"iterations must be at least 0, where 0 is as many as fit; got {self.iterations}")
        if self.heads_only and self.from_scratch:
            raise ConfigError("heads_only needs a model whose other weights stay; it cannot go with from_scratch")
        if self.crops.share_composite or self.crops.share_painted:
            raise ConfigError("fine-tuning has no whole heads; crops.share_composite and share_painted must be 0")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of a fine-tuning: which network learns, whether only its heads do, and its share of the time."""

    stage: str
    is_heads: bool
    share: float
    config: TrainConfig

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.stage}-{'heads' if self.is_heads else 'all'}"


def phases_of(stages: tuple[str, ...], config: FinetuneConfig, *, has_fresh: bool) -> list[Phase]:
    """Plan the phases of a fine-tuning.

    Fresh heads first learn alone, so that their first, wild steps do not spoil what they stand on; then everything
    learns at a lower rate. Batch normalization keeps its statistics: a few scans would give poor ones.

    A network of whole scans that knows what it is taught learns from voxels as frequent as they are: balanced draws
    would make its small structures too large again. A fresh head needs the balance for two thirds of each phase, and
    one on features from chance to the end.

    Parameters
    ----------
    stages : tuple of str
        Of the model, in order: `whole`, or `foreground` and `structures`, or `structures` alone.
    config : FinetuneConfig
        What to do.
    has_fresh : bool
        Whether heads start from chance.

    Returns
    -------
    list of Phase
        In order; their shares add up to 1.

    Notes
    -----
    Source: ours (decisions 0032 and 0050).
    """
    kind = "whole" if "whole" in stages else "patchwise" if "foreground" in stages else "single"
    until = 1.0 if config.from_scratch or kind != "whole" else FRESH_BALANCED_UNTIL if has_fresh else 0.0
    phases = []
    for stage, share in STAGE_SHARES[kind].items():
        heads, everything = (
            _phase(stage, share, config, is_heads=is_heads, balanced_until=until) for is_heads in (True, False)
        )
        if config.from_scratch:
            scratch = replace(everything.config, rate=heads.config.rate, freeze_norms_from=0.75)
            phases.append(replace(everything, config=scratch))
        elif config.heads_only:
            phases.append(heads)
        elif has_fresh:
            phases.append(replace(heads, share=share * HEADS_SHARE))
            phases.append(replace(everything, share=share * (1 - HEADS_SHARE)))
        else:
            phases.append(everything)
    return phases


def _phase(stage: str, share: float, config: FinetuneConfig, *, is_heads: bool, balanced_until: float) -> Phase:
    """Return a phase of one stage that has all the stage's time."""
    part = "heads" if is_heads else "all"
    frozen = {"freeze_norms_from": 0.0, "balanced_until": balanced_until, "seed": config.seed}
    if stage == "whole":
        training = TrainConfig(n_blocks=1, optimizer="adam", rate=ADAM_RATES[part], weight_decay=1e-4, **frozen)  # type: ignore[arg-type]
    else:
        training = TrainConfig(n_blocks=config.n_blocks, n_centres=config.n_centres, rate=SGD_RATES[part], **frozen)  # type: ignore[arg-type]
    return Phase(stage=stage, is_heads=is_heads, share=share, config=training)


def fixed_iterations(phases: list[Phase], total: int) -> dict[str, int]:
    """Divide a number of iterations over phases by their shares, at least one each.

    Notes
    -----
    Source: ours.
    """
    return {phase.name: max(1, round(total * phase.share)) for phase in phases}


def with_iterations(phases: list[Phase], iterations: Mapping[str, int]) -> list[Phase]:
    """Give each phase its length, and an average of the weights over about the last tenth of it.

    Notes
    -----
    Source: ours.
    """
    found = []
    for phase in phases:
        n = iterations[phase.name]
        averaging = min(LONGEST_AVERAGE, max(0.0, 1 - 10 / n))
        found.append(replace(phase, config=replace(phase.config, iterations=n, averaging=averaging)))
    return found
