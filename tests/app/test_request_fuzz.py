"""Combinations of the fields of requests: a short run of the fuzzer."""

from __future__ import annotations

import random

from tests.fuzz.counts import Counts
from tests.fuzz.requests import fuzz_requests
from tests.server import RunningServer


def test_any_valid_fields_give_one_text_and_any_wrong_field_is_named(server: RunningServer) -> None:
    counts = Counts()
    with server.client() as client:
        fuzz_requests(client, 40, random.Random(0), counts)
    assert counts.results["200"] > 300
    assert not any("Traceback" in line for line in server.lines)
