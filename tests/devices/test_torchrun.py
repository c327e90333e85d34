"""One process of torchrun joins a group, over NCCL on a GPU, trains as one alone, and leaves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.training.commands import TEXT, start_python
from training.command_line import run as main

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")


# A group that is kept keeps its threads, and one that wakes up during the exit aborts it.
OBSERVED = """
import sys, weakref
import torch.distributed as dist
from training.command_line import run as main
join, groups = dist.init_process_group, []
def observed(*args):
    join(*args)
    groups.append(weakref.ref(dist.group.WORLD))
dist.init_process_group = observed
status = main(sys.argv[1:])
print("groups:", [group() for group in groups])
sys.exit(status)
"""


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
    program = tmp_path / "observed.py"
    program.write_text(OBSERVED)
    assert main(arguments(text, tmp_path / "alone", device)) == 0
    group = arguments(text, tmp_path / "group", device)
    variables = {"PYTHONPATH": str(ROOT), "NCCL_DEBUG": "INFO"}
    process = start_python(*TORCHRUN, str(program), *group, **variables)
    shown = process.communicate()[0]
    assert process.returncode == 0, shown
    assert "groups: [None]" in shown
    assert ("NCCL INFO" in shown) == (device.type == "cuda")
    expected = losses(tmp_path / "alone")
    tolerance = 0.0 if device.type == "cpu" else 1e-2
    assert losses(tmp_path / "group") == pytest.approx(expected, abs=tolerance, rel=tolerance)
