"""State: what a connection waits for."""

from __future__ import annotations

from enum import Enum, auto


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
