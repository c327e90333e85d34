"""Limits of connections, the states that have time limits, and the timer that checks them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from math import inf


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of one connection and of all connections together.

    Attributes:
        connections: maximum number of open connections.
        receive_seconds: time for a whole request to arrive.
        stall_seconds: time for a client whose buffers are full to read again.
    """

    connections: int
    receive_seconds: float
    stall_seconds: float


class State(Enum):
    """What a connection waits for.

    IDLE -> HEAD -> BODY -> RESPONDING -> IDLE is the life of a request. A response may end before
    the body has arrived; then BODY -> IDLE. From each of these four states, LINGERING -> CLOSING ->
    CLOSED is the end. A connection that does not linger goes to CLOSING, and a lost one to CLOSED.
    """

    IDLE = auto()  # the first byte of a request
    HEAD = auto()  # the rest of the head
    BODY = auto()  # the rest of the body and its trailers
    RESPONDING = auto()  # the end of the response to a request that has arrived
    LINGERING = auto()  # the client to close, after the last response was sent
    CLOSING = auto()  # the operating system to take the last bytes; nothing is read
    CLOSED = auto()  # nothing


class Timeout:
    """Calls a function when a time limit expires.

    To move the limit back is cheap: the running timer then looks at the limit and starts again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop, self._expired = loop, expired
        self._limit = self._next_check = inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Set the time limit, in seconds from now."""
        self._limit = self._loop.time() + seconds
        if self._limit < self._next_check:
            self._start()

    def clear(self) -> None:
        """Remove the time limit."""
        self._limit = inf

    def close(self) -> None:
        """Cancel the timer, and release the function."""
        self.clear()
        self._expired = lambda: None
        if self._timer is not None:
            self._timer.cancel()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next_check = self._limit
        self._timer = self._loop.call_at(self._limit, self._check)

    def _check(self) -> None:
        self._timer, self._next_check = None, inf
        if self._limit <= self._loop.time():
            self._limit = inf
            self._expired()
        elif self._limit < inf:
            self._start()
