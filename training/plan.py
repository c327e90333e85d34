"""Plan: settings that suit a text, and the epochs that fit into a time on this machine."""

from __future__ import annotations

import time
from typing import Any

import torch

from model.checkpoint import Checkpoint
from model.errors import TrainingError
from model.network import NetworkConfig
from training.config import TrainingConfig
from training.corpus import Corpus
from training.evaluation import estimate
from training.group import Group
from training.streams import Streams, default_count
from training.trainer import new_learner

_WARMING_UPDATES = 3
_MEASURED_SHARE = 0.02  # of the time, for measuring
_VALIDATION_EXTRAS = 1.0  # seconds, for the files and the sample that come with one
_SPARE = 0.03  # of the time, for what a machine does beside

# What suits a text. Characters read in all decide how well a network learns; a text that is read
# many times over needs dropout, one that is read once or twice does better without.
_READ_IN_ALL = 40_000_000
_EPOCHS = (1.0, 60.0)
_LARGE_VOCABULARY = 512  # beyond it, one-hot inputs cost more than an embedding
_EMBEDDING_SIZE = 256


def recommended(
    corpus: Corpus, epochs: float | None, steps: int | None, processes: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of network and run that suit a text, where they differ from the defaults.

    Args:
        corpus: what decides.
        epochs: as many as the user asked for; None leaves them to the text's length.
        steps: likewise.
        processes: that share the streams.
    """
    characters = len(corpus.training)
    if epochs is None:
        epochs = min(max(_READ_IN_ALL / characters, _EPOCHS[0]), _EPOCHS[1])
    network: dict[str, Any] = {}
    if epochs < 3:
        network = {"dropout": 0.1, "weight_dropout": 0.0}
    elif epochs < 12:
        network = {"dropout": 0.35, "weight_dropout": 0.0}
    else:
        network = {"dropout": 0.35, "weight_dropout": 0.3}
    if len(corpus.vocabulary) > _LARGE_VOCABULARY:
        network["embedding_size"] = _EMBEDDING_SIZE
    streams = default_count(characters, steps or TrainingConfig.steps, processes)
    return network, {"epochs": epochs, "streams": streams}


def epochs_within(
    minutes: float,
    corpus: Corpus,
    network_config: NetworkConfig,
    config: TrainingConfig,
    device: torch.device,
    group: Group,
    initial: Checkpoint | None = None,
) -> float:
    """Epochs that this machine gets through in that many minutes, validations included.

    Measured with updates of a network that is thrown away. Every process of the group must
    call this, and all get the same figure.

    Raises:
        TrainingError: if the minutes do not suffice for a run worth the name.
    """
    started = time.monotonic()
    streams = Streams(corpus.training, config.streams, config.steps)
    learner = new_learner(network_config, config, device, group, initial)
    inputs, targets = streams.batch(0, 0)
    for step in range(_WARMING_UPDATES):
        learner.update(inputs, targets, step, config.learning_rate, [])
    measured_from, updates, elapsed = time.monotonic(), 0, 0.0
    while updates < 5 or elapsed < minutes * 60 * _MEASURED_SHARE:
        learner.update(inputs, targets, updates, config.learning_rate, [])
        updates += 1
        elapsed = group.mean(time.monotonic() - measured_from, device)
    per_update = elapsed / updates
    validated_from = time.monotonic()
    estimate(learner.averaged_network(), corpus.validation)
    each = group.mean(time.monotonic() - validated_from, device) + _VALIDATION_EXTRAS
    validating = each * config.validations
    spent = group.mean(time.monotonic() - started, device)
    left = minutes * 60 * (1 - _SPARE) - spent - validating
    if left < 10 * per_update:
        least = (spent + validating + 10 * per_update) / (1 - _SPARE) / 60
        raise TrainingError(
            f"--minutes {minutes:g} does not suffice for this text and network on this machine: "
            f"at least {least:.1f}, or fewer --validations"
        )
    return int(left / per_update) / streams.batches
