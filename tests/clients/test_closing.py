"""A stream that is left early frees its slot on the server at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from clients.charstream_client import AsyncClient, AsyncStream, CharstreamError, Client, Stream
from tests.server import RunningServer, running_server

LENGTH = 10_000_000  # characters: more than any test here waits for


@pytest.fixture(scope="module")
def endless(tiny_path: Path) -> Iterator[RunningServer]:
    with running_server(tiny_path, max_length=str(LENGTH), max_streams="2") as server:
        yield server


def assert_held(server: RunningServer, expected: int) -> None:
    """Wait until the server keeps this number of streams, which pause when nobody reads them."""
    states = ("active", "paused", "waiting")
    deadline = time.monotonic() + 5  # a second is enough for a machine without other load
    while (held := sum(server.gauge(f"charstream_streams_{s}") for s in states)) != expected:
        assert time.monotonic() < deadline, f"the server keeps {held} streams, not {expected}"
        time.sleep(0.02)


def read_some(stream: Stream) -> int:
    for number, _ in enumerate(stream, 1):
        if number == 10:
            return number
    return 0


async def aread_some(stream: AsyncStream) -> int:
    number = 0
    async for _ in stream:
        number += 1
        if number == 10:
            break
    return number


def leave_the_block(stream: Stream) -> None:
    with stream:
        pass


def raise_in_the_block(stream: Stream) -> None:
    with pytest.raises(ZeroDivisionError), stream:
        raise ZeroDivisionError


@pytest.mark.parametrize("end", [leave_the_block, raise_in_the_block, Stream.close])
def test_a_stream_that_is_closed_ends_loudly(
    endless: RunningServer, end: Callable[[Stream], None]
) -> None:
    with Client(endless.url, trust_env=False) as client:
        stream = client.stream(length=LENGTH)
        events = iter(stream)  # held, so that only the end can close it
        next(events)
        assert_held(endless, 1)
        end(stream)
        assert_held(endless, 0)
        for later in (events, stream):
            with pytest.raises(CharstreamError, match="closed before its end") as caught:
                list(later)
            assert caught.value.code == "closed"


def test_break_alone_closes_the_connection(endless: RunningServer) -> None:
    with Client(endless.url, trust_env=False) as client:
        stream = client.stream(length=LENGTH)
        assert read_some(stream) == 10
        assert_held(endless, 0)


async def leave_the_async_block(stream: AsyncStream) -> None:
    async with stream:
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("end", [leave_the_async_block, AsyncStream.aclose])
async def test_an_asynchronous_stream_that_is_closed_ends_loudly(
    endless: RunningServer, end: Callable[[AsyncStream], Awaitable[None]]
) -> None:
    async with AsyncClient(endless.url, trust_env=False) as client:
        stream = client.stream(length=LENGTH)
        events = aiter(stream)
        await anext(events)
        assert_held(endless, 1)
        await end(stream)
        assert_held(endless, 0)  # blocks the loop: closing does not depend on what comes later
        with pytest.raises(CharstreamError, match="closed before its end"):
            await anext(events)


@pytest.mark.anyio
async def test_break_alone_closes_an_asynchronous_connection_soon(endless: RunningServer) -> None:
    async with AsyncClient(endless.url, trust_env=False) as client:
        assert await aread_some(client.stream(length=LENGTH)) == 10
        await asyncio.sleep(0.1)  # in which the loop closes what Python has collected
        assert_held(endless, 0)


@pytest.mark.anyio
async def test_cancelling_a_task_closes_its_stream(endless: RunningServer) -> None:
    async with AsyncClient(endless.url, trust_env=False) as client:

        async def read() -> None:
            async for _ in client.stream(length=LENGTH):
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.5)
        assert_held(endless, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_held(endless, 0)


def test_streams_that_are_left_do_not_use_up_the_connections(endless: RunningServer) -> None:
    with Client(endless.url, trust_env=False) as client:
        for _ in range(120):  # more than the pool holds
            with client.stream(length=LENGTH) as stream:
                assert read_some(stream) == 10
        assert_held(endless, 0)
