"""Errors of the service, and the table that maps every error to an HTTP status and a code.

CharstreamError (model.errors)
├── SettingsError           an environment variable has an unusable value
├── EngineError             a generation cannot be served
│   ├── QueueFullError      the slots and the queue have no room
│   ├── TooManyTextsError   the texts to score are over their limit together
│   ├── DeadlineError       a generation took longer than the operator allows
│   └── DrainingError       the service is shutting down
├── InvalidFieldError       a field of a request has an unacceptable value
├── UnknownInFieldError     a field holds characters that the vocabulary lacks
├── OtherModelError         a request names another model than the only one that is loaded
├── UnknownModelError       a request names none of the loaded models
├── UnauthorizedError       a request lacks a valid key
├── ForbiddenError          a request needs a key, and the operator has set none
├── CrossSiteError          a page of another site sends requests without CORS
├── RateLimitError          a client sends too many requests
├── BodyTooLargeError       a request body is over the limit
├── BodiesTooLargeError     the bodies that are arriving are over their limit
├── TooManyResultsError     the JSON results of all requests are over their limit
├── TooManyPatternsError    too many patterns are being compiled
└── ReloadError             a checkpoint cannot be reloaded; the loaded models stay
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from app.field_error import FieldError, show
from model.errors import CharstreamError, UnknownCharacterError

DRAIN_RETRY_SECONDS = 5  # after this time another replica, or the next version, should respond

_MAX_CHARACTERS = 10  # unknown characters listed in a message


class SettingsError(CharstreamError):
    """An environment variable has an unusable value.

    The message names the variable, its value and what is expected.
    """


class EngineError(CharstreamError):
    """A generation cannot be served."""

    retry_after: float | None = DRAIN_RETRY_SECONDS

    def copy(self) -> Self:
        """Return a new exception with the same content.

        A raised exception keeps the frames that it passed through, so one instance must not be
        raised for several requests.
        """
        error = type(self).__new__(type(self), *self.args)
        error.__dict__.update(self.__dict__)
        return error


class QueueFullError(EngineError):
    """The slots and the waiting queue have no room for a request.

    Args:
        waiting: number of generations in the queue.
        retry_after: estimated seconds until there is room.
        texts: number of generations that the request needs.
    """

    retry_after: float

    def __init__(self, waiting: int, retry_after: float, texts: int = 1) -> None:
        self.retry_after = retry_after
        reason = "is full" if texts == 1 else f"has no room for {texts} texts"
        super().__init__(
            f"the queue {reason} ({waiting} waiting); try again in {retry_after:.0f} s"
        )


class TooManyTextsError(EngineError):
    """The texts that all clients want to score take too much memory together."""

    retry_after = 1.0

    def __init__(self) -> None:
        super().__init__("the texts of all requests to /score are too large; try again in 1 s")


class DeadlineError(EngineError):
    """A generation took longer than this server allows.

    Args:
        seconds: the server's limit.
    """

    retry_after = None

    def __init__(self, seconds: float) -> None:
        limit = f"this server's limit of {seconds:g} s"
        super().__init__(f"the text was not finished within {limit}; request a shorter text")


class DrainingError(EngineError):
    """The service is shutting down."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down")


class InvalidFieldError(CharstreamError):
    """A field of a request has a value that this server does not accept.

    Args:
        field: name of the field.
        value: the value received.
        message: what was expected.
    """

    def __init__(self, field: str, value: object, message: str) -> None:
        self.error = FieldError(field=field, value=show(value), message=message)
        super().__init__(str(self.error))


class UnknownInFieldError(UnknownCharacterError):
    """A field of a request holds characters that the vocabulary lacks.

    Args:
        field: name of the field.
        error: the error that lists the characters.
        advice: what to do.
    """

    def __init__(self, field: str, error: UnknownCharacterError, advice: str = "") -> None:
        super().__init__(error.characters, error.positions)
        value = show("".join(error.characters[:_MAX_CHARACTERS]))
        self.error = FieldError(field=field, value=value, message=str(self))
        self.args = (f"{self}{advice}",)


class OtherModelError(CharstreamError):
    """A request names another model than the only one that is loaded."""


class UnknownModelError(CharstreamError):
    """A request names a model, and none of the loaded ones has this name or hash."""


