"""JSON response: the result of one request, encoded and sent as fast as the client reads it."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.disconnect import cancel_on_disconnect, disconnected_response, disconnecting
from app.api.results import SMALL, HeldResult, Results
from app.engine.generation import Generation
from app.middleware.auth import current_client
from app.middleware.request_log import RequestRecord

logger = logging.getLogger("charstream")


def hold_result(request: Request, size: int) -> HeldResult:
    """Count the result of a request, at most `size` bytes, until its response has been sent.

    Raises:
        TooManyResultsError: if the results of all requests, or those of the client, would be over
            their limit.
    """
    results: Results = request.app.state.results
    held = results.hold(size, current_client())
    RequestRecord.of(request.scope).ended.callback(held.release)
    return held


async def json_response(
    request: Request,
    held: HeldResult,
    content: Coroutine[Any, Any, dict[str, Any]],
    generations: Iterable[Generation],
) -> Response:
    """Return a JSON response. If the client disconnects before, nothing stays running.

    Args:
        request: the request.
        held: its result.
        content: reads the generations and returns what to encode, see `app.api.json_pieces`.
        generations: the generations of the request.

    Raises:
        EngineError: if a text could not be finished, or the service shuts down first.
    """
    try:
        body = await cancel_on_disconnect(request, _encoded(held, content))
    finally:
        for generation in generations:
            generation.cancel()
    return disconnected_response() if body is None else _JsonResponse(body)


async def _encoded(held: HeldResult, content: Coroutine[Any, Any, dict[str, Any]]) -> bytearray:
    return await held.encode(await content)


class _JsonResponse(Response):
    """Sends a body piece by piece. It ends when almost all of it has left the process."""

    media_type = "application/json"

    def __init__(self, body: bytearray) -> None:
        super().__init__(headers={"Content-Length": str(len(body))})
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._send(disconnecting(send))
        except (OSError, ClientDisconnect):
            logger.debug("a client disconnected from a response", exc_info=True)

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        for first in range(0, len(self._body), SMALL):
            last = first + SMALL
            piece = {"body": bytes(self._body[first:last]), "more_body": last < len(self._body)}
            await send({"type": "http.response.body", **piece})
