"""A response that no charstream server sends raises a CharstreamError, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.charstream_client import (
    APIStatusError,
    AsyncClient,
    CharstreamError,
    Client,
    InvalidRequestError,
)

DEEP = "[" * 100_000
ERRORS: list[Any] = [5, [1], "abc", {"field": "texts[0]"}, [{}], [[]]]


async def characters(client: AsyncClient) -> list[Any]:
    return [event async for event in client.stream(length=8)]


CALLS: dict[str, tuple[Callable[[Client], Any], Callable[[AsyncClient], Any]]] = {
    "generate": (Client.generate, AsyncClient.generate),
    "stream": (lambda client: list(client.stream(length=8)), characters),
    "score": (lambda client: client.score("a"), lambda client: client.score("a")),
    "score_many": (lambda client: client.score_many("a"), lambda client: client.score_many("a")),
    "suggest": (lambda client: client.suggest("a"), lambda client: client.suggest("a")),
    "cells": (
        lambda client: client.cells("a", find="quotes"),
        lambda client: client.cells("a", find="quotes"),
    ),
    "info": (Client.info, AsyncClient.info),
    "models": (Client.models, AsyncClient.models),
}


def both(call: str, response: Callable[[], httpx.Response]) -> list[Any]:
    """Return what the call returns, or the CharstreamError that it raises, in both clients."""
    synchronous, asynchronous = CALLS[call]
    transport = httpx.MockTransport(lambda request: response())
    results: list[Any] = []
    with Client(transport=transport, max_retries=0) as client:
        try:
            results.append(synchronous(client))
        except CharstreamError as error:
            results.append(error)

    async def scenario() -> Any:
        async with AsyncClient(transport=transport, max_retries=0) as client:
            return await asynchronous(client)

    try:
        results.append(asyncio.run(scenario()))
    except CharstreamError as error:
        results.append(error)
    return results


@pytest.mark.parametrize(
    ("call", "body", "message"),
    [
        ("generate", "<h1>Welcome</h1>", "JSONDecodeError"),
        ("generate", DEEP, "RecursionError"),
        ("info", "[]", "expected a JSON object, got list"),
        ("models", "[]", "TypeError"),
        ("models", "{}", "KeyError: 'models'"),
        ("models", '{"models": {}}', "models: expected a list, got dict"),
        ("score_many", "[]", "TypeError"),
        ("score_many", "{}", "KeyError: 'scores'"),
        ("score_many", '{"scores": [{}, {}]}', "scores: expected 1 items, got 2"),
        ("stream", "data: {\n\n", "JSONDecodeError"),
        ("stream", "data\n\n", "JSONDecodeError"),
        ("stream", f"data: {DEEP}\n\n", "RecursionError"),
        ("stream", "data: []\n\n", "expected a JSON object, got list"),
        ("stream", "data: {}\n\n", "KeyError: 'token'"),
        ("stream", 'data: {"token": 1}\n\n', "token: expected a string, got int"),
        ("stream", 'data: {"token": "a"}\n\n', "expected an event with an id such as 7-1, got ''"),
        ("stream", 'id: 7-9\ndata: {"token": "a"}\n\n', "expected at most 8 characters, got '7-9'"),
        ("stream", 'id: 7-\ndata: {"token": "a"}\n\n', "got '7-'"),
        ("stream", f": {'a' * 1_048_576}\n\n", "an event has more than 1,048,576 characters"),
        ("stream", "data: a\n" * 150_000, "an event has more than 1,048,576 characters"),
        ("stream", "event: done\ndata: 1\n\n", "expected a JSON object, got int"),
        ("stream", "event: error\ndata: []\n\n", "expected a JSON object, got list"),
        ("stream", 'event: error\ndata: {"detail": ""}\n\n', "KeyError: 'code'"),
        (
            "stream",
            'event: error\ndata: {"detail": [], "code": ""}\n\n',
            "detail: expected a string",
        ),
    ],
)
def test_its_address_and_its_fault_are_named(call: str, body: str, message: str) -> None:
    paths = {"stream": "generate", "score_many": "score"}
    for error in both(call, lambda: httpx.Response(200, text=body)):
        assert isinstance(error, CharstreamError)
        assert f"http://127.0.0.1:8000/{paths.get(call, call)} does not follow" in error.detail
        assert message in error.detail


class LongBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of 200 MiB that counts how many of them are read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for self.read in range(1, 201):
            yield bytes(1 << 20)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


def fault(error: Any) -> str:
    """The fault of a body. With a status that is no success, it is the cause of its error."""
    if isinstance(error, APIStatusError):
        assert error.code == "http_error"
        error = error.__cause__
    assert isinstance(error, CharstreamError)
    return error.detail


@pytest.mark.parametrize(
    ("call", "status"),
    [("generate", 200), ("generate", 502), ("score_many", 200), ("models", 200), ("stream", 503)],
)
def test_a_body_without_an_end_is_not_kept(call: str, status: int) -> None:
    streams: list[LongBody] = []

    def respond() -> httpx.Response:
        streams.append(LongBody())
        return httpx.Response(status, stream=streams[-1])

    for error in both(call, respond):
        assert error.status_code == (None if status == 200 else status)
        assert "the body has more than 67,108,864 bytes" in fault(error)
    assert [stream.read for stream in streams] == [65, 65]


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate,GZIP", "utf-8, br", "zstd"])
@pytest.mark.parametrize(
    ("call", "status"), [("generate", 200), ("generate", 502), ("stream", 200), ("stream", 503)]
)
def test_a_body_that_may_expand_without_a_limit_is_not_read(
    call: str, status: int, encoding: str
) -> None:
    """64 KiB that are compressed twice could expand to 64 GiB."""
    streams: list[LongBody] = []

    def respond() -> httpx.Response:
        streams.append(LongBody())
        headers = {"Content-Encoding": encoding}
        return httpx.Response(status, headers=headers, stream=streams[-1])

    for error in both(call, respond):
        assert error.status_code == (None if status == 200 else status)
        assert "the body has the Content-Encoding " in fault(error)
    assert [stream.read for stream in streams] == [0, 0]


@pytest.mark.parametrize("encoding", ["", "identity", "utf-8", "none", "x-gzip", "none, identity"])
def test_a_body_with_an_encoding_that_is_not_decoded_is_read(encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    for result in both("info", lambda: httpx.Response(200, headers=headers, json={"a": 1})):
        assert result == {"a": 1}


def test_the_longest_text_of_any_server_is_read() -> None:
    text = "\x01" * 10_000_000  # the highest CHARSTREAM_MAX_LENGTH, and the longest JSON
    body = b'{"text":"%b"}' % (b"\\u0001" * len(text))
    for result in both("generate", lambda: httpx.Response(200, content=body)):
        assert result["text"] == text


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "ids", [["7-1", "7-1"], ["7-1", "7-3"], ["7-1", "8-2"], ["7-2", "7-1"], ["7-1", ""]]
)
def test_a_stream_that_repeats_or_leaves_out_a_character_raises(ids: list[str]) -> None:
    """Also after a break, when the server has not received or not obeyed the last id."""
    first, second = (f'id: {event_id}\ndata: {{"token": "a"}}\n\n' for event_id in ids)
    for responses in ([first + second], [first, second]):
        left = [httpx.Response(200, text=text) for text in responses]
        transport = httpx.MockTransport(lambda request, left=left: left.pop(0))
        with Client(transport=transport) as client:
            events = iter(client.stream())
            assert next(events) == {"token": "a"}
            with pytest.raises(CharstreamError, match=f"expected .* id 7-[23], got '{ids[1]}'"):
                next(events)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["token", "detail", "code", "errors", "field", "scores", "models"]),
            values,
        )
    ),
)
bodies = json_values.map(json.dumps) | st.text() | st.sampled_from([DEEP, "NaN", '{"a":' * 100_000])
fields = st.sampled_from(["data", "event: error\ndata", "event: done\ndata", "id", "é", ""])
dates = st.lists(
    st.sampled_from(["Wed,", "21", "Oct", "2015", "07:28:00", "GMT", "-0000", "9" * 400, "0"]),
    max_size=7,
).map(" ".join)


@given(
    call=st.sampled_from(sorted(CALLS)),
    status=st.sampled_from([200, 204, 302, 422, 429, 503]),
    body=bodies | st.builds("{}: {}\n\n".format, fields, bodies),
    retry_after=dates | st.text("0123456789:-, ", max_size=8),
)
def test_any_response_is_a_result_or_a_charstream_error(
    call: str, status: int, body: str, retry_after: str
) -> None:
    content, headers = body.encode(errors="surrogatepass"), {"Retry-After": retry_after}
    both(call, lambda: httpx.Response(status, content=content, headers=headers))


@pytest.mark.parametrize(
    "wrong", [*({"errors": errors} for errors in ERRORS), {"detail": ["texts[0]"]}, {"code": 1}]
)
def test_a_refusal_of_a_second_batch_is_raised_whatever_it_holds(wrong: dict[str, Any]) -> None:
    body = {"detail": "texts[0]", "code": "invalid_field"} | wrong
    responses = [
        httpx.Response(200, json={"scores": [{}]}),
        httpx.Response(422, json=body),
    ]
    transport = httpx.MockTransport(lambda request: responses.pop(0))
    with (
        Client(transport=transport) as client,
        pytest.raises(InvalidRequestError, match="http_error") as caught,
    ):
        client.score_many(["a" * 60_000] * 2)
    assert caught.value.detail.startswith('{"detail":')
    assert list(caught.value.errors) == []
