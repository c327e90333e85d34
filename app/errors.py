"""Errors of the service: each class has its HTTP status and its code. Without them, it is a 500."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, Field

from app.engine.retry_after import DRAIN_RETRY_SECONDS, OVERLOAD_RETRY_SECONDS
from model.errors import CharstreamError, UnknownCharacterError

_MAX_CHARACTERS = 10  # unknown characters listed in a message
_MAX_SHOWN = 80  # characters of a value in a message
_MAX_ITEMS = 20  # of a list or an object that is shown


class FieldError(BaseModel):
    """One invalid field of a request."""

    field: str
    value: str = Field(description="The value received, shortened.")
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}, got {self.value}"


class SettingsError(CharstreamError):
    """An environment variable has an unusable value, which the message names."""


class EngineError(CharstreamError):
    """A generation cannot be served."""

    status, code = 503, "engine_failed"
    retry_after: float | None = DRAIN_RETRY_SECONDS


class QueueFullError(EngineError):
    """The slots and the queue, with `waiting` generations, have no room for those of a request."""

    code = "queue_full"
    retry_after: float

    def __init__(self, waiting: int, retry_after: float, texts: int = 1) -> None:
        self.retry_after = retry_after
        if texts > 1:
            reason = f"the queue has no room for {texts} texts ({waiting} waiting)"
        else:
            reason = f"the queue is full ({waiting} waiting)" if waiting else "all slots are busy"
        super().__init__(f"{reason}; try again in {retry_after:.0f} s")


class DeadlineError(EngineError):
    """A generation took longer than this server allows, which is `seconds`."""

    status, code = 504, "deadline_exceeded"
    retry_after = None

    def __init__(self, seconds: float) -> None:
        limit = f"this server's limit of {seconds:g} s"
        super().__init__(f"the text was not finished within {limit}; request a shorter text")


class DrainingError(EngineError):
    """The service is shutting down."""

    code = "draining"

    def __init__(self) -> None:
        super().__init__("the service is shutting down")


class OverloadedError(CharstreamError):
    """The memory budget has no room for a request of `size` bytes, for a reason."""

    status, code = 503, "overloaded"
    retry_after = OVERLOAD_RETRY_SECONDS
    headers: Mapping[str, str] = {"Connection": "close"}  # the body may not have been read

    def __init__(self, size: int, reason: str) -> None:
        super().__init__(
            "the memory budget has no room for this request, which needs up to "
            f"{size / 2**20:.1f} MiB, because of {reason}; try again in {self.retry_after} s, or "
            "send a smaller request"
        )


class InvalidFieldError(CharstreamError):
    """A field of a request has a value that this server does not accept.

    The message says what was expected.
    """

    status, code = 422, "invalid_field"

    def __init__(self, field: str, value: object, message: str) -> None:
        self.field = FieldError(field=field, value=show(value), message=message)
        super().__init__(str(self.field))


class UnknownInFieldError(UnknownCharacterError):
    """A field of a request holds characters that the vocabulary lacks. `advice` says what to do."""

    status, code = 422, "unknown_character"

    def __init__(self, field: str, error: UnknownCharacterError, advice: str = "") -> None:
        super().__init__(error.characters, error.positions)
        value = show(error.characters[:_MAX_CHARACTERS])
        self.field = FieldError(field=field, value=value, message=str(self))
        self.args = (f"{field}: {self}{advice}",)


class OtherModelError(CharstreamError):
    """A request names another model than the only one that is loaded."""

    status, code = 409, "other_model"


class UnknownModelError(CharstreamError):
    """A request names a model, and none of the loaded ones has this name or hash."""

    status, code = 404, "unknown_model"


class UnauthorizedError(CharstreamError):
    """A request lacks a valid key, or the kind of key that is `needed`."""

    status, code = 401, "unauthorized"
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}

    def __init__(self, needed: str = "a valid key") -> None:
        super().__init__(f"{needed} is required: send the header Authorization: Bearer KEY")


class ForbiddenError(CharstreamError):
    """A request needs an operator's key, and no keys are set."""

    status, code = 403, "forbidden"

    def __init__(self) -> None:
        super().__init__(
            "this endpoint is for operators, and no keys are set: set CHARSTREAM_ADMIN_KEYS, "
            "or send SIGHUP to the process"
        )


class CrossSiteError(CharstreamError):
    """A web page of another site sends requests, and CORS does not allow its origin."""

    status, code = 403, "cross_site"

    def __init__(self) -> None:
        super().__init__(
            "pages of other sites may not send requests; the operator can allow their origins "
            "with CHARSTREAM_CORS_ORIGINS"
        )


class RateLimitError(CharstreamError):
    """A client sends more requests than allowed. The next one may come after some seconds."""

    status, code = 429, "rate_limited"

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many requests; try again in {math.ceil(retry_after)} s")


class BodyTooLargeError(CharstreamError):
    """A request body is over the limit, in bytes."""

    status, code = 413, "body_too_large"
    headers: Mapping[str, str] = {"Connection": "close"}

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than the limit of {limit} bytes")


class ReloadError(CharstreamError):
    """A checkpoint cannot be reloaded. The loaded models stay in use."""

    status, code = 409, "not_reloaded"


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
    """Return the status, the code and the detail of an error. Without a status, it is 500."""
    headers = dict(getattr(error, "headers", {}))
    if (seconds := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(math.ceil(seconds))
    fields = [error.field] if isinstance(error, InvalidFieldError | UnknownInFieldError) else []
    status, code = getattr(error, "status", INTERNAL.status), getattr(error, "code", INTERNAL.code)
    return Problem(status, code, str(error), fields, headers)


def show(value: object) -> str:
    """Return a value as a short literal. Characters that JSON cannot carry are escaped."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list | dict) and len(value) > _MAX_ITEMS:
        kind = "a list" if isinstance(value, list) else "an object"
        return f"{kind} of {len(value)} items"
    shown = repr(value[:_MAX_SHOWN] if isinstance(value, str) else value)
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 3] + "..."
