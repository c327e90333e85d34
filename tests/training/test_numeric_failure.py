"""Numbers that are NaN or infinite end a run with their likely cause, and change no weight."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.errors import TrainingError
from tests.training.small_runs import (
    CONFIG,
    CORPUS,
    CPU,
    make_trainer,
    metrics,
    run_to_first_validation,
)
from tests.training.test_distillation import make_student, make_teacher
from training import trainer as trainer_module
from training.config import TrainingConfig
from training.evaluation import Evaluation
from training.events import Validation
from training.report import render
from training.results import make_report
from training.run_folder import RunFolder
from training.trainer import Trainer


def extreme(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint with the largest finite weights, with which no loss can be computed."""
    largest = np.finfo(np.float32).max
    weights = {name: np.copysign(largest, array) for name, array in checkpoint.weights.items()}
    return dataclasses.replace(checkpoint, weights=weights)


def tensors(value: Any) -> list[torch.Tensor]:
    """Return copies of all tensors in nested dictionaries."""
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in tensors(part)]
    return [value.clone()] if isinstance(value, torch.Tensor) else []


def learned(trainer: Trainer) -> list[torch.Tensor]:
    state = trainer.learner.state_dict()
    return tensors({name: state[name] for name in ("network", "average", "optimizer", "muon")})


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_objective_that_cannot_be_computed_changes_nothing(
    tmp_path: Path, optimizer: str
) -> None:
    """The loss is finite, but divided by the temperature, the largest logit is infinite."""
    trainer = make_student(tmp_path, optimizer=optimizer, distill_temperature=0.01)
    with torch.no_grad():
        trainer.network.output.bias[0] = 3.5e36
    before = learned(trainer)
    cause = "objective is nan at update 0: lower .*, or raise --distill-temperature"
    with pytest.raises(TrainingError, match=cause):
        list(trainer.run())
    after = learned(trainer)
    assert len(before) == len(after)
    assert all(map(torch.equal, before, after))
    assert not trainer.folder.state_path.exists()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_gradient_that_is_not_finite_changes_nothing(
    tmp_path: Path, optimizer: str, value: float
) -> None:
    """The square of 1e30 is beyond float32, and so is the norm."""
    trainer = make_trainer(tmp_path, dataclasses.replace(CONFIG, optimizer=optimizer))
    run = trainer.run()
    next(run)
    before = learned(trainer)
    trainer.network.output.bias.register_hook(  # type: ignore[no-untyped-call]  # torch has none
        lambda gradient: torch.full_like(gradient, value)
    )
    with pytest.raises(TrainingError, match=r"norm of the gradient is (nan|inf) at update 1: low"):
        list(run)
    assert all(map(torch.equal, before, learned(trainer)))


def test_the_flags_of_both_learning_rates_are_named(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, dataclasses.replace(CONFIG, optimizer="muon"))
    with torch.no_grad():
        trainer.network.output.bias.fill_(math.nan)
    with pytest.raises(
        TrainingError, match="the loss is nan at update 0: lower --learning-rate or --muon-lr"
    ):
        list(trainer.run())


def test_a_checkpoint_that_is_too_large_to_fine_tune_is_named(tmp_path: Path) -> None:
    initial = extreme(make_teacher(1))
    folder = RunFolder(tmp_path)
    trainer = Trainer(CORPUS, initial.config, CONFIG, folder, CPU, initial=initial)
    with pytest.raises(TrainingError, match="at update 0: the checkpoint of --init-from has"):
        list(trainer.run())


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    trainer = make_trainer(tmp_path)
    run = run_to_first_validation(trainer)
    kept = trainer.folder.best_path.read_bytes()
    monkeypatch.setattr(trainer_module, "estimate", lambda *_: Evaluation(loss, 1))
    with pytest.raises(TrainingError, match=f"the validation loss is {loss} at .*: lower --learn"):
        list(run)
    assert len(metrics(tmp_path)) == 1
    assert trainer.folder.best_path.read_bytes() == kept


def test_weights_that_are_too_large_to_be_served_end_the_run(tmp_path: Path) -> None:
    """No room on the disk would help, so none is asked for."""
    for validated, end in ((False, "--learning-rate"), (True, "holds the best weights so far")):
        trainer = make_trainer(tmp_path / str(validated))
        run = trainer.run()
        while validated and not isinstance(next(run), Validation):
            pass
        with torch.no_grad():
            trainer.network.lstm.get_parameter("weight_hh_l0")[0] = 1e32
        with pytest.raises(TrainingError) as caught:
            list(run)
        message = str(caught.value)
        assert "the weights are too large: the gates of LSTM layer 0 may reach" in message
        assert f", at update {trainer.step}: lower --learning-rate" in message
        assert message.endswith(end)


def failure_of(trainer: Trainer) -> str:
    """Run to the end, with flushed denormal numbers as the train command does."""
    torch.set_flush_denormal(True)
    try:
        list(trainer.run())
    except TrainingError as error:
        return str(error)
    finally:
        torch.set_flush_denormal(False)
    return ""


rates = st.sampled_from([1e-12, 3e-3, 1.0, 1000.0])
decays = st.sampled_from([0.0, 0.1, 1000.0])


@settings(max_examples=10)
@given(
    st.fixed_dictionaries(
        {
            "learning_rate": rates,
            "muon_learning_rate": rates,
            "weight_decay": decays,
            "muon_weight_decay": decays,
            "clip": st.sampled_from([1e-12, 1.0, math.inf]),
            "optimizer": st.sampled_from(["adamw", "muon"]),
        }
    )
)
def test_extreme_settings_give_a_checkpoint_and_a_report_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    config = TrainingConfig(epochs=1e-9, batch_size=2, sequence_length=5, validations=1, **values)
    trainer = make_trainer(folder, config)
    if message := failure_of(trainer):
        assert "lower --learning-rate" in message
        return
    saved = load_checkpoint(trainer.folder.best_path)
    assert saved.training["settings"] == config.as_record()
    assert "nats per character" in render(make_report(trainer, "a text"))
