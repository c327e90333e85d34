"""JSON response: the result of one request, encoded in a thread and sent as the client reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.disconnect import closer_of

_PART = 64 << 10  # bytes that a connection buffers
_MAX_INLINE = 16 << 10  # bytes of a result that the event loop encodes itself
# A client may take this long in addition to the time at the lowest rate.
_SLOW_SECONDS = 60.0
_MIN_RATE = 1 << 14  # bytes per second


async def json_response(
    request: Request, size: int, content: Callable[[], dict[str, Any]]
) -> Response:
    """Return a JSON response with the fields that `content` makes, of at most `size` bytes.

    A large one is encoded in a thread, of which there is one, so that the event loop serves other
    requests meanwhile. If the client disconnects, an encoding that has begun still ends, after its
    lease of memory. There is at most one.
    """

    def encode() -> bytes:
        return orjson.dumps(content(), option=orjson.OPT_SERIALIZE_NUMPY)

    if size <= _MAX_INLINE:
        return _JSONResponse(encode())
    encoder = request.app.state.encoder
    return _JSONResponse(await asyncio.get_running_loop().run_in_executor(encoder, encode))


def json_list(slices: Iterable[Sequence[Any]]) -> orjson.Fragment:
    """Return one JSON list of the items of all slices, none of them empty.

    The items of a slice are freed as soon as it is encoded. Python's garbage collector would search
    a long list of dictionaries, which stops everything meanwhile.
    """
    return joined_items(map(encoded_items, slices))


def encoded_items(items: Sequence[Any]) -> bytes:
    """Return the JSON of the items of a list, without the brackets."""
    return orjson.dumps(items)[1:-1]


def joined_items(parts: Iterable[bytes]) -> orjson.Fragment:
    """Return one JSON list of encoded items."""
    return orjson.Fragment(b"[" + b",".join(parts) + b"]")


class _JSONResponse(Response):
    """Sends a body in parts, as fast as the client reads it.

    The response ends when almost all of the body has left the process. If the client reads too
    slowly, the connection is closed.
    """

    media_type = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) <= _PART:
            return await super().__call__(scope, receive, send)
        try:
            async with asyncio.timeout(_SLOW_SECONDS + len(self.body) / _MIN_RATE):
                await self._send_parts(send)
        except TimeoutError:
            if close := closer_of(scope):
                close()

    async def _send_parts(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        body = memoryview(self.body)
        for first in range(0, len(body), _PART):
            last = first + _PART
            part = {"body": bytes(body[first:last]), "more_body": last < len(body)}
            await send({"type": "http.response.body", **part})