class UnauthorizedError(CharstreamError):
    """A request lacks a valid key.

    Args:
        needed: the kind of key that the request needs.
    """

    def __init__(self, needed: str = "a valid key") -> None:
        super().__init__(f"{needed} is required: send the header Authorization: Bearer KEY")


class ForbiddenError(CharstreamError):
    """A request needs an operator's key, and no keys are set."""

    def __init__(self) -> None:
        super().__init__(
            "this endpoint is for operators, and no keys are set: set CHARSTREAM_ADMIN_KEYS, "
            "or send SIGHUP to the process"
        )


class CrossSiteError(CharstreamError):
    """A web page of another site sends requests, and CORS does not allow its origin."""

    def __init__(self) -> None:
        super().__init__(
            "pages of other sites may not send requests; the operator can allow their origins "
            "with CHARSTREAM_CORS_ORIGINS"
        )


class RateLimitError(CharstreamError):
    """A client sends more requests than the rate limit allows.

    Args:
        retry_after: seconds until the client may send the next request.
    """

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many requests; try again in {math.ceil(retry_after)} s")


class BodyTooLargeError(CharstreamError):
    """A request body is over the limit.

    Args:
        limit: the limit in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than the limit of {limit} bytes")


class BodiesTooLargeError(CharstreamError):
    """All request bodies that are arriving are together over the limit."""

    retry_after = 1.0

    def __init__(self) -> None:
        super().__init__("too many large requests are arriving at the same time; try again in 1 s")


class TooManyResultsError(CharstreamError):
    """The JSON results of all requests, or of one client, are over their limit together."""

    retry_after = 5.0

    def __init__(self, whose: str = "") -> None:
        responses = f"large JSON responses {whose}".rstrip()
        super().__init__(
            f"too many {responses} are being made or sent; try again in {self.retry_after:.0f} s"
        )


class TooManyPatternsError(CharstreamError):
    """A new pattern cannot be compiled, because too many patterns or requests wait.

    Args:
        reason: what happened.
        retry_after: estimated seconds until those that wait now have been compiled.
    """

    def __init__(self, reason: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"{reason}; try again in {math.ceil(retry_after)} s")


class ReloadError(CharstreamError):
    """A checkpoint cannot be reloaded. The loaded models stay in use."""


# Exception, status, code. The first match applies.
_TABLE: Sequence[tuple[type[CharstreamError], int, str]] = (
    (InvalidFieldError, 422, "invalid_field"),
    (UnknownCharacterError, 422, "unknown_character"),
    (OtherModelError, 409, "other_model"),
    (UnknownModelError, 404, "unknown_model"),
    (UnauthorizedError, 401, "unauthorized"),
    (ForbiddenError, 403, "forbidden"),
    (CrossSiteError, 403, "cross_site"),
    (RateLimitError, 429, "rate_limited"),
    (BodyTooLargeError, 413, "body_too_large"),
    (BodiesTooLargeError, 503, "too_many_bodies"),
    (TooManyResultsError, 503, "too_many_results"),
    (TooManyPatternsError, 503, "too_many_patterns"),
    (ReloadError, 409, "not_reloaded"),
    (QueueFullError, 503, "queue_full"),
    (TooManyTextsError, 503, "too_many_texts"),
    (DeadlineError, 504, "deadline_exceeded"),
    (DrainingError, 503, "draining"),
    (EngineError, 503, "engine_failed"),
    (CharstreamError, 500, "internal"),
)


@dataclass(frozen=True)
class Problem:
    """The content of an error response. `api.errors` and `openai.errors` format it."""

    status: int
    code: str
    detail: str
    fields: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


INTERNAL = Problem(500, "internal", "the server failed on this request and logged the reason")


def problem_of(error: CharstreamError) -> Problem:
    """Return the status, the code and the detail of an error."""
    status, code = next((s, code) for kind, s, code in _TABLE if isinstance(error, kind))
    if isinstance(error, UnknownInFieldError):
        return Problem(status, code, f"{error.error.field}: {error}", [error.error])
    fields = [error.error] if isinstance(error, InvalidFieldError) else []
    return Problem(status, code, str(error), fields, _headers(error))


def _headers(error: CharstreamError) -> Mapping[str, str]:
    headers = {}
    if (seconds := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(math.ceil(seconds))
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, BodyTooLargeError | BodiesTooLargeError):
        headers["Connection"] = "close"
    return headers
