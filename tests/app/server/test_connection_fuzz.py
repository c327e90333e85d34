"""Clients on raw connections, in any order and any pieces: a short run of the fuzzer."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.connection_model import SETTINGS, machine, run
from tests.server import running_server


def test_any_clients_get_the_responses_to_their_requests(tiny_path: Path) -> None:
    with running_server(tiny_path, **SETTINGS) as server:
        fuzzed = machine(server)
        run(fuzzed, examples=20, steps=20, repeatable=True)
    results = fuzzed.seen.counts.results
    assert results["200"] > 20
    assert results["400"] > 0
    assert results["431"] > 0
