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
from training.__main__ import main

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")


def arguments(text: Path, out: Path, device: torch.device) -> list[str]:
    """The arguments of the train command."""
    paths = ["--text", str(text), "--out", str(out)]
    sizes = ["--hidden-size", "16", "--seq-len", "20", "--batch-size", "4", "--epochs", "2"]
    options = ["--device", device.type, "--precision", "fp32", "--validations", "2"]
    return ["train", *paths, *sizes, *options]


def losses(out: Path) -> list[float]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["validation_loss"] for line in lines]


def test_one_process_of_torchrun_trains_as_a_process_alone(
    device: torch.device, tmp_path: Path
) -> None:
    text = tmp_path / "book.txt"
    text.write_text(TEXT)
    assert main(arguments(text, tmp_path / "alone", device)) == 0
    group = arguments(text, tmp_path / "group", device)
    result = subprocess.run(
        [sys.executable, *TORCHRUN, "-m", "training", *group],
        env={**os.environ, "OMP_NUM_THREADS": "1", "NCCL_DEBUG": "INFO"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    assert ("NCCL INFO" in result.stdout) == (device.type == "cuda")
    expected = losses(tmp_path / "alone")
    tolerance = 0.0 if device.type == "cpu" else 1e-2
    assert losses(tmp_path / "group") == pytest.approx(expected, abs=tolerance, rel=tolerance)
