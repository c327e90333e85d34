"""TrainingConfig: the settings of a run, apart from the text and the network's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model.errors import TrainingError
from training.precision import TrainingPrecision

# Field -> its name in checkpoints and saved states, which keep the names of the first release.
_RECORDED_AS = {"batch_size": "streams", "sequence_length": "steps"}
MOST_VALIDATED = 500_000  # characters
_YEAR = 366 * 24 * 60  # minutes

# Fields that older records lack, with the values that older versions trained with.
_ADDED: dict[str, Any] = {
    "optimizer": "adamw",
    "muon_learning_rate": 0.03,  # Muon had no part in those runs
    "muon_momentum": 0.95,
    "muon_iterations": 5,
    "muon_weight_decay": 0.1,
    "minutes": None,
    "validation_characters": MOST_VALIDATED,
    "distill_weight": 0.5,
    "distill_temperature": 1.0,
}

OPTIMIZERS = ("adamw", "muon")


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
    clip: float = 1.0  # maximum norm of the gradient
    confidence_penalty: float = 0.0  # weight of the entropy bonus, 0 to below 1
    averaging: float = 0.999  # decay of the averaged weights per update, 0 to below 1
    validations: int = 20  # over the whole run
    seed: int = 0
    precision: TrainingPrecision = "fp32"
    optimizer: str = "muon"  # for the weight matrices; the rest has AdamW. Or "adamw" for all
    muon_learning_rate: float = 0.03  # peak, for the weight matrices
    muon_momentum: float = 0.95  # 0 to below 1
    muon_iterations: int = 5  # Newton-Schulz iterations per update, 1 to 20
    muon_weight_decay: float = 0.1
    minutes: float | None = None  # time limit; `epochs` is then only the first plan
    validation_characters: int = MOST_VALIDATED  # that a validation reads at most
    distill_weight: float = 0.5  # share of the teachers in the objective, if there are any
    distill_temperature: float = 1.0  # beyond 0.01 to 100, float32 gives NaN or no signal

    def __post_init__(self) -> None:
        ranges = {
            "epochs": (0 < self.epochs <= 1e6, "above 0 and at most a million"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "sequence_length": (self.sequence_length >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "warmup": (self.warmup >= 0, "at least 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "clip": (self.clip > 0, "above 0"),
            "confidence_penalty": (0 <= self.confidence_penalty < 1, "at least 0 and below 1"),
            "averaging": (0 <= self.averaging < 1, "at least 0 and below 1"),
            "validations": (self.validations >= 1, "at least 1"),
            "seed": (0 <= self.seed < 2**63, "at least 0 and below 2^63"),
            "optimizer": (self.optimizer in OPTIMIZERS, "adamw or muon"),
            "muon_learning_rate": (self.muon_learning_rate > 0, "above 0"),
            "muon_momentum": (0 <= self.muon_momentum < 1, "at least 0 and below 1"),
            "muon_iterations": (1 <= self.muon_iterations <= 20, "1 to 20"),
            "minutes": (
                self.minutes is None or 0 < self.minutes <= _YEAR,
                "above 0, at most a year",
            ),
            "validation_characters": (self.validation_characters >= 1000, "at least 1000"),
            "distill_weight": (0 <= self.distill_weight <= 1, "0 to 1"),
            "distill_temperature": (0.01 <= self.distill_temperature <= 100, "0.01 to 100"),
            "muon_weight_decay": (self.muon_weight_decay >= 0, "at least 0"),
        }
        for name, (valid, expected) in ranges.items():
            if not valid:
                raise TrainingError(f"{name} must be {expected}, got {getattr(self, name)}")

    def as_record(self) -> dict[str, Any]:
        """Return the settings under the names used in checkpoints and saved states."""
        return {_RECORDED_AS.get(name, name): value for name, value in asdict(self).items()}


def settings_from_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the TrainingConfig arguments stored in a record of `TrainingConfig.as_record`.

    Older records lack some fields. These get the values that older versions trained with.
    """
    fields = {recorded: name for name, recorded in _RECORDED_AS.items()}
    return _ADDED | {fields.get(name, name): value for name, value in record.items()}
