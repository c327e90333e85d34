"""Benchmarks: measure everything in one run and print one table. Run with `make bench`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import platform
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.bare_endpoint import running_bare_endpoint
from benchmarks.decoder_rate import decoder_rate, limit_rate
from benchmarks.engine_rate import engine_rate
from benchmarks.http_rate import OTHER_LENGTH, first_character_seconds, http_rate
from benchmarks.many_readers import many_readers
from benchmarks.onnx_rate import onnx_rate
from benchmarks.running_service import RunningService, running_service
from benchmarks.short_requests import GENERATE, SCORE, short_requests
from benchmarks.traffic import resident_megabytes
from benchmarks.training_rate import training_rate, tutorial_training_rate
from benchmarks.tutorial_loop import tutorial_rate
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.decoding.backend import Precision
from model.decoding.selection import TORCH, choose_precision, default_threads
from model.native import library as native_library
from model.pytorch.linear import int8_is_available
from training.precision import choose_training_precision

_STREAMS = (1, 4, 16, 64, 128)
_TUTORIAL = "the tutorial's loop"
_ONNX = "ONNX Runtime, int8, no sampling"
_LIMIT = "the kernel's products alone"
_HAS_ONNX = importlib.util.find_spec("onnxruntime") is not None  # the extra `bench`
_PRIME = (
    "He had not slept all night, and when at last the carriage drew up at the steps of the house, "
    "she saw"
)  # 100 characters
_CONNECTIONS = (1, 16, 64)  # of short requests
_READERS, _READ = 5000, 300  # readers that come at once, and the characters that each reads
_TRIES = 40  # measurements of the time to the first character

CPU = "cpu"
Row = tuple[str, int]  # name of what is measured, number of streams


def main() -> None:
    """Measure everything in several rounds, and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=Path("checkpoints/anna.safetensors"),
        help="model to measure (default %(default)s)",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="number of rounds (default %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="approximate duration of a measurement (default %(default)s)",
    )
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.checkpoint)
    training = _training_rates(checkpoint, options.rounds, 2 * options.seconds)
    rates: dict[Row, list[float]] = {}
    longest = max(_length(1, options.seconds), OTHER_LENGTH)
    limits = {"max_streams": max(_STREAMS), "max_length": longest}
    with running_service(options.checkpoint, **limits) as service:
        for _ in range(options.rounds):  # so that slow changes of the machine affect all rows
            for row, measure in _measurements(checkpoint, service, options.seconds):
                rates.setdefault(row, []).append(measure())
        medians = {row: statistics.median(values) for row, values in rates.items()}
        console = Console(width=130)
        console.print(f"\n{_machine()}\n{_model(checkpoint)}\n", highlight=False)
        _print_training(console, training)
        _print_rates(console, medians)
        _print_latencies(console, service)
        console.print(
            f"the server was ready {service.start_seconds:.1f} s after its start; "
            f"{resident_megabytes(service.port):.0f} MB resident memory at the end",
            highlight=False,
        )
        _print_short_requests(console, service, options.rounds, options.seconds)
    _print_readers(console, options.checkpoint, options.seconds)


def _training_rates(checkpoint: Checkpoint, rounds: int, seconds: float) -> dict[str, float]:
    config = dataclasses.replace(checkpoint.config, dropout=0.4, weight_dropout=0.3)
    chosen = choose_training_precision("auto", torch.device(CPU))
    ways = {
        "the tutorial's training loop": partial(tutorial_training_rate, config, seconds),
        "training, fp32": partial(training_rate, config, "fp32", seconds),
        f"training, {chosen}": partial(training_rate, config, chosen, seconds),
    }
    return {way: statistics.median(rate() for _ in range(rounds)) for way, rate in ways.items()}


def _print_training(console: Console, rates: dict[str, float]) -> None:
    table = Table("way", "characters per second", title="training", title_justify="left")
    tutorial = next(iter(rates.values()))
    for way, rate in rates.items():
        table.add_row(way, f"{rate:,.0f} ({rate / tutorial:.2f}x)")
    console.print(table)


def _measurements(
    checkpoint: Checkpoint, service: RunningService, seconds: float
) -> Iterator[tuple[Row, Callable[[], float]]]:
    yield (_TUTORIAL, 1), partial(tutorial_rate, checkpoint, round(200 * seconds))
    served = choose_precision("auto", CPU)
    threads = default_threads(served, CPU)
    for streams in _STREAMS:
        if _HAS_ONNX:
            yield (_ONNX, streams), partial(onnx_rate, checkpoint, streams, seconds)
        for precision, kernel in _ways():
            measure = partial(
                decoder_rate, checkpoint, precision, kernel, threads, streams, seconds
            )
            yield (f"decoder, {precision}, {kernel}", streams), measure
        if native_library.kernels():
            kernel = native_library.kernels()[0]
            measure = partial(limit_rate, checkpoint, kernel, threads, streams, seconds)
            yield (_LIMIT, streams), measure
    for streams in _STREAMS:
        length = _length(streams, seconds)
        yield (
            (f"engine, {served}", streams),
            partial(engine_rate, checkpoint, served, streams, length, threads),
        )
        yield ("service over HTTP", streams), partial(http_rate, service.port, streams, length)


