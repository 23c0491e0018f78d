"""What one call of a training may use."""

from dataclasses import dataclass

import torch

from neuronat.train.team import SOLO, Team

__all__ = ["Budget"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one call of a training may use, whether it goes on where an earlier call stopped, and who takes part."""

    device: torch.device
    max_minutes: float
    resume: bool = False
    team: Team = SOLO
