"""GPU acceptance: run every CUDA test, measure the speed, and print one table. `make gpu-check`.

Each file of tests/devices is a check. It runs in its own process, because an error of CUDA makes
every later call of its process fail.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.decoder_rate import decoder_rate
from benchmarks.engine_rate import engine_rate
from benchmarks.training_rate import training_rate
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.decoding.selection import TORCH, default_threads
from training.config import TrainingPrecision

_ROOT = Path(__file__).parent.parent
_TESTS = _ROOT / "tests" / "devices"
_SHIPPED = _ROOT / "checkpoints" / "anna.safetensors"
_TEST_SECONDS = 360.0  # for all checks together; the benchmark takes less than two minutes
_STREAMS = (1, 64, 256, 1024)
_ENGINE_CHARACTERS = 400  # per stream
_TRAINING_BATCHES = (32, 256)
_PRECISIONS: tuple[TrainingPrecision, ...] = ("fp32", "bf16")

Output = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    name: str
    passed: bool
    detail: str


def main() -> None:
    """Run the checks and the benchmark, and exit with an error if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement (default 2)")
    options = parser.parse_args()
    if reason := unusable_gpu():
        sys.exit(f"gpu-check: {reason}")
    device, began = torch.device("cuda"), time.monotonic()
    progress = Console(stderr=True).print
    results = list(run_tests(sorted(_TESTS.glob("test_*.py")), began + _TEST_SECONDS, progress))
    for name, measure in measurements(load_checkpoint(_SHIPPED), device, options.seconds):
        progress(f"{name} ...")
        results.append(measured(name, measure))
    Console(width=110).print(table(machine(), results, time.monotonic() - began))
    sys.exit(0 if all(result.passed for result in results) else 1)


def unusable_gpu() -> str | None:
    """Return why there is no usable NVIDIA GPU; None if there is one."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA, so no GPU can be checked"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} (CUDA {torch.version.cuda}) finds no NVIDIA GPU here"
    return None


def machine() -> str:
    """Return the names and versions of the GPU and of what drives it."""
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return (
        f"{torch.cuda.get_device_name()}, driver {_driver()}, torch {torch.__version__}, "
        f"CUDA {torch.version.cuda}, cuDNN {cudnn}"
    )


def _driver() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return lines[0].strip() if lines else "unknown"


def run_tests(files: list[Path], deadline: float, progress: Output) -> Iterator[Result]:
    """Run the CUDA tests of each file. What has not ended at the deadline has failed."""
    for file in files:
        name = file.stem.removeprefix("test_").replace("_", " ")
        progress(f"{name} ...")
        yield run_file(name, file, deadline - time.monotonic())


def run_file(name: str, file: Path, seconds: float, marker: str = "gpu") -> Result:
    """Run the tests of a file that have a marker."""
    if seconds <= 0:
        return Result(name, False, "not started: the checks before it took too long")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", marker, f"--junitxml={report}"]
        try:
            status, output = _run([*command, str(file)], seconds)
        except subprocess.TimeoutExpired:
            return Result(name, False, f"stopped after {seconds:.0f} s")
        result = _result(name, status, report)
    if not result.passed:
        print(output, file=sys.stderr)
    return result


def _run(command: list[str], seconds: float) -> tuple[int, str]:
    """Return the exit status and the output of a process. It leaves no processes behind."""
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=seconds)[0]
        return process.returncode, output
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _result(name: str, status: int, report: Path) -> Result:
    """Return the result of one pytest process. A skipped test counts as failed."""
    if not report.exists():
        return Result(name, False, f"pytest ended with status {status}")
    suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    passed = tests - failed - skipped
    detail = f"{passed} of {tests} tests passed in {float(suite.get('time', 0)):.0f} s"
    return Result(name, status == 0 and 0 < tests == passed, detail)


def measurements(
    checkpoint: Checkpoint, device: torch.device, seconds: float
) -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield the name of each measurement, and a function that returns characters per second."""
    name = str(device)
    threads = default_threads("fp32", name)
    for streams in _STREAMS:
        yield (
            f"decoder, {_count(streams)}",
            partial(decoder_rate, checkpoint, "fp32", TORCH, threads, streams, seconds, name),
        )
    for streams in _STREAMS:
        characters = _ENGINE_CHARACTERS * (10 if streams == 1 else 1)
        yield (
            f"engine, {_count(streams)}",
            partial(engine_rate, checkpoint, "fp32", streams, characters, threads, name),
        )
    for precision in _PRECISIONS:
        for size in _TRAINING_BATCHES:
            yield (
                f"training, {precision}, batches of {size}",
                partial(training_rate, checkpoint.config, precision, seconds, device, size),
            )


def _count(streams: int) -> str:
    return f"{streams:,} stream{'s' * (streams > 1)}"


def measured(name: str, measure: Callable[[], float]) -> Result:
    """Return a measurement as a row. An error is a failure, and the others are still measured."""
    try:
        return Result(name, True, f"{measure():,.0f} characters per second")
    except Exception as error:  # CUDA, a backend or the engine may raise anything
        return Result(name, False, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")


def table(title: str, results: list[Result], seconds: float) -> Table:
    """Return all results as one table, in Markdown's form."""
    rows = Table("check", "result", "detail", title=title, title_justify="left", box=box.MARKDOWN)
    for result in results:
        rows.add_row(result.name, "pass" if result.passed else "FAIL", result.detail)
    passed = sum(result.passed for result in results)
    summary = "pass" if passed == len(results) else "FAIL"
    rows.add_row("all", summary, f"{passed} of {len(results)} in {seconds / 60:.1f} minutes")
    return rows


if __name__ == "__main__":
    main()
