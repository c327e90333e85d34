"""Disconnect: cancel work when the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Send

CLIENT_CLOSED = 499  # status of a response that nobody receives; nginx logs the same

_Result = TypeVar("_Result")

_UVLOOP_CLOSED = "the handler is closed"  # part of uvloop's error for a closed connection


async def cancel_on_disconnect(
    request: Request, work: Coroutine[Any, Any, _Result]
) -> _Result | None:
    """Return the result of the work, or cancel it and return None if the client disconnects."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        gone.cancel()


@asynccontextmanager
async def ended_by_disconnect(request: Request) -> AsyncIterator[None]:
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

    gone = asyncio.ensure_future(_disconnected(request))
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


def disconnecting(send: Send) -> Send:
    """Return a `send` that raises ClientDisconnect where uvloop raises RuntimeError."""

    async def send_or_disconnect(message: Message) -> None:
        try:
            await send(message)
        except RuntimeError as error:
            if _UVLOOP_CLOSED not in str(error):
                raise
            raise ClientDisconnect from error

    return send_or_disconnect


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def disconnected_response() -> Response:
    """Return a response for a client that is no longer connected."""
    return Response(status_code=CLIENT_CLOSED)
