"""Parsing: what a body may hold, and what it costs to refuse one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message

from app.api.errors import InvalidFieldsError
from app.api.parsing import max_body_bytes, parse_body, read_request
from app.api.schemas import GenerateRequest
from app.errors import BodyTooLargeError
from app.openai.request import CompletionRequest
from app.settings import Settings
from tests.http_request import http_request
from tests.server import RunningServer
from tests.sockets import all_received, connected

LARGE = {
    "unknown keys": {f"k{n}": 1 for n in range(100_000)},
    "prompts": {"prompt": [[1]] * 250_000},
    "stop strings": {"stop": ["a"] * 250_000},
    "biases": {"logit_bias": {str(n): 1 for n in range(100_000)}},
    "a nested list": {"metadata": {"x": [[1]] * 250_000}},
    "a nested object": {"length": [{"a": 1}] * 200_000},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_body_with_very_many_parts_is_refused_quickly(name: str) -> None:
    body = json.dumps(LARGE[name]).encode()
    began = time.process_time()
    with pytest.raises(InvalidFieldsError):
        parse_body(CompletionRequest, body, 100_000)
    assert time.process_time() - began < 1, "about 0.03 s on an idle machine"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_brackets_commas_and_colons_in_a_prime_are_not_counted(prime: str) -> None:
    prime = prime + '[{",:\\"]' * 5000
    body = json.dumps({"prime": prime}).encode()
    assert parse_body(GenerateRequest, body).prime == prime


def test_brackets_that_do_not_match_are_malformed() -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        parse_body(GenerateRequest, b"[" * 80_000)
    assert caught.value.errors()[0]["type"] == "json_invalid"


@pytest.mark.parametrize("start", [b'{"prime":"', b'"', b'[["'])
def test_a_string_without_an_end_is_refused_in_linear_time(start: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InvalidFieldsError):
        parse_body(GenerateRequest, start + b'\\"' * 500_000)
    assert time.process_time() - began < 2, "about 0.02 s on an idle machine, hours if quadratic"


def test_of_many_unknown_fields_the_rest_is_counted() -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        parse_body(GenerateRequest, json.dumps({f"x{n}": 1 for n in range(5000)}).encode())
    assert len(caught.value.errors()) + caught.value.left_out == 5000


LIMIT = max_body_bytes(10)


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


def read(body: Body, *lengths: str) -> GenerateRequest:
    """Read a body whose request has these Content-Length headers."""
    app = SimpleNamespace(state=SimpleNamespace(settings=Settings(max_prime=10)))
    headers = [(b"content-length", length.encode()) for length in lengths]
    request = http_request(body.receive, headers=headers, app=app)
    return asyncio.run(read_request(request, GenerateRequest))


def endless(size: int) -> Iterator[bytes]:
    while True:
        yield b" " * size


@given(st.lists(st.integers(0, 30_000), max_size=8))
def test_a_body_is_read_whole_up_to_the_limit(sizes: list[int]) -> None:
    parts = [b'{"length": 7', *(b" " * size for size in sizes), b"}"]
    body = Body(iter(parts))
    if sum(map(len, parts)) <= LIMIT:
        assert read(body).length == 7
    else:
        with pytest.raises(BodyTooLargeError, match=f"limit of {LIMIT} bytes"):
            read(body)


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 30, "9" * 5000, "0" * 4300 + "99999"])
def test_a_body_announced_as_too_large_is_refused_before_it_is_read(length: str) -> None:
    body = Body(endless(10))
    with pytest.raises(BodyTooLargeError):
        read(body, length)
    assert body.received == 0


@pytest.mark.parametrize("size", [999, 1000, LIMIT, 10**6])
def test_an_endless_body_is_refused_as_soon_as_it_exceeds_the_limit(size: int) -> None:
    body = Body(endless(size))
    with pytest.raises(BodyTooLargeError):
        read(body)
    assert body.received == LIMIT // size + 1


@pytest.mark.parametrize("length", ["0" * 4300 + "2", "2", "1000", "", "two", "-5", "1e9"])
def test_the_announced_length_does_not_change_a_small_body(length: str) -> None:
    assert read(Body(iter([b"{", b"}"])), length) == GenerateRequest()


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
