"""Whole responses: return the result, or raise the error for the status."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from .errors import STATUS_ERRORS, APIStatusError, CharstreamError, ServerError


def parsed(response: httpx.Response) -> Any:
    """Return the JSON of a successful response, or raise CharstreamError."""
    if not response.is_success:
        raise status_error(response)
    try:
        return response.json()
    except ValueError as error:
        raise CharstreamError(f"the response of {response.url} is not JSON") from error


def status_error(response: httpx.Response) -> APIStatusError:
    """Return the error for a response whose status is not a success."""
    status = response.status_code
    try:
        body = response.json()
        detail, code, errors = body["detail"], body["code"], body.get("errors") or ()
    except (ValueError, KeyError, TypeError):  # from a proxy between client and server
        detail, code, errors = response.text[:200] or response.reason_phrase, "http_error", ()
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
    except ValueError:
        return None
