"""Several processes that train one network: each draws its own examples, and all take the same step.

`torchrun --nproc-per-node N -m neuronat train ...` starts them; without it a team has one member.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuronat.errors import UnavailableError

__all__ = ["SOLO", "Team", "join_team"]


@dataclass(frozen=True, eq=False)
class Team:
    """Which member of a team this process is; `fabric` (Lightning Fabric) carries what they tell each other."""

    rank: int = 0
    size: int = 1
    fabric: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this is the member that writes files and shows progress."""
        return self.rank == 0

    def average_gradients(self, net: nn.Module) -> None:
        """Replace every gradient of a network by the mean over the team; who has none counts as 0."""
        if self.size == 1:
            return
        parameters = [p for p in net.parameters() if p.requires_grad]
        mine = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        mean = self.fabric.all_reduce(mine, reduce_op="mean")
        for parameter, gradient in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = gradient.view_as(parameter).clone(memory_format=torch.preserve_format)

    def agree(self, is_so: bool) -> bool:
        """Return what the first member says."""
        return is_so if self.size == 1 else bool(self.fabric.broadcast(is_so))

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """Let the first member do something before the others: they find it done."""
        if self.size > 1 and not self.is_first:
            self.fabric.barrier()
        yield
        if self.size > 1 and self.is_first:
            self.fabric.barrier()

    def leave(self) -> None:
        """Close the connections without waiting for the others; left to the end of the process, that may abort it."""
        if self.size > 1:
            torch.distributed.destroy_process_group()


SOLO = Team()


def join_team(device: torch.device) -> tuple[Team, torch.device]:
    """Join the team that `torchrun` started this process for, if it did.

    Parameters
    ----------
    device : torch.device
        The kind of device wanted; of several accelerators each member gets its own.

    Returns
    -------
    Team
        Of one member, if there is no `torchrun`.
    torch.device
        Where this member calculates.

    Raises
    ------
    UnavailableError
        If Lightning Fabric is not installed.

    Notes
    -----
    Source: ours. Gradients are averaged by hand, not by a wrapped network: which heads take part differs from member
    to member and from step to step.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return SOLO, device
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise UnavailableError(
            "several processes need Lightning Fabric; pip install 'neuronat[train]', or start without torchrun"
        ) from error
    n_here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    fabric = Fabric(
        accelerator=device.type,
        devices=n_here,
        num_nodes=int(os.environ["WORLD_SIZE"]) // n_here,
        strategy="ddp",
    )
    fabric.launch()
    return Team(fabric.global_rank, fabric.world_size, fabric), fabric.device
