"""Errors over HTTP: one table from exceptions to statuses, one shape for all bodies."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from app.openai_errors import PREFIX, openai_error, openai_status
from app.schemas import ErrorBody, FieldError, GenerateRequest
from model.errors import (
    CharstreamError,
    DeadlineError,
    DrainingError,
    EngineError,
    QueueFullError,
    UnknownCharacterError,
)

logger = logging.getLogger("charstream")

_DRAIN_RETRY_SECONDS = 5  # by then another replica, or the next version, should answer

_SHOWN = 10  # fields at fault; a body may have many more

_CODES = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}


def code_of(error: CharstreamError) -> str:
    """The word for an error that goes with its message."""
    return _status_and_code(error)[1]


def _status_and_code(error: CharstreamError) -> tuple[int, str]:
    return next((status, code) for kind, status, code in _TABLE if isinstance(error, kind))


class OtherModelError(CharstreamError):
    """A request names another model than the loaded one."""


class UnknownInFieldError(UnknownCharacterError):
    """A field's text holds characters that the model does not know."""

    def __init__(self, field: str, error: UnknownCharacterError) -> None:
        self.field = field
        super().__init__(error.characters, error.positions)


class RateLimitError(CharstreamError):
    """A client asks more often than it may.

    Args:
        retry_after: seconds after which it may ask again.
    """

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many requests; try again in {math.ceil(retry_after)} s")


class ReloadError(CharstreamError):
    """A checkpoint could not be loaded anew; the old one goes on."""


class InvalidFieldError(CharstreamError):
    """A field's value is not acceptable to this server."""

    def __init__(self, field: str, value: object, message: str) -> None:
        self.error = FieldError(field=field, value=_show(value), message=message)
        super().__init__(_sentence(self.error))


# Exception -> status and code; the first that fits counts.
_TABLE: Sequence[tuple[type[CharstreamError], int, str]] = (
    (UnknownCharacterError, 422, "unknown_character"),
    (OtherModelError, 409, "other_model"),
    (RateLimitError, 429, "rate_limited"),
    (ReloadError, 409, "not_reloaded"),
    (QueueFullError, 503, "queue_full"),
    (DeadlineError, 504, "deadline_exceeded"),
    (DrainingError, 503, "draining"),
    (EngineError, 503, "engine_failed"),
    (CharstreamError, 500, "internal"),
)


def error_response(
    status: int,
    code: str,
    detail: str,
    errors: list[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
    path: str = "",
) -> JSONResponse:
    """An answer in the one shape that errors have; for a path of /v1 in OpenAI's."""
    if path.startswith(PREFIX):
        content = openai_error(status, code, detail, errors[0].field if errors else None)
        return JSONResponse(content, openai_status(status), headers)
    body = ErrorBody(detail=detail, code=code, errors=errors)
    return JSONResponse(body.model_dump(exclude_none=True), status, headers)


def validation_response(
    errors: Sequence[Any], known: Sequence[str] = (), path: str = ""
) -> JSONResponse:
    """The answer to pydantic's findings: 400 for what is not JSON, else 422 naming each field."""
    if any(error["type"] == "json_invalid" for error in errors):
        reason = _ascii(errors[0]["msg"].removeprefix("Invalid JSON: "))
        return error_response(400, "malformed", f"the body is not JSON: {reason}", path=path)
    fields = [_field_error(error, known) for error in errors[:_SHOWN]]
    rest = len(errors) - len(fields)
    detail = "; ".join(map(_sentence, fields)) + (f"; and {rest} more" if rest > 0 else "")
    return error_response(422, "invalid_field", detail, fields, path=path)


def install(app: FastAPI) -> None:
    """Makes every error of an app, the framework's own included, answer in the one shape."""
    app.add_exception_handler(CharstreamError, _on_charstream_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ValidationError, _on_validation_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_charstream_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CharstreamError)
    path = request.url.path
    if isinstance(error, InvalidFieldError):
        return error_response(422, "invalid_field", str(error), [error.error], path=path)
    status, code = _status_and_code(error)
    if isinstance(error, UnknownInFieldError):
        value = _show("".join(error.characters[:_SHOWN]))
        field = FieldError(field=error.field, value=value, message=str(error))
        return error_response(status, code, f"{error.field}: {error}", [field], path=path)
    return error_response(status, code, str(error), headers=_retry_header(error), path=path)


async def _on_disconnect(_: Request, error: Exception) -> Response:
    logger.debug("a client went away while it sent a request", exc_info=error)
    return Response(status_code=400)  # which nobody will see


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError | ValidationError)
    of_query = any(found["loc"][:1] == ("query",) for found in error.errors())
    known = list(GenerateRequest.model_fields) if of_query else ()
    return validation_response(error.errors(), known, request.url.path)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    path = request.url.path
    detail = {
        404: f"there is nothing at {_ascii(path)}; /docs lists what there is",
        405: f"{_ascii(path)} does not answer {_ascii(request.method)}",
    }.get(error.status_code, error.detail)
    code = _CODES.get(error.status_code, "error")
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return error_response(error.status_code, code, detail, headers=headers, path=path)


def _allowed(request: Request) -> str:
    """The methods that some route answers at a path; the framework names one route's alone."""
    routes: Sequence[BaseRoute] = request.app.routes
    return ", ".join(
        method
        for method in ("GET", "HEAD", "POST")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    )


def unexpected_response(path: str) -> JSONResponse:
    """The answer to what nobody expected."""
    detail = "the server failed at this request; it has been logged"
    return error_response(500, "internal", detail, path=path)


def _retry_header(error: CharstreamError) -> Mapping[str, str] | None:
    if isinstance(error, QueueFullError | RateLimitError):
        return {"Retry-After": str(math.ceil(error.retry_after))}
    if isinstance(error, EngineError) and not isinstance(error, DeadlineError):
        return {"Retry-After": str(_DRAIN_RETRY_SECONDS)}
    return None


def _field_error(error: Any, known: Sequence[str]) -> FieldError:
    place = [str(part) for part in error["loc"] if part not in ("query", "body")]
    message = error["msg"]
    if error["type"] == "extra_forbidden":
        message = "unknown field" + (f"; known are {', '.join(known)}" if known else "")
    if not place:
        message = "a JSON object was expected"
    return FieldError(
        field=_ascii(".".join(place) or "body")[:80],
        value=_show(error.get("input")),
        message=_ascii(message),
    )


def _sentence(error: FieldError) -> str:
    return f"{error.field}: {error.message}, got {error.value}"


def _show(value: object) -> str:
    """A value as short ASCII, so that no answer carries what JSON cannot."""
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
