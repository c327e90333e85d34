"""make bench: one table from one run on one machine."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.decoder_rate import decoder_rate
from benchmarks.http_rate import http_rate, running_service
from benchmarks.tutorial_loop import tutorial_rate
from model.checkpoint import Checkpoint, load_checkpoint
from model.linear import Precision, int8_is_available

_TUTORIAL = "the tutorial's loop, 1 stream"
_HTTP_CHARACTERS = {1: 8000, 64: 1500}  # per stream, for some seconds each

Measurement = tuple[str, Callable[[], float]]


def main() -> None:
    """Measures everything in turn, several rounds over, and prints the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/anna.safetensors"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="per decoder figure")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.checkpoint)
    rates: dict[str, list[float]] = {}
    with running_service(options.checkpoint) as port:
        for _ in range(options.rounds):  # in turn, so that a machine's drift hits all alike
            for name, measure in _measurements(checkpoint, port, options.seconds):
                rates.setdefault(name, []).append(measure())
    _print(checkpoint, {name: statistics.median(values) for name, values in rates.items()})


def _measurements(checkpoint: Checkpoint, port: int, seconds: float) -> Iterator[Measurement]:
    yield _TUTORIAL, partial(tutorial_rate, checkpoint, 400)
    for precision in _precisions():
        for streams in (1, 16, 64):
            measure = partial(decoder_rate, checkpoint, precision, streams, seconds)
            yield f"decoder, {precision}, {_count(streams)}", measure
    for streams, characters in _HTTP_CHARACTERS.items():
        measure = partial(http_rate, port, streams, characters)
        yield f"service over HTTP, {_count(streams)}", measure


def _precisions() -> list[Precision]:
    return ["fp32", "int8"] if int8_is_available(torch.device("cpu")) else ["fp32"]


def _count(streams: int) -> str:
    return f"{streams} stream" if streams == 1 else f"{streams} streams"


def _print(checkpoint: Checkpoint, rates: dict[str, float]) -> None:
    table = Table(title=f"{_machine()}; {_model(checkpoint)}", title_justify="left")
    table.add_column("way")
    table.add_column("char/s", justify="right")
    table.add_column("x tutorial", justify="right")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates[_TUTORIAL]:.1f}")
    Console().print(table)


def _machine() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = names[0].partition(": ")[2] if names else name
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{name} ({capability}), {os.cpu_count()} cores, torch {torch.__version__}"


def _model(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    return f"{config.layers} x {config.hidden_size}, {config.vocabulary_size} characters"


if __name__ == "__main__":
    main()
