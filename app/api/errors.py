"""Error responses: `{"detail": ..., "code": ..., "errors": [...]}`, or another API's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Mount

from app.api.schemas import ErrorBody
from app.errors import FieldError, Problem, problem_of, show
from model.errors import CharstreamError

MAX_FIELDS = 10  # invalid fields listed in a response; a body may have many more
_MAX_NAME = 80  # characters of a field's name in a response
_METHODS = ("GET", "HEAD", "POST")

_CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}
_HINTS = {
    "/v1/chat/completions": "a character-level model has no chat format; send a prompt to "
    "/v1/completions instead (benchmark tools: choose the completions endpoint)"
}

HANDLED = (CharstreamError, RequestValidationError, HTTPException)

Format = Callable[[Problem], Response]


class InvalidFieldsError(RequestValidationError):
    """A JSON body or a query string does not match its schema, which has the `known_fields`.

    `left_out` is the number of further errors, which are counted but not listed.
    """

    def __init__(
        self, error: ValidationError, known_fields: Sequence[str], left_out: int = 0
    ) -> None:
        super().__init__(error.errors())
        self.known_fields, self.left_out = known_fields, left_out


class ErrorResponses:
    """Makes the response to every error, including the framework's own.

    Args:
        formats: functions that make the responses for paths that begin with the keys.
    """

    def __init__(self, formats: Mapping[str, Format]) -> None:
        self._formats = formats

    def install(self, app: FastAPI) -> None:
        """Make an application use these responses."""
        for kind in HANDLED:
            app.add_exception_handler(kind, self.of_error)

    def of_problem(self, path: str, problem: Problem) -> Response:
        """Return the response of a path to a problem."""
        formats = self._formats
        formatted = (formats[prefix] for prefix in formats if path.startswith(prefix))
        return next(formatted, _native_response)(problem)

    async def of_error(self, request: Request, error: Exception) -> Response:
        """Return the response to one of the errors in `HANDLED`."""
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        return self.of_problem(path, _problem(request, error))


def _problem(request: Request, error: Exception) -> Problem:
    if isinstance(error, CharstreamError):
        return problem_of(error)
    if isinstance(error, RequestValidationError):
        return _validation_problem(error)
    assert isinstance(error, HTTPException)
    return _http_problem(request, error)


def _native_response(problem: Problem) -> Response:
    body = ErrorBody(detail=problem.detail, code=problem.code, errors=list(problem.fields) or None)
    content = body.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, dict(problem.headers))


def _validation_problem(error: RequestValidationError) -> Problem:
    """Return 400 for a body that is not JSON, otherwise 422 with the invalid fields."""
    errors: Sequence[Any] = error.errors()
    known: Sequence[str] = getattr(error, "known_fields", ())
    if any(found["type"] == "json_invalid" for found in errors):
        reason = _printable(errors[0]["msg"].removeprefix("Invalid JSON: "))
        return Problem(400, "malformed", f"the body is not JSON: {reason}{_example(known)}")
    # FastAPI says first where the field was.
    start = 0 if isinstance(error, InvalidFieldsError) else 1
    fields = [_field_error(known, found, found["loc"][start:]) for found in errors[:MAX_FIELDS]]
    rest = len(errors) - len(fields) + getattr(error, "left_out", 0)
    detail = "; ".join(map(str, fields)) + (f"; and {rest} more" if rest > 0 else "")
    return Problem(422, "invalid_field", detail, fields)


def _example(known: Sequence[str]) -> str:
    """Return the advice to send an object with a field of the request."""
    name = next((name for name in ("prompt", "text", "prime") if name in known), None)
    return f'; send an object such as {{"{name}": "And Levin said,"}}' if name else ""


def _field_error(known: Sequence[str], found: Any, place: Sequence[int | str]) -> FieldError:
    location = [str(part) for part in place]
    if location[-1:] == ["[key]"]:  # Pydantic's mark of an invalid key, after the key itself
        location.pop()
    message = found["msg"].replace(" after validation", "")
    if found["type"] == "extra_forbidden":
        listed = known if len(location) == 1 else ()  # not the fields of an object inside
        message = "unknown field" + (f"; expected one of {', '.join(listed)}" if listed else "")
    if not location:
        message = "a JSON object was expected"
    return FieldError(
        field=_printable(".".join(location) or "body")[:_MAX_NAME],
        value=show(found.get("input")),
        message=_printable(message),
    )


def _http_problem(request: Request, error: HTTPException) -> Problem:
    path, method = _printable(request.url.path), _printable(request.method)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 404:
        detail = _HINTS.get(path, f"there is nothing at {path}; /docs lists the endpoints")
    elif error.status_code == 405:
        allowed = ", ".join(_allowed_methods(request)) or headers.get("Allow", "")
        detail = f"{path} does not support {method}; it supports {allowed or 'no method'}"
        headers = {"Allow": allowed}
    return Problem(
        error.status_code, _CODES.get(error.status_code, "error"), detail, headers=headers
    )


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods that a path supports. The framework lists those of one route only."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    return [
        method
        for method in _METHODS
        if any(r.matches({**request.scope, "method": method})[0] is Match.FULL for r in routes)
    ]


def _printable(text: str) -> str:
    """Return text that every encoding of a response can carry: ASCII, with escapes."""
    return text.encode("ascii", "backslashreplace").decode()
