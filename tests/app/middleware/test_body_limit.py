"""The size limit of request bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from app.errors import BodiesTooLargeError, BodyTooLargeError
from app.middleware.body_limit import ArrivingBodies, ReceivedBody, read_body
from tests.server import RunningServer, running_server
from tests.sockets import all_received, connected

LIMIT = 1000


class Body:
    """The parts of a body, as an ASGI server passes them on. Counts how many were received."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self.received = parts, 0

    async def receive(self) -> Message:
        part = next(self._parts, None)
        if part is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        self.received += 1
        return {"type": "http.request", "body": part, "more_body": True}


def read(body: Body, *lengths: str) -> bytes:
    """Read a body whose request has these Content-Length headers."""
    settings = SimpleNamespace(max_request_bytes=LIMIT)
    state = SimpleNamespace(settings=settings, arriving_bodies=ArrivingBodies())
    app = SimpleNamespace(state=state)
    headers = [(b"content-length", length.encode()) for length in lengths]
    scope = {"type": "http", "headers": headers, "app": app}
    return asyncio.run(read_body(Request(scope, body.receive))).take()


def endless(size: int) -> Iterator[bytes]:
    while True:
        yield b"a" * size


@given(st.lists(st.binary(max_size=400), max_size=8))
def test_a_body_is_read_whole_up_to_the_limit(parts: list[bytes]) -> None:
    body = Body(iter(parts))
    whole = b"".join(parts)
    if len(whole) <= LIMIT:
        assert read(body) == whole
    else:
        with pytest.raises(BodyTooLargeError, match="limit of 1000 bytes"):
            read(body)


def test_a_body_can_be_taken_once() -> None:
    body = ReceivedBody(b"{}")
    assert body.take() == b"{}"
    with pytest.raises(RuntimeError, match="taken before"):
        body.take()  # an empty body would count as an empty object


@pytest.mark.parametrize("length", ["1001", "9" * 30, "9" * 5000, "0" * 4300 + "1001"])
def test_a_body_announced_as_too_large_is_refused_before_it_is_read(length: str) -> None:
    body = Body(endless(10))
    with pytest.raises(BodyTooLargeError):
        read(body, length)
    assert body.received == 0


@pytest.mark.parametrize("size", [1, 10, 999, 1000, 1001, 10**6])
def test_an_endless_body_is_refused_as_soon_as_it_exceeds_the_limit(size: int) -> None:
    body = Body(endless(size))
    with pytest.raises(BodyTooLargeError):
        read(body)
    assert body.received == LIMIT // size + 1


@pytest.mark.parametrize("length", ["0" * 4300 + "2", "2", "1000", "", "two", "-5", "1e9"])
def test_the_announced_length_does_not_change_a_small_body(length: str) -> None:
    assert read(Body(iter([b"{", b"}"])), length) == b"{}"


def test_a_client_that_disconnects_ends_the_read() -> None:
    async def disconnect() -> Message:
        return {"type": "http.disconnect"}

    body = Body(endless(1))
    body.receive = disconnect  # type: ignore[method-assign]
    with pytest.raises(ClientDisconnect):
        read(body)


def test_a_server_refuses_a_chunked_body_that_does_not_end(server: RunningServer) -> None:
    head = b"POST /generate HTTP/1.1\r\nHost: charstream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    with connected(server, head + chunk * 22) as client:  # the limit is between 21 and 22 chunks
        response = all_received(client)
    assert response.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in response


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30_000)), max_size=30))
def test_large_bodies_together_stay_within_the_limit(parts: list[tuple[int, int]]) -> None:
    limit, small = 50_000, 16 << 10
    bodies, sizes = ArrivingBodies(limit), [0, 0, 0, 0]
    for index, more in parts:
        grown = [size + more * (number == index) for number, size in enumerate(sizes)]
        if sum(max(0, size - small) for size in grown) <= limit:
            bodies.add(sizes[index], more)
            sizes = grown
        else:
            with pytest.raises(BodiesTooLargeError):
                bodies.add(sizes[index], more)
    for size in sizes:
        bodies.release(size)
    bodies.add(0, limit + small)


def test_clients_with_small_requests_are_served_beside_many_large_ones(tiny_path: Path) -> None:
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 1200000\r\n\r\n"
    large = b" " * 1_190_000
    with running_server(tiny_path, max_prime="100000") as wide, ExitStack() as held:
        before = wide.gauge("process_resident_memory_bytes")
        connections = [held.enter_context(connected(wide, head + large)) for _ in range(80)]
        with wide.client() as client:
            assert client.post("/generate", json={"length": 1}).status_code == 200
        assert wide.gauge("process_resident_memory_bytes") - before < 150e6
        refused = all_received(connections[-1])
        assert b"503 Service Unavailable" in refused
        assert b"retry-after: 1\r\n" in refused
        assert b"too_many_bodies" in refused
