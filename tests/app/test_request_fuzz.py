"""Combinations of the fields of requests: a short run of the fuzzer."""

from __future__ import annotations

import random

from tests.fuzz.requests import RequestFuzzer
from tests.server import RunningServer


def test_any_valid_fields_give_one_text_and_any_wrong_field_is_named(server: RunningServer) -> None:
    with server.client() as client:
        fuzzer = RequestFuzzer(client, random.Random(0))
        fuzzer.run(40)
    assert fuzzer.counts.results["200"] > 300
    assert not any("Traceback" in line for line in server.lines)
