"""What one call of a training may use."""

from dataclasses import dataclass

import torch

__all__ = ["Budget"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one call of a training may use, and whether it goes on where an earlier call stopped."""

    device: torch.device
    max_minutes: float
    resume: bool = False
