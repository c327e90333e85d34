"""Run one of the fuzzers for some time.

    python -m tests.fuzz connection     raw HTTP connections to a server
    python -m tests.fuzz checkpoints    damaged and forged checkpoints
    python -m tests.fuzz states         damaged states of training runs
    python -m tests.fuzz resumes        resumed streams and event ids
    python -m tests.fuzz requests       combinations of the fields of requests

Each one ends with an error when it finds a fault, and prints counts of what it tried.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.conftest import SHIPPED
from tests.fuzz import connection_model
from tests.fuzz.checkpoints import CheckpointFuzzer
from tests.fuzz.counts import Counts
from tests.fuzz.requests import RequestFuzzer
from tests.fuzz.resumes import fuzz_resumes
from tests.server import running_server

# The sizes of a round: connections, states, resumes, requests. Each round draws other examples.
_CONNECTIONS, _STATES, _RESUMES, _REQUESTS = 50, 2000, 1000, 20

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
        "checkpoints": _checkpoints,
        "states": _states,
        "resumes": _resumes,
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
def _checkpoints() -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = CheckpointFuzzer(Path(folder))
        yield fuzzer.run_round, fuzzer.counts


@contextmanager
def _states() -> Iterator[Running]:
    counts = Counts()
    command = [sys.executable, "-m", "pytest", "-q", "tests/training/test_state_file.py"]

    def run_round() -> None:
        environment = os.environ | {"CHARSTREAM_FUZZ_EXAMPLES": str(_STATES)}
        subprocess.run([*command, "-k", "damage"], env=environment, check=True)
        counts.tries["damaged states, with and without the right digest"] += 2 * _STATES

    yield run_round, counts


@contextmanager
def _resumes() -> Iterator[Running]:
    logging.disable(logging.INFO)
    counts = Counts()
    yield lambda: asyncio.run(fuzz_resumes(SHIPPED, _RESUMES, random.Random(), counts)), counts


@contextmanager
def _requests() -> Iterator[Running]:
    with running_server(SHIPPED, threads="") as server, server.client() as client:
        fuzzer = RequestFuzzer(client, random.Random())
        yield lambda: fuzzer.run(_REQUESTS), fuzzer.counts


if __name__ == "__main__":
    main()
