"""Recommended settings: those of the network and of the run that depend on the text."""

from __future__ import annotations

import math
from typing import Any

from training.batches import default_batch_size
from training.config import TrainingConfig
from training.corpus import Corpus

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
