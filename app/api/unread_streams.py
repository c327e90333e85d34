"""UnreadStreams: the limit on the memory of the streams whose clients do not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import Message, Send

from model.patterns.pattern import Pattern

LIMIT_BYTES = 1 << 26
INTERVAL_SECONDS = 0.1  # between two checks
PATIENCE = 20  # checks that a stream may wait until its client has made room in its buffers


class _Stream(NamedTuple):
    since: int  # number of the last check before it began to wait for its client
    size: Callable[[], int]
    cut_off: Callable[[], None]
    pattern: Pattern | None


class UnreadStreams:
    """Cuts off clients that do not read if their streams take too much memory together.

    The limits of the buffers of one text and of one connection are not enough: a client can have
    many of both. A stream counts while it waits for its client, and a pattern that several share
    counts once. The one that waits for longest is cut off first: at once beyond twice the limit,
    and after two seconds beyond the limit. The time is counted in checks, so that a client which
    could not be served because the event loop was busy does not seem to be slow.

    Args:
        limit: number of bytes of all streams that wait for their clients.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._waiting: dict[object, _Stream] = {}  # the one that waits for longest is first
        self._checks = 0
        self._check: asyncio.TimerHandle | None = None

    def counting(
        self,
        send: Send,
        size: Callable[[], int],
        cut_off: Callable[[], None],
        pattern: Pattern | None = None,
    ) -> Send:
        """Return a `send` that counts its stream while it waits for the client.

        Args:
            send: sends a message of the stream.
            size: returns the number of bytes that the stream keeps in memory.
            cut_off: closes the connection, and ends the stream.
            pattern: a pattern that the stream keeps, too.
        """
        key = object()

        async def counted_send(message: Message) -> None:
            self._waiting[key] = _Stream(self._checks, size, cut_off, pattern)
            self._check_soon()
            try:
                await send(message)
            finally:
                self._waiting.pop(key, None)

        return counted_send

    def _check_soon(self) -> None:
        if self._check is None:
            loop = asyncio.get_running_loop()
            self._check = loop.call_later(INTERVAL_SECONDS, self._keep_limit)

    def _keep_limit(self) -> None:
        """Cut off clients until the rest is within the limit, or only one is left."""
        self._check = None
        self._checks += 1
        sizes = self._sizes()
        total = sum(sizes.values())
        for key, stream in list(self._waiting.items())[:-1]:
            is_patient = self._checks - stream.since < PATIENCE and total <= 2 * self._limit
            if total <= self._limit or is_patient:
                break
            total -= sizes[key]
            del self._waiting[key]
            stream.cut_off()
        if self._waiting:
            self._check_soon()

    def _sizes(self) -> dict[object, int]:
        """Return the size of each stream. The last one that has a pattern counts it."""
        sizes, counted = {}, set()
        for key, stream in reversed(self._waiting.items()):
            sizes[key] = stream.size()
            if stream.pattern is not None and id(stream.pattern) not in counted:
                counted.add(id(stream.pattern))
                sizes[key] += stream.pattern.bytes
        return sizes
