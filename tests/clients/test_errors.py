"""Each failure has its error, and no error of httpx escapes."""

from __future__ import annotations

import asyncio
import math
import pickle
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients import charstream_client
from clients.charstream_client import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    CharstreamError,
    Client,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    ServerError,
    StreamError,
    UnavailableError,
    settings,
)
from tests.server import RunningServer, free_port, running_server

Call = Callable[[Client], object]
CALLS: list[Call] = [
    lambda client: client.generate(),
    lambda client: list(client.stream()),
    lambda client: client.score("a"),
    lambda client: client.info(),
]
ASYNC_CALLS: list[Callable[[AsyncClient], Any]] = [
    lambda client: client.generate(),
    lambda client: anext(aiter(client.stream())),
    lambda client: client.score("a"),
    lambda client: client.info(),
]


def answering(response: httpx.Response, **settings: Any) -> Client:
    return Client(transport=httpx.MockTransport(lambda request: response), **settings)


def noting(waits: list[Exception], url: str, **options: Any) -> Client:
    """A client that notes each error after which it waits."""
    return Client(url, on_wait=lambda error, _: waits.append(error), trust_env=False, **options)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    def lines(kind: type[CharstreamError], depth: int = 0) -> Iterator[tuple[int, str]]:
        yield depth, kind.__name__
        for child in kind.__subclasses__():
            yield from lines(child, depth + 1)

    documentation = charstream_client.__doc__ or ""
    tree = documentation[documentation.index("    CharstreamError ") :].splitlines()
    drawn = [
        (indent // 2, line.split()[0])
        for line in (line.replace("+ ", "").replace("- ", "") for line in tree if line)
        if (indent := len(line) - len(line.lstrip()) - 4) >= 0
    ]
    # A child is drawn two columns to the right of its parent's mark.
    order = {depth: number for number, depth in enumerate(sorted({d for d, _ in drawn}))}
    assert [(order[depth], name) for depth, name in drawn] == list(lines(CharstreamError))


def test_a_refusal_is_raised_at_once(server: RunningServer) -> None:
    calls: list[Call] = [
        lambda client: client.generate(length=0),
        lambda client: list(client.stream(length=0)),
    ]
    for call in calls:
        with Client(server.url, trust_env=False) as client:
            with pytest.raises(InvalidRequestError, match=r"length: .*got 0") as caught:
                call(client)
            assert caught.value.status_code == 422
            assert caught.value.code == "invalid_field"
            assert [error["field"] for error in caught.value.errors] == ["length"]
            assert caught.value.errors[0]["value"] == "0"
            assert caught.value.request_id
            assert server.log(caught.value.request_id)


def test_a_server_that_is_not_there_is_given_up_after_the_retries() -> None:
    waits: list[Exception] = []
    with noting(waits, f"http://127.0.0.1:{free_port()}", max_retries=1) as client:
        for call in CALLS:
            with pytest.raises(APIConnectionError, match="ConnectError") as caught:
                call(client)
            assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert len(waits) == len(CALLS)


@pytest.mark.anyio
async def test_the_asynchronous_client_raises_the_same_errors() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with AsyncClient(url, max_retries=0, trust_env=False) as client:
        for call in ASYNC_CALLS:
            with pytest.raises(APIConnectionError, match="ConnectError"):
                await call(client)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, APIStatusError),
        (400, BadRequestError),
        (401, AuthenticationError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, APIStatusError),
        (422, InvalidRequestError),
        (429, RateLimitError),
        (500, ServerError),
        (502, ServerError),
        (503, UnavailableError),
        (504, ServerError),
    ],
)
@pytest.mark.parametrize("call", CALLS)
def test_each_status_has_its_error(status: int, kind: type[APIStatusError], call: Call) -> None:
    response = httpx.Response(
        status,
        headers={"X-Request-ID": "abc", "Retry-After": "7"},
        json={"code": "word", "detail": "what is wrong"},
    )
    with answering(response, max_retries=0) as client, pytest.raises(CharstreamError) as caught:
        call(client)
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.code, error.detail) == (status, "word", "what is wrong")
    assert (error.request_id, error.retry_after, list(error.errors)) == ("abc", 7.0, [])
    assert str(error) == f"word: what is wrong (HTTP {status})"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), vars(copy)) == (kind, vars(error))


@pytest.mark.usefixtures("impatient")
def test_a_proxys_error_page_is_an_error_too() -> None:
    hex_page = httpx.Response(502, content=b"Bad", headers={"Content-Type": "text/x; charset=hex"})
    for response, kind, message in (
        (httpx.Response(504, html="<h1>Late</h1>"), ServerError, "http_error: <h1>Late</h1>"),
        (hex_page, ServerError, "http_error: Bad"),
        (httpx.Response(404), NotFoundError, "http_error: Not Found"),
    ):
        with answering(response) as client, pytest.raises(kind, match=message):
            client.generate()


@pytest.mark.parametrize("call", CALLS)
def test_a_request_that_cannot_be_made_is_not_repeated(server: RunningServer, call: Call) -> None:
    waits: list[Exception] = []
    for url, key, message in (
        ("127.0.0.1:8000", None, "UnsupportedProtocol"),
        (server.url, "a\nb", "LocalProtocolError"),
    ):
        with (
            noting(waits, url, api_key=key) as client,
            pytest.raises(APIConnectionError, match=message),
        ):
            call(client)
    assert not waits


