"""Disconnect: close a connection on purpose, without a response or in the middle of one.

When a client disconnects, the server cancels the task of its request (`server/connection.py`). So
an endpoint notices it as `asyncio.CancelledError`, wherever it waits.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# ASGI extension: a function that closes the connection after what was sent.
CLOSE_EXTENSION = "charstream.close"


def closer_of(scope: Scope) -> Callable[[], None] | None:
    """Return the function that closes the connection, or None if the server has none."""
    close: Callable[[], None] | None = scope.get("extensions", {}).get(CLOSE_EXTENSION)
    return close


class ClosedConnection(Response):
    """Stands for no response: the connection closes before the first byte of one.

    EventSource reconnects after a broken connection. Any status but 200 makes it give up.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._close()
