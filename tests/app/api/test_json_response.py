"""JSON responses: what happens to a result whose client leaves or does not read."""

from __future__ import annotations

import asyncio
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
    lines = len(server.lines)
    with ExitStack() as clients:
        for _ in range(8):
            clients.enter_context(connected(server, request_of(path, LARGE[path])))
        wait_until(lambda: server.gauge("charstream_memory_leased_bytes") > 0)
    wait_until(lambda: sum(f"path={path} " in line for line in server.lines[lines:]) == 8)
    assert server.gauge("charstream_memory_leased_bytes") == 0


def test_the_texts_of_a_json_completion_are_limited_together(tiny_path: Path) -> None:
    fields = {"prompt": ["a", "b", "c"], "n": 4, "max_tokens": 100_000}
    with running_server(tiny_path) as server, server.client() as client:
        response = client.post("/v1/completions", json=fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "max_tokens"
    assert "got '12 texts, 1200000 characters'" in response.json()["error"]["message"]


@pytest.mark.parametrize("size", [5, 200_000])
async def test_a_response_has_the_content_and_its_length(size: int) -> None:
    received: list[Message] = []

    async def send(message: Message) -> None:
        received.append(message)

    await respond(size, send)
    start, part = received
    assert part["body"] == b'{"text":"%b"}' % (b"a" * size)
    assert (b"content-length", str(len(part["body"])).encode()) in start["headers"]


async def test_a_client_that_reads_too_slowly_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.api.json_response._SLOW_SECONDS", 0.5)
    monkeypatch.setattr("app.api.json_response._MIN_RATE", 1 << 30)

    room, closed = asyncio.Semaphore(1), asyncio.Event()

    async def send(message: Message) -> None:
        await room.acquire()

    await asyncio.wait_for(respond(640_000, send, closed), 20)
    assert closed.is_set()


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
