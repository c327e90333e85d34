"""Events: what a trainer reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Update:
    """Report of one update of the weights."""

    step: int  # updates so far, including this one
    total_steps: int
    epoch: float
    loss: float  # of this batch, with dropout, nats per character
    learning_rate: float
    characters: int  # in this batch, over all processes
    seconds_left: float | None  # until the time limit; None if the run has none


@dataclass(frozen=True)
class Validation:
    """Report of one validation. Losses are in nats per character."""

    step: int
    epoch: float
    training_loss: float  # mean since the last validation, with dropout
    validation_loss: float  # of the averaged weights, see `training.evaluation.estimate`
    learning_rate: float
    best: bool  # the lowest validation loss so far: best.safetensors now holds these weights
    seconds: float  # of training since the run began
