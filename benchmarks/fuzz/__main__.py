"""Fuzzers that run for as long as they are asked to.

python -m benchmarks.fuzz connection --minutes 120
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from benchmarks.fuzz import connection_model
from benchmarks.http_rate import running_service

_EXAMPLES = 50  # of one run; each run has new random choices


def main() -> None:
    """Ends with an error as soon as a fuzzer finds something."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    kinds = parser.add_subparsers(required=True)
    connection = kinds.add_parser("connection", help="raw HTTP connections to a server")
    connection.add_argument("--checkpoint", type=Path, default=Path("checkpoints/anna.safetensors"))
    connection.add_argument("--minutes", type=float, default=120)
    connection.set_defaults(run=_fuzz_connections)
    options = parser.parse_args()
    options.run(options)


def _fuzz_connections(options: argparse.Namespace) -> None:
    ended = time.monotonic() + 60 * options.minutes
    settings = {k: v for k, v in connection_model.SETTINGS.items() if k != "max_streams"}
    with running_service(options.checkpoint, 8, None, **settings) as service:
        machine = connection_model.machine(service.port, service.pid)
        try:
            while time.monotonic() < ended:
                connection_model.run(machine, _EXAMPLES)
        finally:
            print(_described(machine.seen))
            print(f"resident at the end: {service.resident_megabytes():.0f} MB")


def _described(seen: connection_model.Seen) -> str:
    seconds = sorted(seen.seconds) or [math.nan]
    middle, late = (seconds[int(len(seconds) * part)] for part in (0.5, 0.99))
    requests = ", ".join(f"{name} {count:,}" for name, count in seen.requests.most_common())
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(seen.statuses.items()))
    return (
        f"{seen.examples:,} examples, {seen.requests.total():,} requests: {requests}\n"
        f"responses by status: {statuses}\n"
        f"another client's request, {len(seen.seconds):,} times: median {1000 * middle:.1f} ms, "
        f"99th percentile {1000 * late:.1f} ms, longest {1000 * seconds[-1]:.1f} ms\n"
        f"resident: {seen.before_megabytes:.0f} MB before, {seen.peak_megabytes:.0f} MB at most"
    )


if __name__ == "__main__":
    main()
