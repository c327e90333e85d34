"""TrainingConfig: the settings of a run, apart from the text and the network's sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from model.errors import TrainingError

TrainingPrecision = Literal["fp32", "bf16"]

# Field -> its name in checkpoints and saved states.
_RECORDED_AS = {"batch_size": "streams", "sequence_length": "steps"}
MAX_VALIDATED = 500_000  # characters
MAX_EPOCHS = 1_000_000
_YEAR = 366 * 24 * 60  # minutes

OPTIMIZERS = ("adamw", "muon")


@dataclass(frozen=True)
class _Range:
    """A range of finite numbers. Its text completes "must be"."""

    low: float
    high: float
    below: bool = False  # whether `high` itself is excluded
    note: str = ""

    def __contains__(self, value: float) -> bool:
        if self.below:
            return self.low <= value < self.high  # not so for NaN
        return self.low <= value <= self.high

    def __str__(self) -> str:
        highest = "below" if self.below else "at most"
        return f"at least {self.low:,} and {highest} {self.high:,}{self.note}"


# The lowest values hardly change a weight. Training rounds numbers below 1e-308 to zero, so they
# would be recorded as zero, and Muon divides by the learning rate. At the highest learning rate,
# the loss soon becomes NaN or infinite.
_LEARNING_RATE = _Range(1e-12, 1000)
_WEIGHT_DECAY = _Range(0, 1000)
_SHARE_BELOW_ONE = _Range(0, 1, below=True)
_SIZE = _Range(1, 1_000_000)  # of a batch; the length of the text is a limit too

_RANGES = {
    "epochs": _Range(1e-9, MAX_EPOCHS),
    "batch_size": _SIZE,
    "sequence_length": _SIZE,
    "learning_rate": _LEARNING_RATE,
    "warmup": _Range(0, 10**9),
    "weight_decay": _WEIGHT_DECAY,
    "clip": _Range(1e-12, 10**9, note=", or inf for no clipping"),
    "confidence_penalty": _SHARE_BELOW_ONE,
    "averaging": _SHARE_BELOW_ONE,
    "validations": _Range(1, 10**9),
    "seed": _Range(0, 2**63 - 1),
    "muon_learning_rate": _LEARNING_RATE,
    "muon_momentum": _SHARE_BELOW_ONE,
    "muon_iterations": _Range(1, 20),
    "muon_weight_decay": _WEIGHT_DECAY,
    "minutes": _Range(1e-6, _YEAR),
    "validation_characters": _Range(1000, 10**12),
    "distill_weight": _Range(0, 1),
    "distill_temperature": _Range(0.01, 100),  # beyond it, float32 gives NaN or no signal
}
_NO_LIMIT = {"clip": math.inf, "minutes": None}  # the only values outside of the ranges


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a run. Two runs with equal settings, text and network are the same run.

    Raises:
        TrainingError: if a setting is out of its range. The message names the setting, its value
            and the range.
    """

    epochs: float = 10.0  # passes over the training text
    batch_size: int = 32  # B, sequences per batch
    sequence_length: int = 128  # T, characters per sequence and update
    learning_rate: float = 3e-3  # peak of the schedule, see `training.learning_rate`
    warmup: int = 200  # updates until the peak; at most a tenth of all updates
    weight_decay: float = 0.01  # of AdamW
    clip: float = 1.0  # maximum norm of the gradient; infinite: no clipping
    confidence_penalty: float = 0.0  # weight of the entropy bonus
    averaging: float = 0.999  # decay of the averaged weights per update
    validations: int = 20  # over the whole run
    seed: int = 0
    precision: TrainingPrecision = "fp32"
    optimizer: str = "muon"  # for the weight matrices; the rest has AdamW. Or "adamw" for all
    muon_learning_rate: float = 0.03  # peak, for the weight matrices
    muon_momentum: float = 0.95
    muon_iterations: int = 5  # Newton-Schulz iterations per update
    muon_weight_decay: float = 0.1
    minutes: float | None = None  # time limit; `epochs` is then only the first plan
    validation_characters: int = MAX_VALIDATED  # that a validation reads at most
    distill_weight: float = 0.5  # share of the teachers in the objective, if there are any
    distill_temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, expected in _RANGES.items():
            value = getattr(self, name)
            if name in _NO_LIMIT and value == _NO_LIMIT[name]:
                continue
            if value not in expected:
                raise TrainingError(f"{name} must be {expected}, got {value!r:.40}")
        if self.optimizer not in OPTIMIZERS:
            raise TrainingError(f"optimizer must be adamw or muon, got {self.optimizer!r:.40}")

    def as_record(self) -> dict[str, Any]:
        """Return the settings under the names used in checkpoints and saved states.

        The values are plain JSON. JSON has no infinity, so an infinite `clip` becomes None.
        """
        values = asdict(self) | {"clip": self.clip if math.isfinite(self.clip) else None}
        return {_RECORDED_AS.get(name, name): value for name, value in values.items()}


def settings_from_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the TrainingConfig arguments stored in a record of `TrainingConfig.as_record`."""
    fields = {recorded: name for name, recorded in _RECORDED_AS.items()}
    values = {fields.get(name, name): value for name, value in record.items()}
    if values.get("clip", 1.0) is None:
        values["clip"] = math.inf
    return values
