"""The limit on the memory of unread streams: who is cut off, and who is not."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from app.api import unread_streams
from app.api.unread_streams import UnreadStreams
from model.patterns.pattern import Pattern, compile_pattern
from tests.patterns import VOCABULARY

LIMIT = 10
SOON = 4 * unread_streams.INTERVAL_SECONDS
PATIENCE_SECONDS = unread_streams.PATIENCE * unread_streams.INTERVAL_SECONDS
MESSAGE: Message = {"type": "http.response.body"}


class Stream:
    """A stream of a client that reads when it is told to."""

    def __init__(self, unread: UnreadStreams, size: int, pattern: Pattern | None = None) -> None:
        self.size, self.is_cut_off = size, False
        self._room = asyncio.Event()
        wait, cut_off = self._wait_for_client, self._cut_off
        self._send = unread.counting(wait, lambda: self.size, cut_off, pattern)
        self._task: asyncio.Future[None] | None = None

    def begin_to_send(self) -> None:
        self._room.clear()
        self._task = asyncio.ensure_future(self._send(MESSAGE))

    async def read(self) -> None:
        self._room.set()
        assert self._task is not None
        await self._task

    async def _wait_for_client(self, _: Message) -> None:
        await self._room.wait()

    def _cut_off(self) -> None:
        self.is_cut_off = True
        self._room.set()


sizes = st.integers(0, LIMIT + 2)


@given(st.lists(st.tuples(sizes, st.booleans()), max_size=8))
def test_those_that_wait_for_longest_are_cut_off_until_the_rest_fits(
    streams: list[tuple[int, bool]],
) -> None:
    """Of each stream: its size, and whether its client reads, so that it waits again."""

    async def scenario() -> None:
        unread = UnreadStreams(LIMIT)
        first = [Stream(unread, size) for size, _ in streams]
        for stream in first:
            stream.begin_to_send()
        await asyncio.sleep(0)
        again = [stream for stream, (_, reads) in zip(first, streams, strict=True) if reads]
        for stream in again:
            await stream.read()
            stream.begin_to_send()
            await asyncio.sleep(0)
        waiting = [stream for stream in first if stream not in again] + again
        unread._keep_limit()
        cut_off = [stream.is_cut_off for stream in waiting]
        count = sum(cut_off)
        assert cut_off == [True] * count + [False] * (len(waiting) - count)
        left = waiting[count:]
        assert len(left) <= 1 or sum(stream.size for stream in left) <= LIMIT
        assert not count or sum(stream.size for stream in waiting[count - 1 :]) > LIMIT
        for stream in left:
            await stream.read()
        assert not unread._waiting

    with patch.object(unread_streams, "PATIENCE", 0):
        asyncio.run(scenario())


def test_a_pattern_that_streams_share_counts_once() -> None:
    shared, other = (compile_pattern("[a-c]{30}", VOCABULARY) for _ in range(2))

    async def cut_off(patterns: list[Pattern]) -> list[bool]:
        unread = UnreadStreams(shared.bytes + LIMIT)
        streams = [Stream(unread, 1, pattern) for pattern in patterns]
        for stream in streams:
            stream.begin_to_send()
        await asyncio.sleep(0)
        unread._keep_limit()
        ended = [stream.is_cut_off for stream in streams]
        for stream in streams:
            await stream.read()
        return ended

    with patch.object(unread_streams, "PATIENCE", 0):
        assert asyncio.run(cut_off([shared] * LIMIT)) == [False] * LIMIT
        assert asyncio.run(cut_off([shared] * (LIMIT + 2))) == [True] * 2 + [False] * LIMIT
        assert asyncio.run(cut_off([shared, other, other])) == [True, False, False]
        assert asyncio.run(cut_off([shared, other, shared])) == [True, True, False]


def test_clients_that_keep_up_are_never_cut_off() -> None:
    async def scenario() -> None:
        unread = UnreadStreams(LIMIT)
        slow, *quick = [Stream(unread, LIMIT) for _ in range(3)]
        for stream in (slow, *quick):
            stream.begin_to_send()
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS + SOON
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(PATIENCE_SECONDS / 20)
            for stream in quick:
                await stream.read()
                stream.begin_to_send()
        assert [stream.is_cut_off for stream in (slow, *quick)] == [True, False, False]
        for stream in quick:
            await stream.read()

    asyncio.run(scenario())


def test_clients_that_a_busy_event_loop_could_not_serve_are_not_cut_off() -> None:
    async def scenario() -> None:
        unread = UnreadStreams(LIMIT)
        streams = [Stream(unread, LIMIT) for _ in range(2)]
        for stream in streams:
            stream.begin_to_send()
        await asyncio.sleep(SOON / 4)
        time.sleep(2 * PATIENCE_SECONDS)  # in which the clients cannot be served
        await asyncio.sleep(SOON / 4)
        assert not any(stream.is_cut_off for stream in streams)
        for stream in streams:
            await stream.read()

    asyncio.run(scenario())


def test_a_stream_that_does_not_wait_for_its_client_does_not_count() -> None:
    async def scenario() -> None:
        unread = UnreadStreams(LIMIT)
        slow, quick = Stream(unread, LIMIT), Stream(unread, LIMIT)
        slow.begin_to_send()
        await asyncio.sleep(PATIENCE_SECONDS + SOON)
        quick.begin_to_send()
        await quick.read()
        await asyncio.sleep(SOON)
        assert not slow.is_cut_off
        await slow.read()

    asyncio.run(scenario())
