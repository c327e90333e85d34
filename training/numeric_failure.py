"""Numeric failure: explains numbers that are NaN, infinite or too large by their likely cause."""

from __future__ import annotations

import math

from training.config import TrainingConfig
from training.learner import UpdateResult


def explain_update(
    result: UpdateResult, step: int, config: TrainingConfig, fine_tuned: bool
) -> str:
    """Return a message for an update whose result is not finite.

    Args:
        result: the result.
        step: updates before this one.
        config: settings of the run.
        fine_tuned: whether the run started from the weights of a checkpoint.
    """
    advice = _lower_rate(config)
    if not math.isfinite(result.loss):
        name, value = "loss", result.loss
    elif not math.isfinite(result.objective):
        name, value = "objective", result.objective
        # The weights of a teacher are limited, but the network's logits may have become so large
        # that a division by a low temperature makes them infinite.
        if config.distill_temperature < 1:
            advice += ", or raise --distill-temperature"
    else:
        name, value = "norm of the gradient", result.gradient_norm
    if step == 0 and fine_tuned:
        advice = (
            "the checkpoint of --init-from has weights that are too large to train. Use another one"
        )
    return _message(name, value, step, advice)


def explain_validation(loss: float, step: int, config: TrainingConfig) -> str:
    """Return a message for a validation loss that is not finite."""
    return _message("validation loss", loss, step, _lower_rate(config))


def explain_refusal(reason: str, step: int, config: TrainingConfig) -> str:
    """Return a message for weights that are refused because no network may be served with them."""
    return f"{reason}, at update {step:,}: {_lower_rate(config)}"


def _message(name: str, value: float, step: int, advice: str) -> str:
    return f"the {name} is {value} at update {step:,}: {advice}"


def _lower_rate(config: TrainingConfig) -> str:
    flags = ["--learning-rate"] + ["--muon-lr"] * (config.optimizer == "muon")
    return f"lower {' or '.join(flags)}"
