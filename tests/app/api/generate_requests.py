"""Requests to our own endpoints, and how a test reads the responses."""

from __future__ import annotations

from typing import Any

from tests.events import Event, parse_events
from tests.server import RunningServer

PARAMS: dict[str, Any] = {"prime": "abc", "length": 120, "top_k": 5, "seed": 7}


def ask(server: RunningServer, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """POST fields; return the body of the response, which must be a success."""
    with server.client() as client:
        response = client.post(path, json=fields)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def invalid_field(
    server: RunningServer, path: str, fields: dict[str, Any], method: str = "POST"
) -> dict[str, str]:
    """Send fields of which one is invalid, and return what the response says about it."""
    with server.client() as client:
        sent: dict[str, Any] = {"params" if method == "GET" else "json": fields}
        response = client.request(method, path, **sent)
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    return dict(error)


def post(server: RunningServer, **fields: Any) -> dict[str, Any]:
    """POST /generate with PARAMS and these fields; return the body of the response."""
    return ask(server, "/generate", {**PARAMS, **fields})


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
