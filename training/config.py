"""TrainingConfig: what a run does, apart from the text and the network's sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.errors import TrainingError
from training.precision import TrainingPrecision


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a run; two runs with the same ones are the same run."""

    epochs: float = 10.0  # passes over the training text
    streams: int = 32  # B, read side by side
    steps: int = 128  # T, characters per update and stream
    learning_rate: float = 3e-3  # at its peak
    warmup: int = 200  # updates over which the rate rises to its peak; a tenth of all at most
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of the gradient
    confidence_penalty: float = 0.0  # weight of the predictions' entropy, which is rewarded
    averaging: float = 0.999  # share of the averaged weights kept per update
    validations: int = 20  # over the whole run
    seed: int = 0
    precision: TrainingPrecision = "fp32"

    def __post_init__(self) -> None:
        ranges = {
            "epochs": (0 < self.epochs <= 1e6, "above 0 and at most a million"),
            "streams": (self.streams >= 1, "at least 1"),
            "steps": (self.steps >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "warmup": (self.warmup >= 0, "at least 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "clip": (self.clip > 0, "above 0"),
            "confidence_penalty": (0 <= self.confidence_penalty < 1, "at least 0 and below 1"),
            "averaging": (0 <= self.averaging < 1, "at least 0 and below 1"),
            "validations": (self.validations >= 1, "at least 1"),
            "seed": (0 <= self.seed < 2**63, "at least 0 and below 2^63"),
        }
        for name, (fits, bound) in ranges.items():
            if not fits:
                raise TrainingError(f"{name} must be {bound}, got {getattr(self, name)}")

    def rate(self, step: int, total: int) -> float:
        """Learning rate of an update: linear warm-up, then a cosine down to 1% of the peak."""
        warmup = min(self.warmup, total // 10)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / (total - warmup)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