@pytest.mark.parametrize(
    "address", ["a:http", "a:65536", "a..b", "xn--", "xn--ls8h", "a/\udcff", "\udcff"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    address = f"http://{address}"
    with pytest.raises(CharstreamError, match=f"{re.escape(repr(address))} is not a URL: "):
        Client(address)


def test_a_key_that_cannot_be_sent_is_refused_and_not_shown() -> None:
    with pytest.raises(CharstreamError, match="api_key has a character") as caught:
        Client(api_key="abc" * 2 + "\udcff")
    assert "abcabc" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("temperature", lambda client: client.generate(temperature=math.nan)),
        ("hold", lambda client: client.stream(hold=[{"layer": 0, "cell": 0, "value": math.inf}])),
        ("text", lambda client: client.score("a\udcff")),
        ("texts", lambda client: client.score_many(["a", "\udcff"])),
    ],
)
def test_a_value_that_json_cannot_carry_is_named(name: str, call: Callable[[Any], Any]) -> None:
    message = f"^client_error: {name}: cannot be sent as JSON, got "
    with Client() as client, pytest.raises(CharstreamError, match=message):
        call(client)

    async def scenario() -> None:
        async with AsyncClient() as client:
            with pytest.raises(CharstreamError, match=message):
                await call(client)

    asyncio.run(scenario())


def test_a_whole_result_has_a_timeout_which_is_not_retried(silent: str) -> None:
    waits: list[Exception] = []
    with noting(waits, silent, timeout=0.1) as client:
        for call in (CALLS[0], *CALLS[2:]):
            with pytest.raises(APITimeoutError, match="ReadTimeout"):
                call(client)
    with noting(waits, silent) as client:
        with pytest.raises(APITimeoutError, match="ReadTimeout"):
            client.generate(timeout=0.1)
        with pytest.raises(APITimeoutError, match="ReadTimeout"):
            client.score("a", timeout=httpx.Timeout(5, read=0.1))
    assert not waits


def test_a_silent_stream_counts_as_broken(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PING_SECONDS", 0.05)
    waits: list[Exception] = []
    with (
        noting(waits, silent, stream_timeout=0.1, max_retries=1) as client,
        pytest.raises(APITimeoutError, match="ReadTimeout"),
    ):
        list(client.stream())
    assert [type(error) for error in waits] == [APITimeoutError]


def test_the_timeout_is_never_part_of_the_request() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert b"timeout" not in request.content
        assert request.extensions["timeout"] == {"connect": 10, "read": 20, "write": 20, "pool": 20}
        return httpx.Response(200, text='{"text": "a"}\n\nevent: done\ndata: {}\n\n')

    async def scenario() -> None:
        async with AsyncClient(transport=httpx.MockTransport(respond)) as client:
            assert [event async for event in client.stream(timeout=20)] == []

    asyncio.run(scenario())
    with Client(transport=httpx.MockTransport(respond)) as client:
        assert list(client.stream(timeout=20)) == []


@pytest.mark.parametrize("seconds", [0, 5, 15, httpx.Timeout(60, read=15)])
def test_a_stream_waits_longer_than_the_time_between_pings(seconds: float | httpx.Timeout) -> None:
    message = "must be greater than 15 seconds, the time between the server's pings, got"
    with pytest.raises(ValueError, match=message):
        Client(stream_timeout=seconds)
    with Client() as client, pytest.raises(ValueError, match=message):
        client.stream(timeout=seconds)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("end", ["", 'id: 7-4\ndata: {"token": "', ": ping\n\n"])
def test_an_incomplete_stream_raises(end: str) -> None:
    texts = [f'id: 7-{number}\ndata: {{"token": "a"}}\n\n' for number in (1, 2, 3)]
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, text=texts.pop(0) if texts else end)
    )
    with Client(transport=transport, max_retries=2) as client:
        stream = client.stream()
        events = iter(stream)
        assert [next(events)["token"] for _ in range(3)] == ["a", "a", "a"]
        with pytest.raises(APIConnectionError, match="ended before its `done` event") as caught:
            next(events)
    assert caught.value.code == "incomplete"
    assert stream.done is None
    assert stream.last_event_id == "7-3"


def test_no_content_at_the_start_is_no_complete_stream() -> None:
    with answering(httpx.Response(204), max_retries=0) as client:
        stream = client.stream()
        with pytest.raises(APIConnectionError, match="incomplete"):
            list(stream)


def test_a_deadline_of_the_servers_is_raised_and_not_retried(tiny_path: Path) -> None:
    waits: list[Exception] = []
    length = 10_000_000
    with (
        running_server(tiny_path, deadline_seconds="0.3", max_length=str(length)) as server,
        noting(waits, server.url) as client,
    ):
        with pytest.raises(StreamError) as caught:
            list(client.stream(length=length))
        assert caught.value.code == "deadline_exceeded"
        assert caught.value.request_id
        with pytest.raises(ServerError) as refused:
            client.generate(length=1_000_000)
        assert refused.value.status_code == 504
    assert not waits
