"""Closing: end a connection without a whole response.

EventSource reconnects after a broken connection. Any status but 200 makes it give up.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# ASGI extensions: functions that close the connection, after what was sent and at once.
CLOSE_EXTENSION = "charstream.close"
CUT_OFF_EXTENSION = "charstream.cut_off"


def closer_of(scope: Scope) -> Callable[[], None] | None:
    """Return the function that closes the connection, or None if the server has none."""
    close: Callable[[], None] | None = scope.get("extensions", {}).get(CLOSE_EXTENSION)
    return close


def cut_off_of(scope: Scope) -> Callable[[], None] | None:
    """Return the function that cuts off a client that does not read, or None if there is none."""
    cut_off: Callable[[], None] | None = scope.get("extensions", {}).get(CUT_OFF_EXTENSION)
    return cut_off


async def close_connection(close: Callable[[], None], receive: Receive) -> None:
    """Close the connection and wait until the client has disconnected."""
    close()
    while (await receive())["type"] != "http.disconnect":
        pass


class ClosedConnection(Response):
    """Stands for no response: the connection closes before the first byte of one.

    Args:
        close: closes the connection.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await close_connection(self._close, receive)
