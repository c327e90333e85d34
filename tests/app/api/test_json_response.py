"""JSON responses: what happens to a result whose client leaves or does not read."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message

from app.api.disconnect import CLOSE_EXTENSION
from app.api.json_response import json_response
from tests.app.middleware.test_memory_budget import request_of
from tests.fuzz.responses import read_responses
from tests.server import RunningServer, running_server
from tests.sockets import connected
from tests.waiting import wait_until

TEXT = "(a b)\nB ab 'c'\n" * 100
LARGE: dict[str, dict[str, Any]] = {
    "/generate": {"length": 2000, "logprobs": 10},
    "/score": {"text": TEXT, "logprobs": 10},
    "/cells": {"text": TEXT, "cells": [{"layer": 0, "cell": 1}] * 40},
    "/v1/completions": {"max_tokens": 2000, "logprobs": 10},
}


@pytest.mark.parametrize("path", LARGE)
def test_clients_that_leave_keep_no_memory(path: str, server: RunningServer) -> None:
    headers = {"X-Request-ID": f"leaves{path.replace('/', '-')}"}
    request = request_of(path, LARGE[path], **headers)
    with ExitStack() as clients:
        for _ in range(8):
            clients.enter_context(connected(server, request))
        wait_until(lambda: server.gauge("charstream_memory_leased_bytes") > 0)
    wait_until(lambda: sum(headers["X-Request-ID"] in line for line in server.lines) == 8)
    wait_until(lambda: server.gauge("charstream_memory_leased_bytes") == 0)


def test_the_texts_of_a_json_completion_are_limited_together(tiny_path: Path) -> None:
    fields = {"prompt": ["a", "b", "c"], "n": 4, "max_tokens": 100_000}
    with running_server(tiny_path) as server, server.client() as client:
        response = client.post("/v1/completions", json=fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "max_tokens"
    assert "got '12 texts, 1200000 characters'" in response.json()["error"]["message"]


@pytest.mark.parametrize("size", [5, 200_000, 10 * (64 << 10)])
async def test_a_body_is_sent_in_parts_that_a_connection_buffers(size: int) -> None:
    received: list[Message] = []

    async def send(message: Message) -> None:
        received.append(message)

    await respond(size, send)
    start, *parts = received
    whole = b"".join(part["body"] for part in parts)
    assert whole == b'{"text":"%b"}' % (b"a" * size)
    assert (b"content-length", str(len(whole)).encode()) in start["headers"]
    assert max(len(part["body"]) for part in parts) <= 64 << 10
    assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]


async def test_a_client_that_reads_too_slowly_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.api.json_response._SLOW_SECONDS", 0.5)
    monkeypatch.setattr("app.api.json_response._MIN_RATE", 1 << 30)

    room, closed = asyncio.Semaphore(3), asyncio.Event()

    async def send(message: Message) -> None:
        await room.acquire()

    await asyncio.wait_for(respond(640_000, send, closed), 20)
    assert closed.is_set()


def test_a_client_that_reads_slowly_but_steadily_gets_everything(tiny_path: Path) -> None:
    """It needs several times as long as a client may read nothing."""
    request = request_of("/cells", {"text": "a b" * 2500, "cells": [{"layer": 0, "cell": 1}] * 40})
    received = b""
    with (
        running_server(tiny_path, stall_seconds="2") as server,
        connected(server, request, receive_buffer=1 << 14) as client,
    ):
        began = time.monotonic()
        while not received.endswith(b"}}") and (data := client.recv(40_000)):
            received += data
            time.sleep(0.05)
    assert time.monotonic() - began > 4
    (response,) = read_responses(received, [], closed=False)
    assert response.complete


async def respond(size: int, send: Any, closed: asyncio.Event | None = None) -> None:
    """Send a response with a text of `size` characters."""
    closed = closed or asyncio.Event()

    async def receive() -> Message:
        await closed.wait()
        return {"type": "http.disconnect"}

    app = SimpleNamespace(state=SimpleNamespace(encoder=None))
    extensions = {CLOSE_EXTENSION: closed.set}
    scope: dict[str, Any] = {"type": "http", "headers": [], "app": app, "extensions": extensions}
    response = await json_response(Request(scope), size, lambda: {"text": "a" * size})
    await response(scope, receive, send)
