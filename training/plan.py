"""Plan: the number of updates of a run and its validations, fixed or adapted to --minutes.

A run with a time limit counts its updates again and again: as many as fit into the time that is
left, at the speed of the last seconds. The learning rate depends on the number, so it falls to its
final value at the end of the time, whether the machine has become slower or faster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from model.errors import TrainingError
from training.batches import Batches
from training.config import MAX_EPOCHS, MAX_VALIDATED, TrainingConfig
from training.corpus import Corpus
from training.evaluation import estimated_characters
from training.speed import Speed

# The first plan of a run with a time limit.
_FILES_SECONDS = 1.0  # for the files and the sample of a validation
_VALIDATING_SHARE = 0.1  # of the time limit, for all validations
_ONE_VALIDATION_SHARE = 0.025
_MIN_VALIDATED = 16_384  # characters
_MAX_VALIDATIONS = 20
_MIN_UPDATES = 10  # of a run that is worth starting
_MARGIN = 1.1  # of the least time that is named to a user

# Of the time limit, for the catalogue of cells and the end of the process.
_RESERVE_SHARE = 0.03
_RESERVE_SHARE_OF_LONG_RUNS = 0.01
_MIN_RESERVE, _RESERVE_OF_LONG_RUNS = 0.3, 15.0  # seconds
_INTERVAL = 10.0  # seconds, the longest time between two counts
_INTERVAL_SHARE = 0.02  # of the time limit
_SMOOTHING = 0.5  # weight of the newest measurement of the speed
_MAX_VALIDATING = 0.2  # of the time that is left


def reserve(limit: float) -> float:
    """Return the seconds of a time limit that are kept for the end of the command."""
    most = max(_RESERVE_SHARE_OF_LONG_RUNS * limit, _RESERVE_OF_LONG_RUNS)
    return min(max(_RESERVE_SHARE * limit, _MIN_RESERVE), most)


@dataclass
class Plan:
    """The plan of a run. It is saved with the run's state, so a resumed run keeps it.

    Attributes:
        total_steps: updates of the whole run.
        validations: validations of the whole run. Number k is due after the share
            (k / validations)^2 of the updates: early ones find the best weights for a small text.
        limit: seconds of the run, with its last validation. None means that the plan is fixed.
        per_update: seconds of an update, 0 if not measured yet.
        per_validation: seconds of a validation, with the files that are written after it.
        per_update_then: seconds of an update when `per_validation` was measured or planned.
        validated: number of the validation that was done last, counted from 1.
        counted_step: updates at the last count.
        counted_seconds: seconds of the run at the last count, and of the validations since then.
    """

    total_steps: int
    validations: int
    limit: float | None = None
    per_update: float = 0.0
    per_validation: float = 0.0
    per_update_then: float = 0.0
    validated: int = 0
    counted_step: int = 0
    counted_seconds: float = 0.0

    def validation_is_due(self, step: int) -> bool:
        """Return whether a validation is due after `step` updates."""
        return self._due(step) > self.validated

    def validation_done(self, step: int) -> None:
        """Note that the validation after `step` updates is done."""
        self.validated = max(self.validated, self._due(step))

    def _due(self, step: int) -> int:
        return math.isqrt(step * self.validations**2 // self.total_steps)

    def validation_took(self, seconds: float) -> None:
        """Note how long a validation took."""
        self.counted_seconds += seconds
        self.per_validation, self.per_update_then = seconds, self.per_update

    def shorten(self, seconds: float) -> None:
        """Subtract seconds that have passed from the time limit, if there is one."""
        if self.limit is not None:
            self.limit -= seconds

    def count_is_due(self, step: int, seconds: float) -> bool:
        """Return whether the updates should be counted again.

        This is so after some seconds, and when half of the updates that were left at the last count
        are made: a machine that has become much faster may reach the end before the next count.

        Args:
            step: updates so far.
            seconds: duration of the run so far.
        """
        if self.limit is None:
            return False
        interval = min(_INTERVAL, _INTERVAL_SHARE * self.limit)
        half_is_done = 2 * (self.total_steps - step) <= self.total_steps - self.counted_step
        return half_is_done or seconds - self.counted_seconds >= interval

    def count(self, step: int, seconds: float) -> tuple[int, int]:
        """Return the number of updates, and of validations, that fit into the time limit.

        Args:
            step: updates so far.
            seconds: duration of the run so far.
        """
        if self.limit is None:
            return self.total_steps, self.validations
        self._measure(step, seconds)
        left = self.limit - reserve(self.limit) - seconds
        validation = self._next_validation()
        affordable = _MAX_VALIDATING * left / max(validation, 1e-6)
        remaining = max(1, int(min(affordable, self.validations - self.validated)))
        left -= remaining * validation
        updates = int(left / self.per_update) if self.per_update and left > 0 else 0
        return step + updates, self.validated + remaining

    def _next_validation(self) -> float:
        """Return the expected seconds of the next validation, at the current speed.

        The time of a planned validation changes as that of updates does. That of a measured one
        only falls: the measurement may be newer than the smoothed speed of the updates.
        """
        change = self.per_update / self.per_update_then if self.per_update_then else 1.0
        return self.per_validation * (min(1.0, change) if self.validated else change)

    def adopt(self, total_steps: int, validations: int) -> None:
        """Set the number of updates and of validations."""
        self.total_steps, self.validations = total_steps, validations

    def _measure(self, step: int, seconds: float) -> None:
        if step == self.counted_step:
            return
        newest = (seconds - self.counted_seconds) / (step - self.counted_step)
        last = self.per_update or newest
        self.per_update = last + _SMOOTHING * (newest - last)
        self.counted_step, self.counted_seconds = step, seconds

    def seconds_left(self, seconds: float) -> float | None:
        """Return the seconds until the time limit, or None if there is none."""
        return None if self.limit is None else max(0.0, self.limit - seconds)

    def as_state(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self)


def plan_from_state(values: Mapping[str, Any], step: int) -> Plan:
    """Return the plan in the values of `Plan.as_state`.

    Args:
        values: the plain values.
        step: updates of the run so far.

    Raises:
        ValueError: if they are not those of a plan.
    """
    plan = Plan(**{field.name: values.get(field.name) for field in fields(Plan)})  # type: ignore[arg-type]
    counts = (plan.total_steps, plan.validations, plan.validated, plan.counted_step)
    speeds = (plan.per_update, plan.per_validation, plan.per_update_then)
    times = (*speeds, plan.counted_seconds)
    if (
        all(type(value) is int and 0 <= value < 2**53 for value in counts)
        and all(type(value) is float and 0 <= value < math.inf for value in times)
        and (plan.limit is None or (type(plan.limit) is float and math.isfinite(plan.limit)))
        and plan.validations > 0
        and plan.total_steps >= max(1, step)
    ):
        return plan
    raise ValueError("the values of pace are not those of a plan")


def planned(
    config: TrainingConfig, speed: Speed, spent: float, corpus: Corpus, given: Mapping[str, Any]
) -> tuple[TrainingConfig, Plan]:
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
    plan = Plan(1, validations, limit, speed.per_update, per_validation, speed.per_update)
    plan.adopt(*plan.count(0, spent))
    batches = Batches(corpus.training, config.batch_size, config.sequence_length)
    # Within their range, for the record. The run makes all of the updates.
    epochs = min(plan.total_steps / batches.per_epoch, MAX_EPOCHS)
    recorded = given.get("validations", plan.validations)  # so that the same flags resume the run
    return replace(config, epochs=epochs, validations=recorded), plan


def _affordable_characters(limit: float, speed: Speed) -> int:
    seconds = max(0.0, _ONE_VALIDATION_SHARE * limit - _FILES_SECONDS)
    return round(min(max(seconds / speed.per_character, _MIN_VALIDATED), MAX_VALIDATED))


def _check_long_enough(limit: float, needed: float) -> None:
    if limit - reserve(limit) < needed:
        least = math.ceil(10 * _MARGIN * (needed + reserve(2 * needed)) / 60) / 10
        raise TrainingError(
            f"--minutes {limit / 60:g} is too short for this text and network at the current speed "
            f"of this machine: {least:g} would be enough"
        )
