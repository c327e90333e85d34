"""Waits between attempts are bounded, spread, and visible."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from typing import Any

import httpx
import pytest

from clients.charstream_client import (
    APIConnectionError,
    AsyncClient,
    Client,
    RateLimitError,
    UnavailableError,
)
from tests.server import running_server

TOKEN = 'id: 7-1\ndata: {"token": "a"}\n\n'
DONE = 'event: done\ndata: {"seed": 7}\n\n'


def refusal(status: int = 503, retry_after: str | None = None) -> httpx.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(status, headers=headers, json={"code": "queue_full", "detail": ""})


def answers(*responses: httpx.Response) -> httpx.MockTransport:
    """Gives each response once, and the last one from then on."""
    left = list(responses)
    return httpx.MockTransport(lambda request: left.pop(0) if len(left) > 1 else left[0])


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that would have been."""
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr("asyncio.sleep", wait)
    return waits


def test_a_full_server_is_asked_again_when_it_says(waited: list[float]) -> None:
    transport = answers(
        refusal(retry_after="7"),
        httpx.Response(200, json={"text": "a"}),
        refusal(retry_after="7"),
        httpx.Response(200, text=TOKEN + DONE),
    )
    reported: list[tuple[str, float]] = []

    def report(error: Exception, seconds: float) -> None:
        reported.append((str(error), seconds))

    with Client(transport=transport, on_wait=report) as client:
        assert client.generate()["text"] == "a"
        assert list(client.stream()) == [{"token": "a"}]
    assert len(waited) == 2
    assert all(7 <= seconds <= 7.7 for seconds in waited)
    assert reported == [("queue_full:  (HTTP 503)", seconds) for seconds in waited]


@pytest.mark.anyio
async def test_the_asynchronous_client_waits_too(waited: list[float]) -> None:
    transport = answers(
        refusal(429, retry_after="7"),
        httpx.Response(200, json={"text": "a"}),
        refusal(502),
        httpx.Response(200, text=TOKEN + DONE),
    )
    async with AsyncClient(transport=transport) as client:
        assert (await client.generate())["text"] == "a"
        assert [event async for event in client.stream()] == [{"token": "a"}]
    waits = [seconds for seconds in waited if seconds]
    assert len(waits) == 2
    assert 7 <= waits[0] <= 7.7
    assert 0.25 <= waits[1] <= 0.5


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_a_refusal_whose_body_cannot_be_read_is_repeated(
    waited: list[float], encoding: str
) -> None:
    """A proxy may compress its error page as the client did not ask for, or not at all."""

    class Page(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"<h1>Bad Gateway</h1>"

    headers = {"Content-Encoding": encoding}
    transport = answers(
        httpx.Response(502, headers=headers, stream=Page()),
        httpx.Response(200, json={"text": "a"}),
        httpx.Response(503, headers=headers | {"Retry-After": "7"}, stream=Page()),
        httpx.Response(200, text=TOKEN + DONE),
    )
    with Client(transport=transport) as client:
        assert client.generate()["text"] == "a"
        assert list(client.stream()) == [{"token": "a"}]
    assert len(waited) == 2
    assert 7 <= waited[1] <= 7.7


def test_a_date_to_wait_for_is_understood(waited: list[float]) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    transport = answers(
        refusal(retry_after=date),
        refusal(retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        refusal(retry_after="soon"),
        refusal(retry_after="Wed, 21 Oct 99999999999 07:28:00 GMT"),
        refusal(retry_after="Wed, 21 Oct 2026 07:28:00 +99999999999999"),
        httpx.Response(200, json={"text": "a"}),
    )
    with Client(transport=transport) as client:
        client.generate()
    assert 55 <= waited[0] <= 66
    assert waited[1] == 0
    # As the third to the fifth time without a word.
    assert all(1 <= seconds / 2**number <= 2 for number, seconds in enumerate(waited[2:]))
    assert len(waited) == 5


@pytest.mark.parametrize("ask", [Client.generate, lambda client: list(client.stream())])
def test_a_wait_of_more_than_two_minutes_is_left_to_the_caller(
    waited: list[float], ask: Callable[[Client], Any]
) -> None:
    transport = answers(refusal(429, retry_after="121"))
    with (
        Client(transport=transport, max_wait=10_000) as client,
        pytest.raises(RateLimitError) as caught,
    ):
        ask(client)
    assert caught.value.retry_after == 121
    assert waited == []


@pytest.mark.parametrize("ask", [Client.generate, lambda client: list(client.stream())])
def test_the_waits_of_a_call_are_bounded_in_total(
    waited: list[float], ask: Callable[[Client], Any]
) -> None:
    transport = answers(refusal(retry_after="100"))
    with (
        Client(transport=transport, max_retries=1000) as client,
        pytest.raises(UnavailableError),
    ):
        ask(client)
    assert len(waited) == 2
    assert sum(waited) <= 300


def test_waits_grow_to_a_bound_and_are_spread(waited: list[float]) -> None:
    with Client(transport=answers(refusal()), max_retries=10, max_wait=1000) as client:
        for _ in range(20):
            with pytest.raises(UnavailableError):
                client.generate()
    bounds = [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    for number, bound in enumerate(bounds):
        waits = waited[number :: len(bounds)]
        assert len(set(waits)) == 20
        assert all(bound / 2 <= seconds <= bound for seconds in waits)


def test_a_character_renews_the_retries(waited: list[float]) -> None:
    numbers = count(1)

    def respond(request: httpx.Request) -> httpx.Response:
        number = next(numbers)
        text = TOKEN.replace("7-1", f"7-{number}") + (DONE if number == 31 else "")
        return httpx.Response(200, text=text)

    transport = httpx.MockTransport(respond)
    with Client(transport=transport, max_retries=1, max_wait=1) as client:
        assert len(list(client.stream())) == 31
    assert len(waited) == 30
    assert max(waited) <= 0.5


def test_waits_are_logged(waited: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "charstream_client")
    transport = answers(
        refusal(retry_after="0"),
        refusal(retry_after="7"),
        httpx.Response(200, json={"text": "a"}),
    )
    with Client(transport=transport) as client:
        client.generate()
    records = [r for r in caplog.records if r.name == "charstream_client"]
    assert [record.levelname for record in records] == ["INFO", "WARNING"]
    expected = f"queue_full:  (HTTP 503); next attempt in {waited[1]:.1f} s"
    assert records[1].getMessage() == expected


def test_what_will_not_get_better_is_not_asked_again(waited: list[float]) -> None:
    for status in (400, 401, 404, 409, 413, 422, 500, 504):
        with Client(transport=answers(refusal(status))) as client:
            with pytest.raises(Exception, match=f"HTTP {status}"):
                client.generate()
            with pytest.raises(Exception, match=f"HTTP {status}"):
                list(client.stream())
    assert waited == []


def test_a_rate_limit_is_obeyed(tiny_path: Any) -> None:
    errors: list[Exception] = []
    with (
        running_server(tiny_path, rate_per_minute="60") as server,
        Client(
            server.url, on_wait=lambda error, _: errors.append(error), trust_env=False
        ) as client,
    ):
        for _ in range(100):
            client.generate(length=1)
            if errors:
                break
    assert isinstance(errors[0], RateLimitError)
    assert errors[0].retry_after


def test_no_retries_means_one_attempt(waited: list[float]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    transport = httpx.MockTransport(fail)
    with Client(transport=transport, max_retries=0) as client, pytest.raises(APIConnectionError):
        client.info()
    assert waited == []
