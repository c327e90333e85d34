"""The settings of a run: their ranges, their flags, and what a plan changes."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given as given_by_hypothesis
from hypothesis import strategies as st

from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import TrainingError
from tests.conftest import make_checkpoint
from tests.training.commands import SMALL
from tests.training.small_runs import CORPUS, CPU
from training import run_setup
from training.command_line import run as main
from training.config import TrainingConfig, settings_from_record
from training.process_group import ProcessGroup
from training.run_folder import RunFolder
from training.run_setup import RunSetup
from training.speed import Speed
from training.train_arguments import add_arguments, check_arguments, given, named_as_flags

NUMERIC = [
    field.name
    for field in dataclasses.fields(TrainingConfig)
    if field.name not in ("precision", "optimizer")
]
TINY = make_checkpoint(hidden_size=1, layers=1)


@pytest.mark.parametrize(
    "field", ["epochs", "batch_size", "sequence_length", "clip", "averaging", "seed"]
)
def test_a_setting_out_of_range_is_named(field: str) -> None:
    values: dict[str, Any] = {field: -1}
    with pytest.raises(TrainingError, match=f"{field} must be .*, got -1"):
        TrainingConfig(**values)


def config_or_message(**values: Any) -> TrainingConfig | str:
    try:
        return TrainingConfig(**values)
    except TrainingError as error:
        return str(error)


@given_by_hypothesis(
    st.sampled_from(NUMERIC),
    st.floats() | st.integers() | st.sampled_from([10**400, -(10**400), math.inf, math.nan]),
)
def test_any_accepted_setting_can_be_recorded(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: float
) -> None:
    config = config_or_message(**{field: value})
    if isinstance(config, str):
        assert config.startswith(f"{field} must be ")
        return
    path = tmp_path_factory.getbasetemp() / "recorded.safetensors"
    save_checkpoint(dataclasses.replace(TINY, training={"settings": config.as_record()}), path)
    record = load_checkpoint(path).training["settings"]
    assert TrainingConfig(**settings_from_record(record)) == config


def test_no_clipping_is_a_setting() -> None:
    config = TrainingConfig(clip=math.inf)
    assert config.as_record()["clip"] is None
    assert named_as_flags(dataclasses.asdict(config), distilled=False)["--clip"] == "inf"
    with pytest.raises(TrainingError, match="at most 1,000,000,000, or inf for no clipping, got"):
        TrainingConfig(clip=math.nan)


@pytest.mark.parametrize(
    "flags",
    [
        ["--epochs", "nan"],
        ["--epochs", "inf"],
        ["--minutes", "0.0"],
        ["--minutes", "-1.0"],
        ["--epochs", "0.0"],
        ["--dropout", "nan"],
        ["--hidden-size", "0"],
        ["--seq-len", "0"],
        ["--muon-lr", "0.0"],
        ["--optimizer", "'sgd'"],
    ],
)
def test_flags_are_checked_before_settings_are_derived_from_them(flags: list[str]) -> None:
    flag, value = flags
    with pytest.raises(TrainingError, match=f"^{flag} must be .*, got {value}$"):
        check_arguments(options(flag, value.strip("'")))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--weight-decay 400", "--learning-rate times --weight-decay .*, got 0.003 times 400.0"),
        ("--learning-rate 101", "--learning-rate times --weight-decay .*, got 101.0 times 0.01"),
        ("--muon-weight-decay 34", "--muon-lr times --muon-weight-decay .*, got 0.03 times 34.0"),
        ("--init-from x --muon-weight-decay 101", "got 0.01 times 101.0: lower one of them$"),
    ],
)
def test_a_weight_decay_that_reverses_weights_is_refused(flags: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        check_arguments(options(*flags.split()))


@pytest.mark.parametrize(
    "flags",
    [
        "--weight-decay 333",
        "--learning-rate 100",
        "--muon-weight-decay 34 --optimizer adamw",
        "--muon-weight-decay 99 --init-from x",
        "--weight-decay 400 --resume",
    ],
)
def test_a_weight_decay_that_only_shrinks_weights_is_accepted(flags: str) -> None:
    check_arguments(options(*flags.split()))


def test_the_names_in_checkpoints_are_a_public_format() -> None:
    """The shipped checkpoints have these keys too."""
    config = TrainingConfig(batch_size=5, sequence_length=7)
    record = config.as_record()
    names = (
        "epochs streams steps learning_rate warmup weight_decay clip confidence_penalty averaging "
        "validations seed precision optimizer muon_learning_rate muon_momentum muon_iterations "
        "muon_weight_decay minutes validation_characters distill_weight distill_temperature"
    )
    assert list(record) == names.split()
    assert (record["streams"], record["steps"]) == (5, 7)
    assert TrainingConfig(**settings_from_record(record)) == config


def options(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--text", "book.txt", *flags])


def make_setup(tmp_path: Path, *flags: str) -> RunSetup:
    folder = RunFolder(tmp_path)
    return RunSetup(options(*flags), folder, CORPUS, None, [], CPU, ProcessGroup())


def test_the_old_names_of_flags_still_work(tmp_path: Path) -> None:
    _, config = make_setup(tmp_path, "--streams", "3", "--steps", "9").configs()
    assert (config.batch_size, config.sequence_length) == (3, 9)
    _, renamed = make_setup(tmp_path, "--batch-size", "3", "--seq-len", "9").configs()
    assert dataclasses.replace(renamed, precision=config.precision) == config


def test_a_plan_changes_only_what_the_user_has_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_setup, "measure_speed", lambda *_: Speed(1.0, 1e-4))
    flags = ["--minutes", "10", "--weight-dropout", "0.2", "--validation-characters", "1000"]
    setup = make_setup(tmp_path, *flags)
    network_config, config = setup.configs()
    planned_network, planned, plan = setup.planned(network_config, config, 5.0)
    assert planned == dataclasses.replace(config, epochs=planned.epochs, validations=20)
    assert 500 < plan.total_steps < 600
    assert planned_network == dataclasses.replace(network_config, dropout=0.35, weight_dropout=0.2)


def test_the_precision_is_measured_once(
    text: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the plan could measure one precision and the run train in the other."""
    measured = []

    def choose(name: str, device: torch.device) -> str:
        measured.append(name)
        return "fp32"

    monkeypatch.setattr(run_setup, "choose_training_precision", choose)
    monkeypatch.setattr(run_setup, "measure_speed", lambda *_: Speed(0.01, 1e-5))
    flags = [*SMALL, "--precision", "auto", "--validations", "1", "--minutes", "0.05"]
    assert main(["train", "--text", str(text), "--out", str(out), *flags]) == 0
    assert measured == ["auto"]


