"""Group: the processes that train one network together, each on its share of the streams."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Group:
    """One process, or the several that `torchrun` started.

    Attributes:
        rank: this process's number; 0 writes the files and talks to the user.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def from_environment(cls, device: torch.device) -> Group:
        """The group that `torchrun` describes in the environment; alone where it does not."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, values_TB: Tensor) -> Tensor:
        """This process's columns of a batch."""
        return values_TB.tensor_split(self.size, dim=1)[self.rank]

    def reduce(self, parameters: Sequence[nn.Parameter], figures: Sequence[float]) -> list[float]:
        """Puts the mean over all processes into every gradient; returns the mean of figures."""
        if self.size == 1:
            return list(figures)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat(
            [g.flatten() for g in gradients] + [gradients[0].new_tensor(figures)]  # one message
        )
        dist.all_reduce(flat)
        flat /= self.size
        sizes = [g.numel() for g in gradients] + [len(figures)]
        *pieces, means = torch.split(flat, sizes)
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))
        return [float(mean) for mean in means.tolist()]

    def whole(self, share_LBH: Tensor) -> Tensor:
        """The columns of all processes side by side: what `share` was taken of."""
        if self.size == 1:
            return share_LBH
        parts = [torch.empty_like(share_LBH) for _ in range(self.size)]
        dist.all_gather(parts, share_LBH.contiguous())
        return torch.cat(parts, dim=1)

    def mean(self, figure: float, device: torch.device) -> float:
        """The mean of a figure over all processes, the same in each."""
        if self.size == 1:
            return figure
        total = torch.tensor([figure], dtype=torch.float32, device=device)
        dist.all_reduce(total)
        return total.item() / self.size

    def close(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()
