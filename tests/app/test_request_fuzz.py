"""Combinations of the fields of requests: a short run of the fuzzer."""

from __future__ import annotations

from benchmarks.fuzz.requests import fuzz_requests
from tests.server import RunningServer


def test_any_valid_fields_give_one_text_and_any_wrong_field_is_named(server: RunningServer) -> None:
    with server.client() as client:
        counts = fuzz_requests(client, 40)
    assert not counts.wrong, "\n".join(counts.wrong)
    assert counts.statuses[200] > 300
    assert not any("Traceback" in line for line in server.lines)
