"""ProcessGroup: the processes that train one network, each on its shard of the batch.

Shape letters: T sequence length, B batch size, L layers, H hidden size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from model.errors import TrainingError


@dataclass(frozen=True)
class Flags:
    """Requests of one process to all processes, carried out after an update."""

    stop: bool = False
    save: bool = False
    count: bool = False  # count the updates that fit into the time limit again


NO_FLAGS = Flags()


@contextmanager
def _communicating() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # such as: connection closed by peer
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"the processes of this run cannot communicate: {reason}") from error


class ProcessGroup:
    """One process, or the several processes that `torchrun` started.

    Args:
        rank: number of this process, counted from 0. Process 0 writes the files and prints.
        size: number of processes.
        joined: whether this process has joined a group of `torch.distributed`.

    Raises:
        TrainingError: from each method that communicates, such as if another process has ended.
    """

    def __init__(self, rank: int = 0, size: int = 1, joined: bool = False) -> None:
        self.rank, self.size, self._joined = rank, size, joined

    @classmethod
    def from_environment(cls, device: torch.device) -> ProcessGroup:
        """Join the group that `torchrun` describes in the environment.

        Without `torchrun`, return a group of one process that does not communicate.
        """
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if not several and "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        # The defaults of these functions hold the group that exists when they are imported.
        # PyTorch would import them later, and the threads of the group would never end.
        import torch.distributed.nn  # noqa: F401

        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size(), joined=True)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and prints."""
        return self.rank == 0

    def shard(self, values_TB: Tensor) -> Tensor:
        """Return this process's columns of a batch, (T, B / size)."""
        return values_TB.tensor_split(self.size, dim=1)[self.rank]

    def all_gather(self, shard_LBH: Tensor) -> Tensor:
        """Return the columns of all processes, joined in the order of their ranks.

        Every process must call this, with a shard (L, B / size, H).
        """
        if not self._joined:
            return shard_LBH
        shards = [torch.empty_like(shard_LBH) for _ in range(self.size)]
        with _communicating():
            dist.all_gather(shards, shard_LBH.contiguous())
        return torch.cat(shards, dim=1)

    def reduce(
        self, parameters: Sequence[nn.Parameter], losses: Sequence[float], flags: Flags
    ) -> tuple[Sequence[float], Flags]:
        """Replace every gradient with its mean over all processes. Every process must call this.

        Returns:
            the mean of each loss, and the flags that at least one process has set.
        """
        if not self._joined:
            return losses, flags
        gradients = [p.grad for p in parameters if p.grad is not None]
        extras = gradients[0].new_tensor([*losses, flags.stop, flags.save, flags.count])
        flat = torch.cat([*(g.flatten() for g in gradients), extras])  # one message for all
        with _communicating():
            dist.all_reduce(flat)
        flat /= self.size
        *mean_gradients, extras = torch.split(flat, [*(g.numel() for g in gradients), len(extras)])
        for gradient, mean in zip(gradients, mean_gradients, strict=True):
            gradient.copy_(mean.view_as(gradient))
        values = extras.tolist()
        shares = values[len(losses) :]
        return values[: len(losses)], Flags(*(share > 0 for share in shares))

    def mean(self, value: float, device: torch.device) -> float:
        """Return the mean of a number over all processes. Every process must call this."""
        if not self._joined:
            return value
        total = torch.tensor([value], dtype=torch.float32, device=device)
        with _communicating():
            dist.all_reduce(total)
        return total.item() / self.size

    def from_main(self, values: Sequence[int], device: torch.device) -> list[int]:
        """Return the numbers that the main process passes. Every process must call this."""
        if not self._joined:
            return list(values)
        shared = torch.tensor(values, dtype=torch.int64, device=device)
        with _communicating():
            dist.broadcast(shared, src=0)
        return [int(value) for value in shared.tolist()]

    def close(self) -> None:
        """Leave the group."""
        if self._joined:
            dist.destroy_process_group()
