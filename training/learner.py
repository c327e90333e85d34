"""Learner: a network under training, and all that one update of its weights changes.

Shape letters: T steps, B streams.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network import CharLSTM
from training.config import TrainingConfig
from training.group import Group
from training.precision import autocast


class Learner:
    """Weights, their optimizer, their average, and the streams' state from batch to batch.

    Truncated backpropagation with AdamW and clipped gradients, and an exponential average of
    the weights. A confidence penalty rewards the predictions' entropy (Pereyra et al. 2017), which
    is not part of the losses told. Random numbers are seeded anew for each update, so an update
    depends on its number and not on what drew numbers before it.

    Args:
        network: on the device to train on; the same in every process of the group.
        config: of the run.
        group: a process holds its share of the streams.
    """

    def __init__(self, network: CharLSTM, config: TrainingConfig, group: Group) -> None:
        self.network, self._config, self._group = network, config, group
        self._device = network.output.weight.device
        self._parameters = list(network.parameters())
        self.average = {name: value.clone() for name, value in network.state_dict().items()}
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._hidden, self._cell = self._zero_state()

    def update(
        self, inputs_TB: Tensor, targets_TB: Tensor, step: int, rate: float, figures: list[float]
    ) -> list[float]:
        """One update of the weights, on a batch that goes on where the last one ended.

        Args:
            inputs_TB: ids of all streams, int64.
            targets_TB: each input's next character.
            step: the update's number, counted from 0.
            rate: learning rate.
            figures: what the processes tell each other along with it.

        Returns:
            the loss, nats per character, and the figures, as means over the processes. Where
            the loss is not finite, the weights are left as they were.
        """
        self._seed(step)
        self.network.train()
        inputs, targets = (
            self._group.share(x).to(self._device, non_blocking=True)
            for x in (inputs_TB, targets_TB)
        )
        with autocast(self._config.precision, self._device):
            logits_TBV, (hidden, cell) = self.network(inputs, (self._hidden, self._cell))
        logprobs_NV = logits_TBV.float().flatten(0, 1).log_softmax(dim=-1)
        loss = F.nll_loss(logprobs_NV, targets.flatten())
        penalised = loss
        if self._config.confidence_penalty:
            entropy = -(logprobs_NV.exp() * logprobs_NV).sum(dim=-1).mean()
            penalised = loss - self._config.confidence_penalty * entropy
        self._optimizer.zero_grad()
        penalised.backward()  # type: ignore[no-untyped-call]  # torch has no annotation for it
        mean_loss, *means = self._group.reduce(self._parameters, [loss.item(), *figures])
        if np.isfinite(mean_loss):
            nn.utils.clip_grad_norm_(self._parameters, self._config.clip)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.step()
            self._average_weights(step + 1)
            self._hidden, self._cell = hidden.detach().float(), cell.detach().float()
        return [mean_loss, *means]

    def forget(self) -> None:
        """Starts every stream from a state of zeros."""
        self._hidden, self._cell = self._zero_state()

    def averaged_network(self) -> CharLSTM:
        """A network with the averaged weights, in evaluation mode."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.average)
        return network.eval()

    def state_dict(self) -> dict[str, Any]:
        """All of it, for `load_state_dict`. Every process of the group must call this."""
        return {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self._optimizer.state_dict(),
            "hidden": self._group.whole(self._hidden),
            "cell": self._group.whole(self._cell),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to a saved state, also one that another number of processes saved."""
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self._optimizer.load_state_dict(state["optimizer"])
        self._hidden = self._group.share(state["hidden"]).clone()
        self._cell = self._group.share(state["cell"]).clone()

    def _zero_state(self) -> tuple[Tensor, Tensor]:
        return self.network.zero_state(self._config.streams // self._group.size)

    def _seed(self, step: int) -> None:
        entropy = np.random.SeedSequence([self._config.seed, step, self._group.rank])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    @torch.no_grad()
    def _average_weights(self, updates: int) -> None:
        keep = min(self._config.averaging, updates / (9 + updates))
        weights = list(self.network.state_dict().values())
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - keep)
