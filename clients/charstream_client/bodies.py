"""Bodies: read the whole body of a response, up to a limit that no charstream server exceeds."""

from __future__ import annotations

import httpx

from .responses import understood

MAX_BODY = 1 << 26  # bytes; a text of 10,000,000 characters, the most of any server, fits
ENCODINGS = ("gzip", "deflate")  # expand a part by at most a factor of about 1,000


def check_encoding(response: httpx.Response) -> None:
    """Raise CharstreamError if a small part of the body may expand without a limit."""
    with understood(response.url, response.headers.get("X-Request-ID")):
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() not in (*ENCODINGS, "identity"):
            raise ValueError(f"the body has the Content-Encoding {encoding!r}")


def read_body(response: httpx.Response) -> bytearray:
    """Return the body of a response. Raise CharstreamError if it is too long."""
    check_encoding(response)
    body = bytearray()
    for data in response.iter_bytes():
        _extend(body, data, response)
    return body


async def aread_body(response: httpx.Response) -> bytearray:
    """Return the body of a response. Raise CharstreamError if it is too long."""
    check_encoding(response)
    body = bytearray()
    async for data in response.aiter_bytes():
        _extend(body, data, response)
    return body


def _extend(body: bytearray, data: bytes, response: httpx.Response) -> None:
    with understood(response.url, response.headers.get("X-Request-ID")):
        if len(body) + len(data) > MAX_BODY:
            raise ValueError(f"the body has more than {MAX_BODY:,} bytes")
    body += data
