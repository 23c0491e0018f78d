"""Checkpoints that survive a kill at any moment: written under a temporary name, then renamed; the last two stay."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from neuronat.errors import ConfigError
from neuronat.record import write_whole

__all__ = ["TrainingState", "load_newest", "save_checkpoint"]

KEPT = 2


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Everything that a training continues from; `settings` must be equal for a checkpoint to fit."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    settings: Mapping[str, object]
    average: AveragedModel | None = None


def save_checkpoint(folder: Path, state: TrainingState, *, iteration: int) -> Path:
    """Write the state after `iteration` steps to `folder`, drop all but the last two, and return the path."""
    path = folder / f"checkpoint-{iteration:07d}.pt"
    content = {
        "iteration": iteration,
        "settings": dict(state.settings),
        "net": state.net.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "generator": state.generator.get_state(),
        "chance": torch.get_rng_state(),
    }
    if state.average is not None:
        content["average"] = state.average.state_dict()
    write_whole(path, lambda stream: torch.save(content, stream))
    for old in _checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def load_newest(folder: Path, state: TrainingState) -> int:
    """Put the newest readable checkpoint of `folder` into `state`; return its iteration, 0 if there is none.

    Raises
    ------
    ConfigError
        If the newest readable checkpoint was made with other settings.

    Notes
    -----
    Source: ours. A damaged checkpoint is skipped for the one before it; nothing in a file is executed.
    """
    device = next(state.net.parameters()).device
    for path in reversed(_checkpoints(folder)):
        try:
            content = torch.load(path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            continue
        changed = sorted(k for k, v in state.settings.items() if content["settings"].get(k) != v)
        if changed:
            raise ConfigError(f"{path.name}: made with other settings ({', '.join(changed)}); resume with the same")
        state.net.load_state_dict(content["net"])
        state.optimizer.load_state_dict(content["optimizer"])
        if state.average is not None:
            state.average.load_state_dict(content["average"])
        state.generator.set_state(content["generator"].cpu())
        torch.set_rng_state(content["chance"].cpu())
        return int(content["iteration"])
    return 0


def _checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-*.pt"))
