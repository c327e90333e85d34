"""Bodies: read the whole body of a response, up to a limit that no charstream server exceeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from .errors import CharstreamError
from .responses import status_error, understood

MAX_BODY = 1 << 26  # bytes; a text of 10,000,000 characters, the most of any server, fits
ENCODINGS = ("gzip", "deflate")  # expand a part by at most a factor of about 1,000
_DECODED = (*ENCODINGS, "br", "zstd")  # httpx decodes these and passes on other encodings


def check_encoding(response: httpx.Response) -> None:
    """Raise CharstreamError if a small part of the body may expand without a limit."""
    with understood(response.url, response.headers.get("X-Request-ID")):
        names = response.headers.get_list("Content-Encoding", split_commas=True)
        decoded = [name for name in names if name.lower() in _DECODED]
        if len(decoded) > 1 or any(name.lower() not in ENCODINGS for name in decoded):
            raise ValueError(f"the body has the Content-Encoding {', '.join(names)!r}")


def read_body(response: httpx.Response) -> bytearray:
    """Return the body of a response.

    If it is too long or cannot be decoded, raise the error for the status, or CharstreamError if
    the status is a success.
    """
    body = bytearray()
    with _keeping_the_status(response):
        check_encoding(response)
        for data in response.iter_bytes():
            _extend(body, data, response)
    return body


async def aread_body(response: httpx.Response) -> bytearray:
    """Return the body of a response. Raises as `read_body` does."""
    body = bytearray()
    with _keeping_the_status(response):
        check_encoding(response)
        async for data in response.aiter_bytes():
            _extend(body, data, response)
    return body


@contextmanager
def _keeping_the_status(response: httpx.Response) -> Iterator[None]:
    try:
        yield
    except (CharstreamError, httpx.DecodingError) as error:
        if response.is_success:
            raise
        raise status_error(response, bytearray()) from error


def _extend(body: bytearray, data: bytes, response: httpx.Response) -> None:
    with understood(response.url, response.headers.get("X-Request-ID")):
        if len(body) + len(data) > MAX_BODY:
            raise ValueError(f"the body has more than {MAX_BODY:,} bytes")
    body += data
