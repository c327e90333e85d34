"""Responses: read them up to a limit, and return what they hold or raise an error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from .errors import STATUS_ERRORS, APIStatusError, CharstreamError, FieldError, ServerError

T = TypeVar("T")
UNREADABLE = (ValueError, LookupError, TypeError, RecursionError)  # of JSON that is not expected
MAX_BODY = 1 << 26  # bytes; a text of 10,000,000 characters, the most of any server, fits
ENCODINGS = ("gzip", "deflate")  # expand a part by at most a factor of about 1,000
_DECODED = (*ENCODINGS, "br", "zstd")  # httpx decodes these and passes on other encodings


@contextmanager
def understood(url: object, request_id: str | None = None) -> Iterator[None]:
    """Raise CharstreamError if what the block reads is not what a charstream server sends."""
    try:
        yield
    except UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}"
        message = f"the response of {url} does not follow charstream's protocol ({reason})"
        raise CharstreamError(message, request_id=request_id) from error


def parsed(response: httpx.Response, body: bytearray, read: Callable[[Any], T]) -> T:
    """Return what `read` finds in the JSON of a successful response, or raise CharstreamError."""
    if not response.is_success:
        raise status_error(response, body)
    with understood(response.url, response.headers.get("X-Request-ID")):
        return read(json.loads(body))


def json_object(value: Any) -> Any:
    """Return the value if it is a JSON object, or raise TypeError."""
    if not isinstance(value, dict):
        raise TypeError(f"expected a JSON object, got {type(value).__name__}")
    return value


def json_list(value: Any, name: str, length: int | None = None) -> list[Any]:
    """Return the list of this name in a JSON object, or raise one of `UNREADABLE`."""
    items = value[name]
    if not isinstance(items, list):
        raise TypeError(f"{name}: expected a list, got {type(items).__name__}")
    if length is not None and len(items) != length:
        raise ValueError(f"{name}: expected {length} items, got {len(items)}")
    return items


def strings(value: Any, *names: str) -> list[str]:
    """Return the strings of these names in a JSON object, or raise one of `UNREADABLE`."""
    for name in names:
        if not isinstance(value[name], str):
            raise TypeError(f"{name}: expected a string, got {type(value[name]).__name__}")
    return [value[name] for name in names]


def status_error(response: httpx.Response, body: bytearray) -> APIStatusError:
    """Return the error for a response whose status is not a success."""
    status = response.status_code
    try:
        value = json.loads(body)
        detail, code = strings(value, "detail", "code")
        errors = value.get("errors") or ()
        for error in errors:
            strings(error, *FieldError.__annotations__)
    except UNREADABLE:  # from a proxy between client and server
        text = body.decode(errors="replace")  # its charset may be no text encoding
        detail, code, errors = text[:200] or response.reason_phrase, "http_error", ()
    kind = STATUS_ERRORS.get(status, ServerError if status >= 500 else APIStatusError)
    return kind(
        detail,
        code,
        status_code=status,
        errors=errors,
        request_id=response.headers.get("X-Request-ID"),
        retry_after=_retry_after(response.headers.get("Retry-After", "")),
    )


def _retry_after(value: str) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date. Return None if it is none."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):  # OverflowError: a year or a zone beyond all dates
        return None


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