def test_a_resumed_run_keeps_the_precision_that_was_measured(
    train: Callable[..., int], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if another precision would be faster now. The user repeats the flags of the run."""
    measured = []

    def choose(name: str, device: torch.device) -> str:
        measured.append(name)
        return {"auto": "fp32" if len(measured) == 1 else "bf16"}.get(name, name)

    monkeypatch.setattr(run_setup, "choose_training_precision", choose)
    assert train("--precision", "auto") == 0
    assert train("--precision", "auto", "--resume") == 0
    assert measured == ["auto", "fp32"]
    settings = load_checkpoint(out / "best.safetensors").training["settings"]
    assert settings["precision"] == "fp32"


@pytest.mark.parametrize(
    "values", [{"epochs": 1 / 3}, {"minutes": 2.5}, {"averaging": 0.9999999, "clip": 1e9}]
)
def test_settings_are_named_as_the_flags_that_set_them(values: dict[str, float]) -> None:
    network = NetworkConfig(50, hidden_size=16, embedding_size=8, dropout=0.25)
    config = TrainingConfig(**values, optimizer="muon", sequence_length=7, seed=2**60)  # type: ignore[arg-type]
    settings = dataclasses.asdict(network) | dataclasses.asdict(config)
    flags = named_as_flags(settings, distilled=True)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(["--text", "x", *itertools.chain(*flags.items())])
    assert TrainingConfig(**given(options, TrainingConfig)) == config
    assert NetworkConfig(50, **given(options, NetworkConfig)) == network


def test_settings_without_effect_are_left_out() -> None:
    flags = named_as_flags(
        dataclasses.asdict(TrainingConfig(minutes=2, optimizer="adamw")), distilled=False
    )
    assert {"--minutes", "--batch-size", "--optimizer"} <= set(flags)
    assert not {"--epochs", "--muon-lr", "--distill-weight"} & set(flags)
