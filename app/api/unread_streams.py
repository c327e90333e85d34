"""UnreadStreams: the limit on the memory of the streams whose clients do not read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import Message, Send

LIMIT_BYTES = 1 << 26
PATIENCE_SECONDS = 0.5  # a client that has read something since is never cut off
_INTERVAL_SECONDS = 0.1  # between two checks


class _Stream(NamedTuple):
    since: float  # time when it began to wait for its client, in seconds
    size: Callable[[], int]
    cut_off: Callable[[], None]


class UnreadStreams:
    """Cuts off clients that do not read if their streams take too much memory together.

    The limits of the buffers of one text and of one connection are not enough: a client can have
    many of both. A stream counts while it waits for its client. The one that waits for longest is
    cut off first.

    Args:
        limit: maximum number of bytes of all streams that wait for their clients.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._waiting: dict[object, _Stream] = {}  # the one that waits for longest is first
        self._check: asyncio.TimerHandle | None = None

    def counting(self, send: Send, size: Callable[[], int], cut_off: Callable[[], None]) -> Send:
        """Return a `send` that counts its stream while it waits for the client.

        Args:
            send: sends a message of the stream.
            size: returns the number of bytes that the stream keeps in memory.
            cut_off: closes the connection, and ends the stream.
        """
        key = object()

        async def counted_send(message: Message) -> None:
            self._waiting[key] = _Stream(time.monotonic(), size, cut_off)
            self._check_soon()
            try:
                await send(message)
            finally:
                self._waiting.pop(key, None)

        return counted_send

    def _check_soon(self) -> None:
        if self._check is None:
            loop = asyncio.get_running_loop()
            self._check = loop.call_later(_INTERVAL_SECONDS, self._keep_limit)

    def _keep_limit(self) -> None:
        """Cut off clients until the rest is within the limit, or only one is left."""
        self._check = None
        streams = {key: (stream, stream.size()) for key, stream in self._waiting.items()}
        total = sum(size for _, size in streams.values())
        latest = time.monotonic() - PATIENCE_SECONDS
        for key, (stream, size) in list(streams.items())[:-1]:
            if total <= self._limit or stream.since > latest:
                break
            total -= size
            del self._waiting[key]
            stream.cut_off()
        if self._waiting:
            self._check_soon()
