"""Speed: how fast this machine trains a network, measured before a run with a time limit."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from training.batches import Batches
from training.config import TrainingConfig
from training.corpus import Corpus
from training.learner import Learner, new_learner
from training.precision import autocast
from training.process_group import ProcessGroup

_MEASURED_LENGTH = 32  # characters per sequence of the updates that are measured first
_MEASURED_UPDATES = 2
_MEASURED_SECONDS = 1.5
_MEASURED_SHARE = 0.01  # of the time limit


@dataclass(frozen=True)
class Speed:
    """How fast a machine trains a network, the same in all processes."""

    per_update: float  # seconds
    per_character: float  # seconds to read a character without training


def measure_speed(
    corpus: Corpus,
    network_config: NetworkConfig,
    config: TrainingConfig,
    device: torch.device,
    process_group: ProcessGroup,
    initial: Checkpoint | None = None,
    teachers: Sequence[Checkpoint] = (),
) -> Speed:
    """Measure a few updates of a network that is discarded afterwards.

    It takes a few seconds. Every process of the group must call this function.

    Raises:
        CorpusError: if the text is too short for one batch.
    """
    batches = Batches(corpus.training, config.batch_size, config.sequence_length)
    limit = min(_MEASURED_SECONDS, _MEASURED_SHARE * 60 * (config.minutes or math.inf)) / 2
    learner = new_learner(network_config, config, device, process_group, initial, teachers)
    measure = partial(_seconds_per_update, learner, config, process_group, device, limit)
    length = min(_MEASURED_LENGTH, config.sequence_length)
    batch = Batches(corpus.training, config.batch_size, length).batch(0, 0)
    learner.update(*batch, 0, config.learning_rate)  # the first one takes longer
    per_update = measure(batch) * config.sequence_length / length
    if per_update < limit:  # be more accurate: a part of the time does not depend on the length
        batch = batches.batch(0, 0)
        per_update = measure(batch)
    with autocast(config.precision, device):
        reading = process_group.mean(_seconds_to_read(learner, batch[0].to(device)), device)
    return Speed(per_update, per_character=reading / batch[0].numel())


def _seconds_per_update(
    learner: Learner,
    config: TrainingConfig,
    process_group: ProcessGroup,
    device: torch.device,
    limit: float,
    batch: tuple[torch.Tensor, torch.Tensor],
) -> float:
    """Return the mean time of at least two updates that take at least `limit` seconds."""
    started, updates, elapsed = time.monotonic(), 0, 0.0
    while updates < _MEASURED_UPDATES or elapsed < limit:
        learner.update(*batch, updates, config.learning_rate)
        updates += 1
        elapsed = process_group.mean(time.monotonic() - started, device)
    return elapsed / updates


@torch.no_grad()
def _seconds_to_read(learner: Learner, inputs_TB: torch.Tensor) -> float:
    network = learner.averaged_network()
    started = time.monotonic()
    network(inputs_TB)[0].sum().item()  # waits for a GPU
    return time.monotonic() - started
