"""Rate of training: this project's updates, and the tutorial's loop with the same sizes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from model.checkpoints.network_config import NetworkConfig
from training.batches import Batches
from training.config import TrainingConfig, TrainingPrecision
from training.learner import new_learner
from training.process_group import ProcessGroup

_SEQUENCES, _LENGTH = 128, 100  # the tutorial's batch
_WARMING_UPDATES = 2


def training_rate(
    config: NetworkConfig,
    precision: TrainingPrecision,
    seconds: float,
    device: torch.device | None = None,
    batch_size: int = TrainingConfig.batch_size,
) -> float:
    """Return the characters per second of this project's updates, by default on the CPU."""
    run = TrainingConfig(precision=precision, batch_size=batch_size)
    learner = new_learner(config, run, device or torch.device("cpu"), ProcessGroup())
    batches = Batches(_text(config), run.batch_size, run.sequence_length)

    def updates() -> Iterator[int]:
        for step in itertools.count():
            inputs, targets = batches.batch(step % batches.per_epoch, 0)
            learner.update(inputs, targets, step, run.learning_rate)  # waits for the loss
            yield inputs.numel()

    return _rate(updates(), seconds)


def tutorial_training_rate(config: NetworkConfig, seconds: float) -> float:
    """Return the characters per second of the tutorial's training loop.

    It makes one-hot batches with numpy, and uses Adam and gradient clipping at 5.
    """
    network = _TutorialNetwork(config).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    criterion = nn.CrossEntropyLoss()
    rows = _text(config)[: 20 * _SEQUENCES * _LENGTH].reshape(_SEQUENCES, -1)

    def updates() -> Iterator[int]:
        shape = (config.layers, _SEQUENCES, config.hidden_size)
        state = torch.zeros(shape), torch.zeros(shape)
        for step in itertools.count():
            begin = step % (rows.shape[1] // _LENGTH - 1) * _LENGTH
            chosen = rows[:, begin : begin + _LENGTH]
            following = rows[:, begin + 1 : begin + _LENGTH + 1]
            one_hot = np.zeros((chosen.size, config.vocabulary_size), dtype=np.float32)
            one_hot[np.arange(chosen.size), chosen.flatten()] = 1.0
            inputs = torch.from_numpy(one_hot.reshape(*chosen.shape, -1))
            targets = torch.from_numpy(following.astype(np.int64))
            state = state[0].detach(), state[1].detach()
            network.zero_grad()
            logits, state = network(inputs, state)
            criterion(logits, targets.reshape(-1)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5)
            optimizer.step()
            yield chosen.size

    return _rate(updates(), seconds)


class _TutorialNetwork(nn.Module):
    """The tutorial's network: batch first, dropout of 0.5 between layers and before the output."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        size, layers = config.hidden_size, config.layers
        self.lstm = nn.LSTM(config.vocabulary_size, size, layers, dropout=0.5, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(size, config.vocabulary_size)

    def forward(
        self, inputs: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        hidden, state = self.lstm(inputs, state)
        return self.output(self.dropout(hidden).flatten(0, 1)), state


def _text(config: NetworkConfig) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Return random characters. The time of an update does not depend on them."""
    return np.random.default_rng(0).integers(0, config.vocabulary_size, 500_000, dtype=np.int32)


def _rate(updates: Iterator[int], seconds: float) -> float:
    for _ in range(_WARMING_UPDATES):
        next(updates)
    began, characters, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < seconds:
        characters += next(updates)
        elapsed = time.perf_counter() - began
    return characters / elapsed
