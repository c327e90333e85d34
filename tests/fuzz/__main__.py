"""Run one of the fuzzers for some time.

    python -m tests.fuzz connection     raw HTTP connections to a server
    python -m tests.fuzz checkpoints    damaged and forged checkpoints
    python -m tests.fuzz states         damaged states of training runs
    python -m tests.fuzz requests       combinations of the fields of requests

Each one ends with an error when it finds a fault, and prints counts of what it tried.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from tests.conftest import SHIPPED
from tests.fuzz import connection_model
from tests.fuzz.requests import RequestFuzzer
from tests.server import running_server

# The sizes of a round: connections, files, requests. Each round draws other examples.
_CONNECTIONS, _FILES, _REQUESTS = 50, 2000, 20

Running = tuple[Callable[[], object], object]  # what runs a round; what to print at the end


def main() -> None:
    """Run rounds of the fuzzer that the command line names until the time is over."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fuzzers: dict[str, Callable[[], AbstractContextManager[Running]]] = {
        "connection": _connection,
        "checkpoints": partial(_tests, "tests/model/checkpoints/test_checkpoint_fuzz.py"),
        "states": partial(_tests, "tests/training/test_state_file.py", "-k", "damage"),
        "requests": _requests,
    }
    parser.add_argument("fuzzer", choices=fuzzers)
    parser.add_argument("--minutes", type=float, default=120, help="default %(default)s")
    options = parser.parse_args()
    with fuzzers[options.fuzzer]() as (run_round, seen):
        end = time.monotonic() + 60 * options.minutes
        try:
            while time.monotonic() < end:
                run_round()
        finally:
            print(seen)


@contextmanager
def _connection() -> Iterator[Running]:
    with running_server(SHIPPED, threads="", **connection_model.SETTINGS) as server:
        machine = connection_model.machine(server)
        yield lambda: connection_model.run(machine, _CONNECTIONS), machine.seen


@contextmanager
def _tests(*arguments: str) -> Iterator[Running]:
    """Run tests that draw other examples each time. pytest counts and prints the results."""
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    environment = os.environ | {"CHARSTREAM_FUZZ_EXAMPLES": str(_FILES)}
    yield lambda: subprocess.run(command, env=environment, check=True), ""


@contextmanager
def _requests() -> Iterator[Running]:
    with running_server(SHIPPED, threads="") as server, server.client() as client:
        fuzzer = RequestFuzzer(client, random.Random())
        yield lambda: fuzzer.run(_REQUESTS), fuzzer.counts


if __name__ == "__main__":
    main()
