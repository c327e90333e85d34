"""JSON response: the result of one request, encoded and sent as fast as the client reads it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.closing import close_connection, closer_of
from app.api.disconnect import cancel_on_disconnect, disconnected_response, disconnecting
from app.api.response_budget import Reservation, ResponseBudget
from app.engine.generation import Generation
from app.middleware.auth import current_client
from app.middleware.request_log import RequestRecord

logger = logging.getLogger("charstream")

# A client may take this long in addition to the time at the lowest rate.
_SLOW_SECONDS = 60.0
_MIN_RATE = 1 << 14  # bytes per second


def reserve_memory(request: Request, size: int) -> Reservation:
    """Count the result of a request, at most `size` bytes, until its response has been sent.

    Raises:
        TooManyResultsError: if the results of all requests, or those of the client, would be over
            their limit.
    """
    budget: ResponseBudget = request.app.state.response_budget
    reservation = budget.reserve(size, current_client())
    RequestRecord.of(request.scope).ended.callback(reservation.release)
    return reservation


async def json_response(
    request: Request,
    reservation: Reservation,
    content: Coroutine[Any, Any, dict[str, Any]],
    generations: Iterable[Generation],
) -> Response:
    """Return a JSON response. If the client disconnects before, nothing stays running.

    Args:
        request: the request.
        reservation: the memory of its result.
        content: reads the generations and returns what to encode, see `app.api.json_pieces`.
        generations: the generations of the request.

    Raises:
        EngineError: if a text could not be finished, or the service shuts down first.
    """
    try:
        parts = await cancel_on_disconnect(request, _encoded(reservation, content))
    finally:
        for generation in generations:
            generation.cancel()
    return disconnected_response() if parts is None else _JsonResponse(parts, reservation)


async def _encoded(
    reservation: Reservation, content: Coroutine[Any, Any, dict[str, Any]]
) -> deque[bytes]:
    return await reservation.encode(await content)


class _JsonResponse(Response):
    """Sends a body part by part. It ends when almost all of it has left the process.

    Each part is freed when it has been sent. If the client reads too slowly, the connection is
    closed.

    Args:
        parts: the body.
        reservation: its memory.
    """

    media_type = "application/json"

    def __init__(self, parts: deque[bytes], reservation: Reservation) -> None:
        super().__init__(headers={"Content-Length": str(sum(map(len, parts)))})
        self._parts, self._reservation = parts, reservation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._send(disconnecting(send))
        except TimeoutError:
            logger.debug("a client was too slow for a response", exc_info=True)
            self._parts.clear()
            self._reservation.release()
            if close := closer_of(scope):
                await close_connection(close, receive)
        except (OSError, ClientDisconnect):
            logger.debug("a client disconnected from a response", exc_info=True)

    async def _send(self, send: Send) -> None:
        async with asyncio.timeout(_SLOW_SECONDS) as limit:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            while self._parts:
                part = self._parts.popleft()
                more = {"more_body": bool(self._parts)}
                await send({"type": "http.response.body", "body": part, **more})
                self._reservation.part_sent(len(part))
                limit.reschedule((limit.when() or 0.0) + len(part) / _MIN_RATE)
