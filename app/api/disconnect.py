"""Disconnect: stop work when the client disconnects, and close connections on purpose."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

CLIENT_CLOSED = 499  # status of a response that nobody receives; nginx logs the same

# ASGI extension: a function that closes the connection after what was sent.
CLOSE_EXTENSION = "charstream.close"

_UVLOOP_CLOSED = "the handler is closed"  # part of uvloop's error for a closed connection

logger = logging.getLogger("charstream")


@asynccontextmanager
async def ended_by_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel what runs in this block if the client disconnects. The end of the block never waits.

    Raises:
        ClientDisconnect: if the client has disconnected.
    """
    task = asyncio.current_task()
    assert task is not None
    ended = False

    def cancel(done: asyncio.Future[None]) -> None:
        if not (ended or done.cancelled() or done.exception()):
            task.cancel()

    gone = asyncio.ensure_future(_disconnected(receive))
    gone.add_done_callback(cancel)
    try:
        yield
    except asyncio.CancelledError:
        if not gone.done() or task.uncancel() > 0:  # others have cancelled the task
            raise
        raise ClientDisconnect from None
    finally:
        ended = True  # a call of `cancel` may be on its way
        gone.cancel()


@asynccontextmanager
async def sending(send: Send) -> AsyncIterator[Send]:
    """Yield a `send` for a response. The block ends quietly when the client disconnects.

    In that case, uvicorn raises OSError, and uvloop RuntimeError.
    """

    async def send_or_disconnect(message: Message) -> None:
        try:
            await send(message)
        except RuntimeError as error:
            if _UVLOOP_CLOSED not in str(error):
                raise
            raise ClientDisconnect from error

    try:
        yield send_or_disconnect
    except (OSError, ClientDisconnect):
        logger.debug("a client disconnected from a response", exc_info=True)


def closer_of(scope: Scope) -> Callable[[], None] | None:
    """Return the function that closes the connection, or None if the server has none."""
    close: Callable[[], None] | None = scope.get("extensions", {}).get(CLOSE_EXTENSION)
    return close


async def close_connection(close: Callable[[], None], receive: Receive) -> None:
    """Close the connection and wait until the client has disconnected."""
    close()
    await _disconnected(receive)


class ClosedConnection(Response):
    """Stands for no response: the connection closes before the first byte of one.

    EventSource reconnects after a broken connection. Any status but 200 makes it give up.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await close_connection(self._close, receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
