"""One process of torchrun joins a group, over NCCL on a GPU, and trains as a process alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.commands import TEXT

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")


def train(text: Path, out: Path, device: torch.device, launcher: tuple[str, ...] = ()) -> str:
    """Run the train command in its own process. Return what it printed."""
    command = [sys.executable, *launcher, "-m", "training", "train", "--text", str(text)]
    command += ["--out", str(out), "--device", device.type, "--precision", "fp32"]
    command += ["--hidden-size", "16", "--seq-len", "20", "--batch-size", "4"]
    command += ["--epochs", "2", "--validations", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NCCL_DEBUG": "INFO"}
    result = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def losses(out: Path) -> list[float]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["validation_loss"] for line in lines]


def test_one_process_of_torchrun_trains_as_a_process_alone(
    device: torch.device, tmp_path: Path
) -> None:
    text = tmp_path / "book.txt"
    text.write_text(TEXT)
    train(text, tmp_path / "alone", device)
    shown = train(text, tmp_path / "group", device, TORCHRUN)
    assert ("NCCL INFO" in shown) == (device.type == "cuda")
    expected = losses(tmp_path / "alone")
    tolerance = 0.0 if device.type == "cpu" else 1e-2
    assert losses(tmp_path / "group") == pytest.approx(expected, abs=tolerance, rel=tolerance)
