"""Training in bfloat16 computes in bfloat16, learns as fp32 does, and can be resumed."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
import torch

from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.errors import DeviceError
from model.pytorch.lstm_layer import lstm_layer
from tests.training.small_runs import CORPUS
from training.config import TrainingConfig, TrainingPrecision
from training.evaluation import evaluate_full_text
from training.events import Update, Validation
from training.precision import autocast, choose_training_precision
from training.run_folder import RunFolder
from training.trainer import Trainer


@pytest.fixture(scope="module", autouse=True)
def _bf16(device: torch.device) -> None:
    try:
        choose_training_precision("bf16", device)
    except DeviceError as error:
        if device.type == "cuda":
            raise
        pytest.skip(f"this processor or this build of torch cannot train in bfloat16: {error}")


def make_trainer(
    folder: Path, device: torch.device, precision: TrainingPrecision, resume: bool = False
) -> Trainer:
    network = NetworkConfig(len(CORPUS.vocabulary), hidden_size=64, dropout=0.1, weight_dropout=0.1)
    config = TrainingConfig(
        epochs=4, batch_size=4, sequence_length=20, warmup=5, validations=4, precision=precision
    )
    return Trainer(CORPUS, network, config, RunFolder(folder), device, resume)


def test_a_layer_computes_in_bfloat16_and_its_weights_get_float32_gradients(
    device: torch.device,
) -> None:
    layer = torch.nn.LSTM(48, 64).to(device)
    values = torch.randn(7, 5, 48, generator=torch.Generator().manual_seed(0)).to(device)
    zeros = torch.zeros(1, 5, 64, device=device)
    exact, _ = lstm_layer(values, (zeros, zeros), layer.all_weights[0])
    with autocast("bf16", device):
        rounded, (hidden, cell) = lstm_layer(values, (zeros, zeros), layer.all_weights[0])
    assert rounded.dtype == hidden.dtype == torch.bfloat16
    assert cell.dtype in (torch.bfloat16, torch.float32)  # the native kernel keeps cells exact
    torch.testing.assert_close(rounded.float(), exact, atol=0.02, rtol=0.02)
    rounded.float().sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


def test_bf16_learns_as_fp32_does(device: torch.device, tmp_path: Path) -> None:
    precisions: tuple[TrainingPrecision, ...] = ("fp32", "bf16")
    losses = []
    for precision in precisions:
        trainer = make_trainer(tmp_path / precision, device, precision)
        validations = [event for event in trainer.run() if isinstance(event, Validation)]
        assert validations[-1].validation_loss < validations[0].validation_loss - 0.3
        losses.append(trainer.best_loss)
        assert all(p.dtype == torch.float32 for p in trainer.network.parameters())
    assert losses[1] == pytest.approx(losses[0], abs=0.1)
    best = load_checkpoint(tmp_path / "bf16" / "best.safetensors")
    assert best.training["settings"]["precision"] == "bf16"
    on_device = evaluate_full_text(best, CORPUS.validation, device).nats_per_character
    assert on_device == pytest.approx(losses[1], abs=0.01)


def test_a_stopped_run_continues(device: torch.device, tmp_path: Path) -> None:
    whole = make_trainer(tmp_path / "whole", device, "bf16")
    losses = [event.loss for event in whole.run() if isinstance(event, Update)]
    first = make_trainer(tmp_path / "stopped", device, "bf16")
    stopped = [e.loss for e in first.run(lambda: first.step >= 30) if isinstance(e, Update)]
    second = make_trainer(tmp_path / "stopped", device, "bf16", resume=True)
    assert second.step == len(stopped) < len(losses)
    stopped += [event.loss for event in second.run() if isinstance(event, Update)]
    if device.type == "cpu":
        assert stopped == losses
    # On a GPU, cuDNN may add gradients in another order in each run.
    assert fmean(stopped[-20:]) == pytest.approx(fmean(losses[-20:]), abs=0.2)
