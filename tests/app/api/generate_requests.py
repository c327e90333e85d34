"""Requests to /generate, and how a test reads the responses."""

from __future__ import annotations

from typing import Any

from tests.events import Event, parse_events
from tests.server import RunningServer

PARAMS: dict[str, Any] = {"prime": "abc", "length": 120, "top_k": 5, "seed": 7}


def post(server: RunningServer, **fields: Any) -> dict[str, Any]:
    """POST /generate with PARAMS and these fields; return the body of the response."""
    with server.client() as client:
        response = client.post("/generate", json={**PARAMS, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def stream(server: RunningServer, last_event_id: str | None = None, **fields: Any) -> list[Event]:
    """GET /generate with PARAMS and these fields; return the events of the stream."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    with (
        server.client() as client,
        client.stream("GET", "/generate", params={**PARAMS, **fields}, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(parse_events(response.iter_lines()))
