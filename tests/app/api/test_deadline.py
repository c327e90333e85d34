"""Generations that take longer than the operator allows."""

from __future__ import annotations

from pathlib import Path

from tests.events import parse_events
from tests.server import running_server


def test_a_generation_that_takes_too_long_ends_in_an_error(tiny_path: Path) -> None:
    params = {"length": 1_000_000}
    limits = {"deadline_seconds": "0.3", "max_length": "1000000"}
    with running_server(tiny_path, **limits) as server, server.client() as client:
        whole = client.post("/generate", json=params)
        assert whole.status_code == 504
        assert whole.json()["code"] == "deadline_exceeded"
        with client.stream("GET", "/generate", params=params) as stream:
            events = list(parse_events(stream.iter_lines()))
        assert events[-1].name == "error"
        assert events[-1].data["code"] == "deadline_exceeded"
        assert len(events) > 10
        assert server.gauge("charstream_texts_total", reason="error") == 2
