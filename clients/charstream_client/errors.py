"""The exceptions that calls raise, and the table that maps HTTP statuses to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict


class FieldError(TypedDict):
    """An invalid field of a request."""

    field: str
    value: str
    message: str


@dataclass(eq=False)
class CharstreamError(Exception):
    """Base of all errors of this package."""

    detail: str  # what is wrong, in words
    code: str = "client_error"  # the server's name of the error, such as "queue_full"
    status_code: int | None = field(default=None, kw_only=True)  # of an HTTP error response
    errors: Sequence[FieldError] = field(default=(), kw_only=True)  # the invalid fields
    request_id: str | None = field(default=None, kw_only=True)  # as in the server's log
    retry_after: float | None = field(default=None, kw_only=True)  # seconds until it may succeed

    def __str__(self) -> str:
        status = f" (HTTP {self.status_code})" if self.status_code else ""
        return f"{self.code}: {self.detail}{status}"


class APIConnectionError(CharstreamError):
    """The server cannot be reached, or the connection broke."""


class APITimeoutError(APIConnectionError):
    """The server did not respond within this client's timeout."""


class APIStatusError(CharstreamError):
    """The server's response is not a success."""


class BadRequestError(APIStatusError):
    """400: the request is malformed."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing or wrong."""


class NotFoundError(APIStatusError):
    """404: there is nothing at this path, or none of several models has this name or hash."""


class ConflictError(APIStatusError):
    """409: the only model that is loaded is another one."""


class InvalidRequestError(APIStatusError):
    """422: fields are invalid; see `errors`."""


class RateLimitError(APIStatusError):
    """429: too many requests; see `retry_after`."""


class ServerError(APIStatusError):
    """500 and above: the server failed, or a proxy in front of it."""


class UnavailableError(ServerError):
    """503: the server is full or restarting; see `retry_after`."""


class StreamError(CharstreamError):
    """The server ended a stream with an `error` event."""


STATUS_ERRORS: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidRequestError,
    429: RateLimitError,
    503: UnavailableError,
}