def _length(streams: int, seconds: float) -> int:
    """Return the number of characters per stream that the native kernel generates in the time."""
    return round(seconds * min(40_000, 300_000 / streams))


def _ways() -> list[tuple[Precision, str]]:
    ways: list[tuple[Precision, str]] = [("fp32", TORCH)]
    if int8_is_available(torch.device(CPU)):
        ways.append(("int8", TORCH))
    return ways + [("int8", kernel) for kernel in native_library.kernels()[:1]]


def _print_rates(console: Console, rates: dict[Row, float]) -> None:
    table = Table("way", title="characters per second", title_justify="left")
    for streams in _STREAMS:
        table.add_column(f"{streams} stream{'s' * (streams > 1)}", justify="right")
    tutorial = rates[_TUTORIAL, 1]
    for way in dict.fromkeys(way for way, _ in rates):
        cells = [
            f"{rates[way, s]:,.0f} ({rates[way, s] / tutorial:.1f}x)" if (way, s) in rates else ""
            for s in _STREAMS
        ]
        table.add_row(way, *cells)
    engine = f"engine, {choose_precision('auto', CPU)}"
    shares = {"share of the engine's speed over HTTP": ("service over HTTP", engine)}
    if native_library.kernels():
        decoder = f"decoder, int8, {native_library.kernels()[0]}"
        shares["the decoder's share of the limit"] = (decoder, _LIMIT)
    for name, (part, whole) in shares.items():
        table.add_row(name, *(f"{rates[part, s] / rates[whole, s]:.0%}" for s in _STREAMS))
    console.print(table)


def _print_latencies(console: Console, service: RunningService) -> None:
    title = f"ms to the first character, prime of {len(_PRIME)} characters"
    table = Table("running", "p50", "p99", title=title, title_justify="left")
    for streams in _STREAMS:
        seconds = first_character_seconds(service.port, streams, _PRIME, _TRIES)
        quantiles = (seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)])
        table.add_row(
            f"{streams - 1} other streams", *(f"{value * 1000:.1f}" for value in quantiles)
        )
    console.print(table)


def _print_short_requests(
    console: Console, service: RunningService, rounds: int, seconds: float
) -> None:
    title = "requests of 20 characters per second (ms: p50, p99), and their share of bare FastAPI"
    table = Table("request", title=title, title_justify="left")
    for connections in _CONNECTIONS:
        table.add_column(f"{connections} connection{'s' * (connections > 1)}", justify="right")
    with running_bare_endpoint() as bare:
        for request in (GENERATE, SCORE):
            cells = []
            for connections in _CONNECTIONS:
                measured = [
                    [short_requests(port, request, connections, seconds) for port in ports]
                    for ports in [(service.port, bare)] * rounds
                ]
                ours, theirs = (
                    sorted(column, key=lambda answers: answers.rate)[rounds // 2]
                    for column in zip(*measured, strict=True)
                )
                cells.append(f"{ours} / {theirs.rate:,.0f} = {ours.rate / theirs.rate:.2f}")
            table.add_row(f"POST {request[0]}", *cells)
    console.print(table)


def _print_readers(console: Console, checkpoint: Path, seconds: float) -> None:
    """Print the rate of many readers in comparison with that of few long streams."""
    length = round(2000 * seconds)
    room = {"max_queue": _READERS, "max_connections": _READERS + 100, "max_length": length}
    with running_service(checkpoint, **room) as service:
        long = http_rate(service.port, 64, length)
        megabytes = resident_megabytes(service.port)
        read = many_readers(service.port, _READERS, _READ)
    kilobytes = 1024 * (service.peak_megabytes - megabytes) / _READERS
    console.print(
        f"{_READERS:,} readers of {_READ} characters at once: {read.rate:,.0f} characters per "
        f"second, {read.rate / long:.2f} of the {long:,.0f} of 64 streams of {length:,}; "
        f"first characters after up to {read.longest_wait:.1f} s; {kilobytes:.1f} KB each",
        highlight=False,
    )


def _machine() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = names[0].partition(": ")[2] if names else name
    capability = torch.backends.cpu.get_cpu_capability()
    kernel = ", ".join(native_library.kernels()[:1]) or "none"
    return (
        f"{name} ({capability}; native kernel: {kernel}), {os.cpu_count()} cores, "
        f"torch {torch.__version__}"
    )


def _model(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    return f"{config.layers} x {config.hidden_size}, {config.vocabulary_size} characters"


if __name__ == "__main__":
    main()
