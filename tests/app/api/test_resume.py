"""Resume a stream after the last event that the client received."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.api.generate_requests import PARAMS, post, stream
from tests.events import parse_events
from tests.server import RunningServer


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(1, 119))
def test_a_resumed_stream_continues_after_the_last_event_received(
    server: RunningServer, cut: int
) -> None:
    stream(server)  # puts the prime into the prefix cache, so that all later streams find it there
    whole = stream(server)
    with (
        server.client() as client,
        client.stream(
            "GET",
            "/generate",
            params={"prime": "abc", "length": 120},
            headers={"Last-Event-ID": f"7-{cut}"},
        ) as response,
    ):
        rest = list(parse_events(response.iter_lines()))
    assert [(e.id, e.data) for e in rest[:-1]] == [(e.id, e.data) for e in whole[cut:-1]]
    assert rest[-1].data["usage"] == whole[-1].data["usage"]


def test_a_finished_stream_cannot_be_resumed(server: RunningServer) -> None:
    text = post(server)["text"]
    stopped = text[: text.index(text[100:103])]
    with server.client() as client:
        for position in (120, 121, 10**17):
            headers = {"Last-Event-ID": f"7-{position}"}
            assert client.get("/generate", params=PARAMS, headers=headers).status_code == 204
        response = client.get(
            "/generate",
            params={**PARAMS, "stop": text[100:103]},
            headers={"Last-Event-ID": f"7-{len(stopped)}"},
        )
        assert response.status_code == 204


@pytest.mark.parametrize(
    "event_id",
    [
        "7",
        "-5",
        "7-",
        "xyz-5",
        "7-5-3",
        "7-٣",
        "7--1",
        "A-1",
        "7-0",
        "7-05",
        "07-5",
        "ffffffffffffffff-5",
        "7-" + "9" * 30,
    ],
)
def test_a_malformed_event_id_is_refused(server: RunningServer, event_id: str) -> None:
    with server.client() as client:
        headers = [(b"Last-Event-ID", event_id.encode())]
        response = client.get("/generate", params=PARAMS, headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"].startswith("Last-Event-ID: ")


def test_an_invalid_request_is_refused_even_after_the_last_character(server: RunningServer) -> None:
    with server.client() as client:
        for fields in ({"seed": 8}, {"prime": "Ж"}, {"length": 5001}):
            response = client.get(
                "/generate", params={**PARAMS, **fields}, headers={"Last-Event-ID": "7-9999"}
            )
            assert response.status_code == 422
