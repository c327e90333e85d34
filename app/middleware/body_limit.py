"""Body limit: read a request body of a limited size."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.errors import BodyTooLargeError

_MOST_DIGITS = 18  # of an announced length: more than any body has


async def read_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        BodyTooLargeError: as soon as the body is known to be larger than the server's limit. At
            most the limit is held in memory.
        ClientDisconnect: if the client disconnects before the end of the body.
    """
    limit: int = request.app.state.settings.max_request_bytes
    if _announced_length(request) > limit:
        raise BodyTooLargeError(limit)
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise BodyTooLargeError(limit)
        body += chunk
    return bytes(body)


Body = Annotated[bytes, Depends(read_body)]


def _announced_length(request: Request) -> int:
    """Return the value of Content-Length in bytes, or 0 if there is none."""
    value = request.headers.get("content-length", "")
    return int(value.lstrip("0")[:_MOST_DIGITS] or "0") if value.isdigit() else 0
