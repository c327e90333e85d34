"""Learner: a network in training, with everything that an update of its weights changes.

Shape letters: T sequence length, B batch size, N = T * B, V vocabulary.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from model.pytorch.lstm_layer import State
from model.pytorch.network import CharLSTM
from training.config import TrainingConfig
from training.distillation import Teachers
from training.muon import Muon, weight_matrices
from training.precision import autocast
from training.process_group import NO_FLAGS, Flags, ProcessGroup


@dataclass(frozen=True)
class UpdateResult:
    """Result of one update, the same in every process."""

    loss: float  # mean over the batch, nats per character
    objective: float  # what the update minimizes: the loss, with the teachers and the penalty
    gradient_norm: float  # before clipping
    flags: Flags  # set if any process set them

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are finite. Only then the update has changed the weights."""
        return all(map(math.isfinite, (self.loss, self.objective, self.gradient_norm)))


class Learner:
    """The weights, their optimizer, their average, and the state carried from batch to batch.

    It trains by truncated backpropagation through time with clipped gradients, and keeps an
    exponential average of the weights. The optimizer is AdamW (Loshchilov and Hutter 2019), or Muon
    for the LSTM's matrices and AdamW for the rest. A confidence penalty rewards the entropy of
    the predictions (Pereyra et al. 2017). Reported losses do not include it. The random number
    generator is seeded before each update, so an update depends on its number and not on the random
    numbers that other code has drawn.

    Args:
        network: network on the device to train on, with the same weights in every process.
        config: settings of the run.
        process_group: processes that share each batch.
        teachers: networks to learn from, in addition to the text (see `training.distillation`).
    """

    def __init__(
        self,
        network: CharLSTM,
        config: TrainingConfig,
        process_group: ProcessGroup,
        teachers: Sequence[Checkpoint] = (),
    ) -> None:
        self.network, self._config, self._process_group = network, config, process_group
        self._device = network.output.weight.device
        self._parameters = list(network.parameters())
        self.average = {name: value.clone() for name, value in network.state_dict().items()}
        self._muon = _new_muon(network, config)
        by_muon = {id(matrix) for matrix in self._muon.matrices.values()}
        self._by_adamw = [p for p in self._parameters if id(p) not in by_muon]
        self._optimizer = torch.optim.AdamW(
            self._by_adamw, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._state = self._zero_state()
        self._teachers = Teachers(
            teachers, self._local_batch_size, config.distill_temperature, config.precision,
            self._device,
        )  # fmt: skip

    def update(
        self,
        inputs_TB: Tensor,
        targets_TB: Tensor,
        step: int,
        rate: float,
        flags: Flags = NO_FLAGS,
    ) -> UpdateResult:
        """Update the weights with a batch that continues where the last one ended.

        If the result is not finite, the weights, the optimizer and the average do not change.

        Args:
            inputs_TB: ids of the whole batch of all processes, int64.
            targets_TB: id of the next character of each input, int64.
            step: number of the update, counted from 0.
            rate: learning rate of AdamW. That of Muon has the same share of its peak.
            flags: flags that this process sets for all processes.
        """
        self._seed(step)
        self.network.train()
        local_TB = self._local(inputs_TB)
        with autocast(self._config.precision, self._device):
            logits_TBV, state = self.network(local_TB, self._state)
        loss, objective = self._losses(logits_TBV, local_TB, self._local(targets_TB))
        self.network.zero_grad()
        objective.backward()  # type: ignore[no-untyped-call]  # torch has no annotation for it
        losses = torch.stack([loss.detach(), objective.detach()]).tolist()
        means, all_flags = self._process_group.reduce(self._parameters, losses, flags)
        mean_loss, mean_objective = means
        norm = nn.utils.clip_grad_norm_(self._parameters, self._config.clip).item()
        result = UpdateResult(mean_loss, mean_objective, norm, all_flags)
        if result.is_finite:
            self._optimize(step, rate)
            self._state = (state[0].detach().float(), state[1].detach().float())
        return result

    def reset_state(self) -> None:
        """Set the state of every sequence to zeros."""
        self._state = self._zero_state()
        self._teachers.reset()

    def averaged_network(self) -> CharLSTM:
        """Return a network with the averaged weights, in evaluation mode."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.average)
        network.lstm.flatten_parameters()  # cuDNN wants them in one block; a copy has them apart
        return network.eval()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs. Every process must call this."""
        gather = self._process_group.all_gather
        hidden, cell = self._state
        return {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self._optimizer.state_dict(),
            "muon": self._muon.buffers,
            "hidden": gather(hidden),
            "cell": gather(cell),
            "teachers": {
                str(number): {"hidden": gather(hidden), "cell": gather(cell)}
                for number, (hidden, cell) in enumerate(self._teachers.states)
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state. The number of processes may have changed since.

        Raises:
            ValueError: if a tensor is missing, is not float32, or does not have the expected shape.
        """
        self._check_shapes(state)
        self.network.load_state_dict(state["network"])
        for name, average in self.average.items():
            average.copy_(state["average"][name])
        moments = {
            index: {name: value.contiguous() for name, value in values.items()}
            for index, values in state["optimizer"]["state"].items()
        }
        groups = self._optimizer.state_dict()["param_groups"]  # decided by the config
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        for name, buffer in self._muon.buffers.items():
            buffer.copy_(state["muon"][name])
        shard = self._process_group.shard
        self._state = (shard(state["hidden"]).clone(), shard(state["cell"]).clone())
        saved = [state["teachers"][str(number)] for number in range(len(self._teachers))]
        self._teachers.states = [
            (shard(each["hidden"]).clone(), shard(each["cell"]).clone()) for each in saved
        ]

    def _check_shapes(self, state: dict[str, Any]) -> None:
        moments = {  # those of a new optimizer are empty
            index: {"step": torch.zeros(()), "exp_avg": p, "exp_avg_sq": p}
            for index, p in enumerate(self._by_adamw)
        }
        found = state | {"optimizer": state["optimizer"].get("state")}
        for name, tensors in (self.state_dict() | {"optimizer": moments}).items():
            if _shapes(found[name]) != _shapes(tensors):
                raise ValueError(f"the tensors of {name} do not fit this run")

    def _zero_state(self) -> State:
        return self.network.zero_state(self._local_batch_size)

    @property
    def _local_batch_size(self) -> int:
        return self._config.batch_size // self._process_group.size

    def _local(self, values_TB: Tensor) -> Tensor:
        return self._process_group.shard(values_TB).to(self._device, non_blocking=True)

    def _losses(
        self, logits_TBV: Tensor, inputs_TB: Tensor, targets_TB: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the loss to report, and the objective to minimize."""
        logprobs_NV = logits_TBV.float().flatten(0, 1).log_softmax(dim=-1)
        loss = objective = F.nll_loss(logprobs_NV, targets_TB.flatten())
        if len(self._teachers):
            divergence = self._teachers.divergence(logits_TBV, inputs_TB)
            objective = torch.lerp(loss, divergence, self._config.distill_weight)
        if self._config.confidence_penalty:
            entropy = -(logprobs_NV.exp() * logprobs_NV).sum(dim=-1).mean()
            objective = objective - self._config.confidence_penalty * entropy
        return loss, objective

    def _optimize(self, step: int, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._muon.step(rate * self._config.muon_learning_rate / self._config.learning_rate)
        self._average_weights(step + 1)

    def _seed(self, step: int) -> None:
        entropy = np.random.SeedSequence([self._config.seed, step, self._process_group.rank])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def _average_weights(self, updates: int) -> None:
        decay = min(self._config.averaging, updates / (9 + updates))  # shorter average at first
        weights = list(self.network.state_dict().values())
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # no annotation
        average(list(self.average.values()), weights, updates)


def _new_muon(network: CharLSTM, config: TrainingConfig) -> Muon:
    matrices = weight_matrices(network) if config.optimizer == "muon" else {}
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    return Muon(
        matrices, config.muon_momentum, config.muon_iterations, config.muon_weight_decay, dtype
    )


def _shapes(value: object) -> object:
    """Return the shapes of float32 tensors in nested dictionaries, or None for other values."""
    if isinstance(value, dict):
        return {name: _shapes(part) for name, part in value.items()}
    if isinstance(value, Tensor) and value.dtype == torch.float32:
        return tuple(value.shape)
    return None


def new_learner(
    network_config: NetworkConfig,
    config: TrainingConfig,
    device: torch.device,
    process_group: ProcessGroup,
    initial: Checkpoint | None = None,
    teachers: Sequence[Checkpoint] = (),
) -> Learner:
    """Return a learner for the start of a run, with the same weights in every process.

    The weights are those of the checkpoint `initial`, or random if `initial` is None.

    Raises:
        TrainingError: if the batch size is not a multiple of the number of processes.
    """
    if config.batch_size % process_group.size:
        raise TrainingError(
            f"the batch size must be a multiple of the {process_group.size} processes, "
            f"got {config.batch_size}: change --batch-size"
        )
    torch.manual_seed(config.seed)
    network = CharLSTM(network_config)
    if initial is not None:
        network.load(initial.weights)
    return Learner(network.to(device), config, process_group, teachers)
