"""Run one of the fuzzers for a given time or number of tries.

    python -m benchmarks.fuzz connection --minutes 120    raw HTTP connections to a server
    python -m benchmarks.fuzz checkpoints --minutes 120   damaged and forged checkpoints
    python -m benchmarks.fuzz states --minutes 120        damaged states of training runs
    python -m benchmarks.fuzz resumes --count 100000      resumed streams and event ids
    python -m benchmarks.fuzz requests --count 10000      combinations of the fields of requests

Each one ends with an error when it finds a fault, and prints counts of what it tried.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

from benchmarks.fuzz import connection_model
from benchmarks.fuzz.checkpoints import fuzz_checkpoints
from benchmarks.fuzz.requests import fuzz_requests
from benchmarks.fuzz.resumes import described, fuzz_resumes
from benchmarks.http_rate import running_service
from benchmarks.traffic import resident_megabytes

_EXAMPLES = 50  # connections of one round; each round makes new random choices
_STATES = 20_000  # states of one round
_SHIPPED = Path("checkpoints/anna.safetensors")


def main() -> None:
    """Run the fuzzer that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(required=True)
    for name, run in (
        ("connection", _fuzz_connections),
        ("checkpoints", _fuzz_checkpoints),
        ("states", _fuzz_states),
    ):
        kind = kinds.add_parser(name)
        kind.add_argument(
            "--minutes", type=float, default=120, help="duration (default %(default)s)"
        )
        kind.set_defaults(run=run)
    for name, run, count in (
        ("resumes", _fuzz_resumes, 100_000),
        ("requests", _fuzz_requests, 10_000),
    ):
        kind = kinds.add_parser(name)
        kind.add_argument(
            "--count", type=int, default=count, help=f"number of {name} (default %(default)s)"
        )
        kind.set_defaults(run=run)
    options = parser.parse_args()
    options.run(options)


def _fuzz_connections(options: argparse.Namespace) -> None:
    end = time.monotonic() + 60 * options.minutes
    with running_service(_SHIPPED, **connection_model.SETTINGS) as service:
        machine = connection_model.machine(service.port)
        try:
            while time.monotonic() < end:
                connection_model.run(machine, _EXAMPLES)
        finally:
            print(_described(machine.seen))
            print(f"resident memory at the end: {resident_megabytes(service.port):.0f} MB")


def _described(seen: connection_model.Seen) -> str:
    seconds = sorted(seen.seconds) or [math.nan]
    middle, late = (seconds[int(len(seconds) * part)] for part in (0.5, 0.99))
    requests = ", ".join(f"{name} {count:,}" for name, count in seen.requests.most_common())
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(seen.statuses.items()))
    return (
        f"{seen.examples:,} connections, {seen.requests.total():,} requests: {requests}\n"
        f"responses by status: {statuses}\n"
        f"{len(seen.seconds):,} requests of another client: median {1000 * middle:.1f} ms, "
        f"99th percentile {1000 * late:.1f} ms, longest {1000 * seconds[-1]:.1f} ms\n"
        f"resident memory: {seen.before_megabytes:.0f} MB before, {seen.peak_megabytes:.0f} MB at "
        "most"
    )


def _fuzz_checkpoints(options: argparse.Namespace) -> None:
    counts = fuzz_checkpoints(60 * options.minutes)
    print(", ".join(f"{name}: {count:,}" for name, count in counts.most_common()))


def _fuzz_states(options: argparse.Namespace) -> None:
    end, states = time.monotonic() + 60 * options.minutes, 0
    tests = "tests/training/test_state_file.py"
    command = [sys.executable, "-m", "pytest", "-q", tests, "-k", "damage"]
    environment = {**os.environ, "CHARSTREAM_FUZZ_EXAMPLES": str(_STATES)}
    while time.monotonic() < end:
        subprocess.run(command, env=environment, check=True)
        states += _STATES
    print(f"states: {states:,} damaged, and as many with the digest of their damaged content")


def _fuzz_resumes(options: argparse.Namespace) -> None:
    logging.disable(logging.INFO)
    counts = asyncio.run(fuzz_resumes(_SHIPPED, options.count))
    print(described(counts))
    if counts.wrong:
        sys.exit(1)


def _fuzz_requests(options: argparse.Namespace) -> None:
    with (
        running_service(_SHIPPED) as service,
        httpx.Client(base_url=f"http://127.0.0.1:{service.port}", trust_env=False) as client,
    ):
        counts = fuzz_requests(client, options.count)
    statuses = ", ".join(f"{status}: {n:,}" for status, n in sorted(counts.statuses.items()))
    print(f"{counts.valid:,} valid requests in all forms, {counts.invalid:,} invalid ones")
    print(f"responses by status: {statuses}\nwrong: {len(counts.wrong):,}")
    if counts.wrong:
        sys.exit("\n".join(counts.wrong[:10]))


if __name__ == "__main__":
    main()
