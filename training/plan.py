"""Plan: chooses settings that suit a text, and a first plan for a run with a time limit."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from training.batches import Batches, default_batch_size
from training.config import MAX_EPOCHS, MAX_VALIDATED, TrainingConfig
from training.corpus import Corpus
from training.evaluation import estimated_characters
from training.learner import Learner, new_learner
from training.pace import Pace, reserve
from training.precision import autocast
from training.process_group import ProcessGroup

_MEASURED_LENGTH = 32  # characters per sequence of the updates that are measured first
_MEASURED_UPDATES = 2
_MEASURED_SECONDS = 1.5
_MEASURED_SHARE = 0.01  # of the time limit
_FILES_SECONDS = 1.0  # for the files and the sample of a validation
_VALIDATING_SHARE = 0.1  # of the time limit, for all validations
_ONE_VALIDATION_SHARE = 0.025
_MIN_VALIDATED = 16_384  # characters
_MAX_VALIDATIONS = 20
_MIN_UPDATES = 10  # of a run that is worth starting
_MARGIN = 1.1  # of the least time that is named to a user

# How well a network learns depends on how many characters it reads in total. If it reads a text
# many times, it needs dropout. If it reads a text once or twice, it needs little.
_CHARACTERS_TO_READ = 20_000_000
_EPOCHS = (1.0, 60.0)  # fewest and most
# (epochs, dropout of values, dropout of recurrent weights). The first row with more epochs than the
# run applies. The epochs are those of a text of the reference length; a shorter text needs more
# dropout for the same number of epochs.
_DROPOUT = (
    (3, 0.1, 0.0),
    (8, 0.15, 0.0),
    (12, 0.25, 0.0),
    (24, 0.25, 0.1),
    (60, 0.35, 0.1),
    (math.inf, 0.35, 0.3),
)
_DISTILLED_DROPOUT = 0.1
_REFERENCE_CHARACTERS = 2_000_000
_LARGE_VOCABULARY = 512  # above it, one-hot inputs cost more than an embedding
_EMBEDDING_SIZE = 256


def recommended(
    corpus: Corpus,
    epochs: float | None,
    sequence_length: int | None,
    processes: int,
    distilled: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the network and of the run that depend on the text.

    Args:
        corpus: the text.
        epochs: the user's choice. None derives it from the length of the text.
        sequence_length: the user's choice. None takes the default.
        processes: number of processes that share the batch.
        distilled: whether the network also learns from teachers.

    Returns:
        fields of NetworkConfig, and fields of TrainingConfig.
    """
    characters = len(corpus.training)
    if epochs is None:
        epochs = min(max(_CHARACTERS_TO_READ / characters, _EPOCHS[0]), _EPOCHS[1])
    network: dict[str, Any] = recommended_dropout(epochs, characters, distilled)
    if len(corpus.vocabulary) > _LARGE_VOCABULARY:
        network["embedding_size"] = _EMBEDDING_SIZE
    sequence_length = sequence_length or TrainingConfig.sequence_length
    batch_size = default_batch_size(characters, sequence_length, processes)
    return network, {"epochs": epochs, "batch_size": batch_size}


def recommended_dropout(epochs: float, characters: int, distilled: bool) -> dict[str, Any]:
    """Return the dropout settings for a number of passes over a text of some length.

    The predictions of teachers keep a network from learning the text by heart, so it needs little
    dropout, and no dropout of recurrent weights.
    """
    effective = epochs * math.sqrt(_REFERENCE_CHARACTERS / characters)
    values, weights = next(shares for below, *shares in _DROPOUT if effective < below)
    if distilled:
        values, weights = min(values, _DISTILLED_DROPOUT), 0.0
    return {"dropout": values, "weight_dropout": weights}


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


def planned(
    config: TrainingConfig, speed: Speed, spent: float, corpus: Corpus, given: Mapping[str, Any]
) -> tuple[TrainingConfig, Pace]:
    """Return the settings and the plan of a run that ends after `config.minutes`.

    The plan is a start: the run adapts it to the speed that it measures.

    Args:
        config: settings with a time limit.
        speed: speed of this machine.
        spent: seconds of the time limit that have passed.
        corpus: the text.
        given: the fields of the settings that the user has set.

    Raises:
        TrainingError: if the time is too short for a run.
    """
    limit = 60 * (config.minutes or 0.0)
    if "validation_characters" not in given:
        config = replace(config, validation_characters=_affordable_characters(limit, speed))
    read = estimated_characters(len(corpus.validation), config.validation_characters)
    per_validation = read * speed.per_character + _FILES_SECONDS
    _check_long_enough(limit, spent + per_validation + _MIN_UPDATES * speed.per_update)
    affordable = int(_VALIDATING_SHARE * limit / per_validation)
    validations = given.get("validations") or max(1, min(affordable, _MAX_VALIDATIONS))
    pace = Pace(1, validations, limit, speed.per_update, per_validation, speed.per_update)
    pace.adopt(*pace.count(0, spent))
    batches = Batches(corpus.training, config.batch_size, config.sequence_length)
    # Within their range, for the record. The run makes all of the updates.
    epochs = min(pace.total_steps / batches.per_epoch, MAX_EPOCHS)
    recorded = given.get("validations", pace.validations)  # so that the same flags resume the run
    return replace(config, epochs=epochs, validations=recorded), pace


def _affordable_characters(limit: float, speed: Speed) -> int:
    """Return how many characters a validation may read at most."""
    seconds = max(0.0, _ONE_VALIDATION_SHARE * limit - _FILES_SECONDS)
    return round(min(max(seconds / speed.per_character, _MIN_VALIDATED), MAX_VALIDATED))


def _check_long_enough(limit: float, needed: float) -> None:
    if limit - reserve(limit) < needed:
        least = math.ceil(10 * _MARGIN * (needed + reserve(2 * needed)) / 60) / 10
        raise TrainingError(
            f"--minutes {limit / 60:g} is too short for this text and network at the current speed "
            f"of this machine: {least:g} would be enough"
        )
