"""JSON responses: what happens to their results when clients leave, do not read, or are many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message, Receive, Scope, Send

from app.api.closing import CLOSE_EXTENSION
from app.api.json_response import json_response, reserve_memory
from app.api.response_budget import SMALL, ResponseBudget
from app.engine.metrics import Metrics
from app.errors import TooManyResultsError
from app.middleware.request_log import RequestLog
from tests.server import RunningServer, running_server
from tests.sockets import all_received, connected
from tests.waiting import wait_until

TEXT = "(a b)\nB ab 'c'\n" * 1300
LARGE: dict[str, dict[str, Any]] = {  # encoding each of them takes tenths of a second
    "/generate": {"length": 20_000, "logprobs": 10},
    "/score": {"text": TEXT[:19_900], "logprobs": 10},
    "/cells": {"text": TEXT, "cells": [{"layer": 0, "cell": 1}] * 40},
    "/v1/completions": {"max_tokens": 20_000, "logprobs": 10},
}
# Their results may take almost all of the budget.
ENDLESS = [{"length": 10_000_000}, {"length": 1_900_000}]


def request_of(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def texts_ended(server: RunningServer) -> float:
    return server.gauge("charstream_texts_total", reason="length")


@pytest.fixture(scope="module")
def wide(tiny_path: Path) -> Iterator[RunningServer]:
    with running_server(tiny_path, max_length="10000000") as running:
        yield running


@pytest.mark.parametrize("path", LARGE)
def test_a_client_that_leaves_ends_its_encoding(path: str, wide: RunningServer) -> None:
    before, lines = texts_ended(wide), len(wide.lines)
    with ExitStack() as clients:
        for _ in range(8):
            clients.enter_context(connected(wide, request_of(path, LARGE[path])))
        wait_until(lambda: texts_ended(wide) == before + 8)
    wait_until(lambda: sum(f"path={path} " in line for line in wide.lines[lines:]) == 8)
    statuses = [line for line in wide.lines[lines:] if f"path={path} status=499" in line]
    assert statuses, "the first ones may have been sent, but not all of them"


def test_large_results_are_refused_beside_others_and_small_ones_are_not(
    wide: RunningServer,
) -> None:
    with wide.client() as client:
        with ExitStack() as others:
            for fields in ENDLESS:
                others.enter_context(connected(wide, request_of("/generate", fields)))
            wait_until(lambda: wide.gauge("charstream_streams_active") == 2)
            responses = [client.post(path, json=LARGE[path]) for path in LARGE]
            responses += [client.post("/generate", json=ENDLESS[0])]
            assert client.post("/generate", json={"length": 1000}).status_code == 200
        assert [response.status_code for response in responses] == [503] * 5
        assert {response.headers["Retry-After"] for response in responses} == {"5"}
        assert "too_many_results" in responses[0].text
        wait_until(lambda: client.post("/score", json=LARGE["/score"]).status_code == 200)


def test_the_texts_of_a_json_completion_are_limited_together(wide: RunningServer) -> None:
    fields = {"prompt": ["a", "b", "c"], "n": 106, "max_tokens": 100_000}
    with wide.client() as client:
        response = client.post("/v1/completions", json=fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "max_tokens"
    assert "got '318 texts, 31800000 characters'" in response.json()["error"]["message"]


def test_results_that_are_not_encoded_when_the_drain_time_ends_get_503(tiny_path: Path) -> None:
    with running_server(tiny_path, drain_seconds="0.1") as ending, ExitStack() as stack:
        sent = request_of("/score", LARGE["/score"])
        clients = [stack.enter_context(connected(ending, sent)) for _ in range(8)]
        wait_until(lambda: texts_ended(ending) == 8)
        ending.process.terminate()
        responses = [all_received(client) for client in clients]
        assert ending.process.wait(20) == 0
        assert not any("Traceback" in line or "status=0" in line for line in ending.lines)
    assert {response[:12] for response in responses} <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    assert any(b'"code":"draining"' in response for response in responses)


class OneResponse:
    """A response with a large result, whose messages the connection accepts one by one.

    Attributes:
        size: the largest size of the result in bytes. It is the limit of all results.
        total: its size.
        budget: what counts it.
        received: what the connection has accepted of it.
        room: the messages that the connection accepts.
        closed: set when the connection is closed.
    """

    def __init__(self) -> None:
        self.size = 10 * SMALL
        self._content = {"text": "a" * (self.size - 100)}
        self.total = len(json.dumps(self._content, separators=(",", ":")))
        self.budget = ResponseBudget(self.size)
        self.received = bytearray()
        self.room = asyncio.Semaphore(3)
        self.closed = asyncio.Event()

    async def send(self) -> None:
        """Send the response."""
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [],
            "app": SimpleNamespace(state=SimpleNamespace(response_budget=self.budget)),
            "extensions": {CLOSE_EXTENSION: self.closed.set},
        }
        await RequestLog(self._app, Metrics())(scope, self._receive, self._accept)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        held = reserve_memory(request, self.size)
        response = await json_response(request, held, self._read(), [])
        await response(scope, receive, send)

    async def _read(self) -> dict[str, Any]:
        return self._content

    async def _receive(self) -> Message:
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def _accept(self, message: Message) -> None:
        await self.room.acquire()
        self.received.extend(message.get("body", b""))


def test_a_result_counts_with_what_its_client_has_not_read() -> None:
    async def scenario() -> None:
        response = OneResponse()
        sending = asyncio.create_task(response.send())
        while len(response.received) < 2 * SMALL:
            await asyncio.sleep(0.001)
        with pytest.raises(TooManyResultsError):
            response.budget.reserve(response.size)
        while len(response.received) < response.total:
            await asyncio.sleep(0)
            unread = response.total - len(response.received)
            assert response.budget._reserved == max(0, unread - SMALL)
            response.room.release()
            await asyncio.sleep(0)
        await sending
        assert json.loads(response.received) == {"text": "a" * (response.size - 100)}
        response.budget.reserve(response.size)

    asyncio.run(scenario())


def test_a_client_that_reads_too_slowly_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.json_response._SLOW_SECONDS", 0.5)
    monkeypatch.setattr("app.api.json_response._MIN_RATE", 1 << 30)

    async def scenario() -> None:
        response = OneResponse()
        await asyncio.wait_for(response.send(), 20)
        assert response.closed.is_set()
        assert len(response.received) == 2 * SMALL
        response.budget.reserve(response.size)

    asyncio.run(scenario())
