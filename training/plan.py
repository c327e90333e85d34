"""Plan: chooses settings that suit a text, and the number of epochs that fit into a given time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from model.checkpoint import Checkpoint
from model.errors import TrainingError
from model.network_config import NetworkConfig
from training.batches import Batches, default_batch_size
from training.config import TrainingConfig
from training.corpus import Corpus
from training.evaluation import estimate
from training.learner import Learner, new_learner
from training.process_group import ProcessGroup

_WARMUP_UPDATES = 3
_LEAST_MEASURED = 5  # updates
_MEASURED_SHARE = 0.02  # of the time, spent on measuring
_VALIDATION_OVERHEAD = 1.0  # seconds for the files and the sample of a validation
_RESERVE = 0.03  # of the time, for other work on the machine
_LEAST_UPDATES = 10  # of a run that is worth starting

# How well a network learns depends on how many characters it reads in total. If it reads a text
# many times, it needs dropout. If it reads a text once or twice, it learns better without.
_CHARACTERS_TO_READ = 40_000_000
_EPOCHS = (1.0, 60.0)  # fewest and most
_LARGE_VOCABULARY = 512  # above it, one-hot inputs cost more than an embedding
_EMBEDDING_SIZE = 256


def recommended(
    corpus: Corpus, epochs: float | None, sequence_length: int | None, processes: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the network and of the run that depend on the text.

    Args:
        corpus: the text.
        epochs: the user's choice. None derives it from the length of the text.
        sequence_length: the user's choice. None takes the default.
        processes: number of processes that share the batch.

    Returns:
        fields of NetworkConfig, and fields of TrainingConfig.
    """
    characters = len(corpus.training)
    if epochs is None:
        epochs = min(max(_CHARACTERS_TO_READ / characters, _EPOCHS[0]), _EPOCHS[1])
    network: dict[str, Any] = recommended_dropout(epochs)
    if len(corpus.vocabulary) > _LARGE_VOCABULARY:
        network["embedding_size"] = _EMBEDDING_SIZE
    sequence_length = sequence_length or TrainingConfig.sequence_length
    batch_size = default_batch_size(characters, sequence_length, processes)
    return network, {"epochs": epochs, "batch_size": batch_size}


def recommended_dropout(epochs: float) -> dict[str, Any]:
    """Return the dropout settings for a number of passes over the text."""
    if epochs < 3:
        return {"dropout": 0.1, "weight_dropout": 0.0}
    if epochs < 12:
        return {"dropout": 0.35, "weight_dropout": 0.0}
    return {"dropout": 0.35, "weight_dropout": 0.3}


def epochs_within(
    minutes: float,
    corpus: Corpus,
    network_config: NetworkConfig,
    config: TrainingConfig,
    device: torch.device,
    process_group: ProcessGroup,
    initial: Checkpoint | None = None,
) -> float:
    """Return the number of epochs, with validations, that fit into a time on this machine.

    This measures updates of a network that is discarded afterwards. Every process of the group must
    call this function. All of them get the same result.

    Raises:
        TrainingError: if the time is too short for a run.
    """
    started = time.monotonic()
    batches = Batches(corpus.training, config.batch_size, config.sequence_length)
    learner = new_learner(network_config, config, device, process_group, initial)
    meter = _Meter(learner, config, device, process_group)
    per_update = meter.seconds_per_update(batches, minutes * 60 * _MEASURED_SHARE)
    validating = meter.seconds_per_validation(corpus) * config.validations
    spent = process_group.mean(time.monotonic() - started, device)
    left = minutes * 60 * (1 - _RESERVE) - spent - validating
    if left < _LEAST_UPDATES * per_update:
        needed = (spent + validating + _LEAST_UPDATES * per_update) / (1 - _RESERVE) / 60
        raise TrainingError(
            f"--minutes {minutes:g} is too short for this text and network on this machine: "
            f"use at least {needed:.1f}, or fewer --validations (now {config.validations})"
        )
    return int(left / per_update) / batches.per_epoch


@dataclass(frozen=True)
class _Meter:
    """Measures the speed of training. Results are means over all processes."""

    learner: Learner
    config: TrainingConfig
    device: torch.device
    process_group: ProcessGroup

    def seconds_per_update(self, batches: Batches, seconds: float) -> float:
        """Return the mean seconds per update, measured for at least the given seconds."""
        batch, rate = batches.batch(0, 0), self.config.learning_rate
        for step in range(_WARMUP_UPDATES):
            self.learner.update(*batch, step, rate)
        started, updates, elapsed = time.monotonic(), 0, 0.0
        while updates < _LEAST_MEASURED or elapsed < seconds:
            self.learner.update(*batch, updates, rate)
            updates += 1
            elapsed = self.process_group.mean(time.monotonic() - started, self.device)
        return elapsed / updates

    def seconds_per_validation(self, corpus: Corpus) -> float:
        started = time.monotonic()
        estimate(self.learner.averaged_network(), corpus.validation)
        elapsed = self.process_group.mean(time.monotonic() - started, self.device)
        return elapsed + _VALIDATION_OVERHEAD
