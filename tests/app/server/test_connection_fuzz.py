"""Clients on raw connections, in any order and any pieces: a short run of the fuzzer."""

from __future__ import annotations

from pathlib import Path

from benchmarks.fuzz.connection_model import SETTINGS, machine, run
from tests.server import running_server


def test_any_clients_get_the_responses_to_their_requests(tiny_path: Path) -> None:
    with running_server(tiny_path, **SETTINGS) as server:
        fuzzed = machine(int(server.url.rpartition(":")[2]))
        run(fuzzed, examples=30, steps=20, repeatable=True)
        assert not any("Traceback" in line for line in server.lines)
    assert fuzzed.seen.statuses[200] > 50
    assert fuzzed.seen.statuses[400] > 0
    assert fuzzed.seen.statuses[431] > 0
