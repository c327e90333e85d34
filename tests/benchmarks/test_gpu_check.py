"""GPU acceptance without a GPU: the error, the table, and how results are counted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks import gpu_check
from benchmarks.gpu_check import Result, measured, measurements, run_file, run_tests, table
from model.checkpoints.checkpoint import Checkpoint
from tests.conftest import ROOT

RESULTS = [Result("reload", True, "3 of 3 tests passed in 9 s"), Result("graph", False, "no")]
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@needs_no_gpu
def test_without_a_gpu_it_ends_with_one_line_before_it_runs_anything() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_check"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"gpu-check: torch {torch.__version__} ")


@needs_no_gpu
@pytest.mark.skipif(
    shutil.which("nvidia-smi") is not None,
    reason="tests the message on machines without NVIDIA's driver, and this machine has it",
)
def test_make_ends_with_one_line_before_it_installs_anything() -> None:
    command = ["make", "gpu-check", "PYTHON=/nowhere/python"]
    # As from a shell, although make may have started these tests.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.returncode == 2
    assert result.stdout == ""
    line, *_ = result.stderr.splitlines()
    assert line.startswith("gpu-check: this machine has no NVIDIA GPU")


@pytest.mark.parametrize(
    ("built_for", "message"), [(None, "built without CUDA"), ("12.6", "finds no NVIDIA GPU here")]
)
@needs_no_gpu
def test_the_reason_is_the_build_or_the_machine(
    monkeypatch: pytest.MonkeyPatch, built_for: str | None, message: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", built_for)
    assert message in str(gpu_check.unusable_gpu())


def test_the_table_has_a_row_per_check_and_the_names_of_the_machine() -> None:
    console = Console(width=110)
    with console.capture() as capture:
        console.print(table("NVIDIA Test GPU, driver 1.2", RESULTS, 90))
    lines = [line for line in capture.get().splitlines() if line.strip()]
    assert lines[0].strip() == "NVIDIA Test GPU, driver 1.2"
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines[1:]]
    assert cells[0] == ["check", "result", "detail"]
    assert cells[2:] == [
        ["reload", "pass", "3 of 3 tests passed in 9 s"],
        ["graph", "FAIL", "no"],
        ["all", "FAIL", "1 of 2 in 1.5 minutes"],
    ]


@pytest.mark.parametrize(
    ("body", "passed", "detail"),
    [
        ("pass", True, "1 of 1 tests passed"),
        ("assert False", False, "0 of 1 tests passed"),
        # A skipped test has shown nothing, so its check must not pass. This one runs in a process.
        ("pytest.skip()", False, "0 of 1 tests passed"),
        ("os._exit(3)", False, "pytest ended with status 3"),
        ("time.sleep(60)", False, "stopped after 8 s"),
    ],
)
def test_a_check_passes_if_all_its_tests_ran_and_passed(
    tmp_path: Path, body: str, passed: bool, detail: str
) -> None:
    file = tmp_path / "test_one.py"
    imports = "import os, time, pytest\n"
    # A marker that pytest knows and that changes nothing, to select the test by.
    marker = "@pytest.mark.filterwarnings('default')"
    file.write_text(f"{imports}\n{marker}\ndef test_it():\n    {body}\n")
    seconds = 8 if "sleep" in body else 60
    result = run_file("one", file, seconds, marker="filterwarnings")
    assert result.passed is passed
    assert result.detail.startswith(detail)


def test_a_file_without_cuda_tests_fails(tmp_path: Path) -> None:
    file = tmp_path / "test_none.py"
    file.write_text("def test_it():\n    pass\n")
    assert run_file("none", file, 60).passed is False


def test_after_the_deadline_no_check_starts() -> None:
    shown: list[str] = []
    results = list(
        run_tests([Path("tests/devices/test_cuda_graph.py")], time.monotonic(), shown.append)
    )
    assert shown == ["cuda graph ..."]
    assert results == [
        Result("cuda graph", False, "not started: the checks before it took too long")
    ]


def test_every_measurement_runs(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU here, with fewer streams."""
    monkeypatch.setattr(gpu_check, "_STREAMS", (1, 3))
    monkeypatch.setattr(gpu_check, "_ENGINE_CHARACTERS", 20)
    monkeypatch.setattr(gpu_check, "_TRAINING_BATCHES", (4,))
    monkeypatch.setattr(gpu_check, "_PRECISIONS", ("fp32",))
    rows = [measured(*pair) for pair in measurements(tiny, torch.device("cpu"), 0.01)]
    assert [row.name for row in rows] == [
        *("decoder, 1 stream", "decoder, 3 streams", "engine, 1 stream", "engine, 3 streams"),
        "training, fp32, batches of 4",
    ]
    assert all(row.passed for row in rows), rows


def test_a_measurement_that_fails_is_a_row() -> None:
    def fail() -> float:
        raise RuntimeError("CUDA error: out of memory\nand more")

    assert measured("x", fail) == Result("x", False, "RuntimeError: CUDA error: out of memory")
