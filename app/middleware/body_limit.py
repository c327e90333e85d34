"""Body limit: bound the size of a request body, and of all bodies that are arriving."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.errors import BodiesTooLargeError, BodyTooLargeError

_MAX_DIGITS = 18  # of an announced length: more than any body has
_MAX_ARRIVING = 64 << 20  # bytes of all large bodies together
_SMALL = 16 << 10  # bytes; a body up to this size is always read


class ArrivingBodies:
    """Bounds the memory for bodies that have begun to arrive and have not ended.

    A client can keep a body open, and each one is held in memory. The first bytes of a body do not
    count, so that clients with large bodies cannot keep out those with small ones.

    Args:
        limit: bytes that may be held in total, apart from the first ones of each body.
    """

    def __init__(self, limit: int = _MAX_ARRIVING) -> None:
        self._limit = limit
        self._held = 0

    def add(self, size: int, more: int) -> None:
        """Count `more` bytes of a body of which `size` bytes have arrived before.

        Raises:
            BodiesTooLargeError: if all bodies together are over the limit. Nothing is counted then.
        """
        counted = _counted(size + more) - _counted(size)
        if self._held + counted > self._limit:
            raise BodiesTooLargeError()
        self._held += counted

    def release(self, size: int) -> None:
        """Stop counting a body of which `size` bytes have arrived."""
        self._held -= _counted(size)


def _counted(size: int) -> int:
    return max(0, size - _SMALL)


class ReceivedBody:
    """The body of a request, until it is taken.

    The framework keeps what it passes to an endpoint until the endpoint has returned. A request
    may wait for minutes, and its body is not needed any more when it has been parsed.
    """

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content

    def take(self) -> bytes:
        """Return the body, and keep it no longer. It can be taken once."""
        content, self._content = self._content, None
        if content is None:
            raise RuntimeError("the body was taken before")
        return content


async def read_body(request: Request) -> ReceivedBody:
    """Return the body of a request.

    Raises:
        BodyTooLargeError: as soon as the body is known to be larger than the server's limit. At
            most the limit is held in memory.
        BodiesTooLargeError: if too many large bodies arrive at the same time.
        ClientDisconnect: if the client disconnects before the end of the body.
    """
    limit: int = request.app.state.settings.max_request_bytes
    if _announced_length(request) > limit:
        raise BodyTooLargeError(limit)
    arriving: ArrivingBodies = request.app.state.arriving_bodies
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > limit:
                raise BodyTooLargeError(limit)
            arriving.add(len(body), len(chunk))
            body += chunk
        return ReceivedBody(bytes(body))
    finally:
        arriving.release(len(body))


Body = Annotated[ReceivedBody, Depends(read_body)]


def _announced_length(request: Request) -> int:
    """Return the value of Content-Length in bytes, or 0 if there is none."""
    value = request.headers.get("content-length", "")
    return int(value.lstrip("0")[:_MAX_DIGITS] or "0") if value.isdigit() else 0
