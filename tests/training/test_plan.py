"""A run with a time limit ends at its time on a machine whose speed changes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.errors import TrainingError
from tests.training.small_runs import (
    CONFIG,
    CORPUS,
    CPU,
    TEXT,
    assert_same_weights,
    finished,
    make_trainer,
    metrics,
    resumed_after,
)
from training.config import TrainingConfig
from training.corpus import Corpus
from training.plan import Plan, plan_from_state, planned, reserve
from training.run_folder import RunFolder
from training.speed import Speed
from training.trainer import Trainer

LIMITED = dataclasses.replace(CONFIG, minutes=2.0)
SPEEDS = st.lists(st.floats(0.1, 4.0), min_size=1, max_size=6)


def simulate(plan: Plan, seconds_at: Callable[[float], float], validating: float) -> float:
    """Run a plan on a clock of its own. Return the seconds at the end."""
    step, seconds = 0, 0.0
    while step < plan.total_steps or plan.validation_is_due(step):
        count = plan.count_is_due(step, seconds)
        seconds += seconds_at(seconds)
        step += 1
        if count:
            plan.adopt(*plan.count(step, seconds))
        if plan.validation_is_due(step):
            plan.validation_done(step)
            plan.validation_took(validating * seconds_at(seconds))
            seconds += validating * seconds_at(seconds)
    assert step == plan.total_steps
    return seconds


@given(SPEEDS, st.floats(0.1, 4.0), st.floats(0, 8), st.floats(300, 3000), st.integers(1, 20))
def test_a_run_ends_within_five_percent_of_its_time(
    speeds: list[float], planned_speed: float, validating: float, limit: float, validations: int
) -> None:
    """Updates take 0.1 to 4 seconds, and change up to five times during the run."""

    def seconds_at(seconds: float) -> float:
        return speeds[min(int(seconds / limit * len(speeds)), len(speeds) - 1)]

    plan = Plan(1, validations, limit, planned_speed, validating * planned_speed, planned_speed)
    plan.adopt(*plan.count(0, 0.0))
    last = seconds_at(limit) * max(1.0, validating)  # an update or a validation may be unexpected
    ended = simulate(plan, seconds_at, validating) + reserve(limit)  # for the search for cells
    assert abs(ended - limit) < 0.05 * limit + last


def test_a_plan_made_on_a_busy_machine_is_corrected() -> None:
    """Planned at ten times the time of an update, the run makes ten times the updates."""
    plan = Plan(1, 4, 300.0, 3.6, 5.0)
    plan.adopt(*plan.count(0, 10.0))
    assert plan.total_steps < 80
    seconds = simulate(plan, lambda _: 0.36, 10)
    assert abs(seconds - 300) < 0.05 * 300
    assert plan.total_steps > 700


@given(st.integers(1, 500), st.integers(1, 40))
def test_the_validations_of_a_fixed_plan_become_rarer(total: int, count: int) -> None:
    plan, validated = Plan(total, count), []
    for step in range(1, total + 1):
        if plan.validation_is_due(step):
            plan.validation_done(step)
            validated.append(step)
    due = [Fraction(number, count) ** 2 * total for number in range(1, count + 1)]
    assert validated == sorted({math.ceil(step) for step in due})


@pytest.mark.parametrize(
    ("name", "value"),
    [("total_steps", 3), ("validations", 0), ("limit", "5"), ("per_update", float("nan"))],
)
def test_a_damaged_plan_is_refused(name: str, value: object) -> None:
    state = Plan(9, 2, 60.0).as_state()
    assert plan_from_state(state, 4).as_state() == state
    with pytest.raises(ValueError, match="not those of a plan"):
        plan_from_state(state | {name: value}, 4)


LONG = dataclasses.replace(CORPUS, validation=CORPUS.training.repeat(40))
SPEED = Speed(per_update=0.01, per_character=4e-5)


def plan_for(minutes: float) -> tuple[TrainingConfig, Plan]:
    return planned(dataclasses.replace(CONFIG, minutes=minutes), SPEED, 0.5, LONG, {})


@pytest.mark.parametrize("minutes", [0.1, 0.5, 5, 600])
def test_validations_take_a_small_part_of_the_time(minutes: float) -> None:
    config, plan = plan_for(minutes)
    assert plan.validations * plan.per_validation <= max(0.11 * 60 * minutes, plan.per_validation)
    assert 16_384 <= config.validation_characters <= 500_000


def test_a_time_that_is_too_short_is_refused_and_the_least_is_named() -> None:
    with pytest.raises(
        TrainingError, match=r"0\.01 is too short .*: [\d.]+ would be enough"
    ) as caught:
        plan_for(0.01)
    least = float(str(caught.value).split()[-4])
    assert plan_for(least)[1].total_steps >= 10


SHORT = Corpus.from_text(TEXT[:500])
TIMES = st.floats(1e-4, 1e3)


@given(st.sampled_from([SHORT, LONG]), st.floats(1e-6, 366 * 24 * 60), TIMES, TIMES, TIMES)
@example(SHORT, 60.0, 0.0, 0.001, 1e-5)  # more than a million epochs
@example(LONG, 1540 / 60, 0.5, 1.0, 5e-3)  # the first validation takes almost all of the time
def test_any_time_is_a_run_or_too_short(
    corpus: Corpus, minutes: float, spent: float, per_update: float, per_character: float
) -> None:
    config = dataclasses.replace(CONFIG, minutes=minutes, batch_size=1)
    given = {"validation_characters": config.validation_characters}
    try:
        config, plan = planned(config, Speed(per_update, per_character), spent, corpus, given)
    except TrainingError as error:
        assert "is too short" in str(error)  # noqa: PT017  # the other outcome is valid too
        return
    assert plan.total_steps > 0
    assert config.epochs <= 1_000_000
    left = 60 * minutes - spent - plan.validations * plan.per_validation
    kept = reserve(60 * minutes)
    assert kept - 1e-6 <= left - plan.total_steps * per_update <= kept + per_update + 1


def make_limited(folder: Path, resume: bool = False) -> Trainer:
    """A trainer whose clock counts updates, and says that the machine becomes slower."""
    network = make_trainer(folder / "sizes").network.config
    plan = Plan(200, 4, 120.0, 0.5, 1.0)
    trainer = Trainer(CORPUS, network, LIMITED, RunFolder(folder / "run"), CPU, resume, plan=plan)
    trainer.clock = lambda: 0.5 * trainer.step + 0.01 * trainer.step**2
    return trainer


@pytest.mark.parametrize("stop_at", [1, 40, 70])
def test_a_resumed_run_keeps_its_decisions(tmp_path: Path, stop_at: int) -> None:
    whole = finished(make_limited(tmp_path / "whole"))
    assert whole.done
    assert 75 < whole.total_steps < 95  # 0.5 n + 0.01 n^2 is 120 at 87
    resumed = resumed_after(stop_at, tmp_path / "stopped", make_limited)
    assert resumed.plan == whole.plan
    assert_same_weights(whole, resumed)
    rates = [record["learning_rate"] for record in metrics(tmp_path / "whole" / "run")]
    assert rates[-1] < 0.02 * LIMITED.learning_rate


def test_a_stop_ends_a_validation_which_the_resumed_run_repeats(tmp_path: Path) -> None:
    finished(make_trainer(tmp_path / "whole"))
    trainer = make_trainer(tmp_path / "stopped")
    for _ in trainer.run(stop=lambda: trainer.plan.validation_is_due(trainer.step)):
        pass
    assert not (tmp_path / "stopped" / "metrics.jsonl").exists()
    assert not trainer.done
    resumed = make_trainer(tmp_path / "stopped", resume=True)
    assert resumed.step == trainer.step
    list(resumed.run())
    losses = [record["validation_loss"] for record in metrics(tmp_path / "stopped")]
    assert losses == [record["validation_loss"] for record in metrics(tmp_path / "whole")]
