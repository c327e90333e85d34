"""Disconnect: cancel work when the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response

_Result = TypeVar("_Result")


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


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def disconnected_response() -> Response:
    """Return a response for a client that is no longer connected."""
    return Response(status_code=204)
