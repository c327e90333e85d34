"""Error responses of /v1, in OpenAI's format: `{"error": {...}}` and OpenAI's statuses."""

from __future__ import annotations

from typing import Any, Literal

from fastapi.responses import JSONResponse
from starlette.responses import Response

from app.api import openapi
from app.errors import Problem
from app.openai.schemas import OpenAIError, OpenAIErrorBody

_STATUSES = {409: 404, 422: 400}  # status of the native API -> status of OpenAI's API
_CODES = {
    "unauthorized": "invalid_api_key",
    "other_model": "model_not_found",
    "unknown_model": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
}
_DESCRIPTIONS = {
    400: "The body is not JSON, a field is invalid, or the vocabulary lacks a character.",
    404: "The request names a model that is not loaded.",
}


def error_content(problem: Problem) -> dict[str, Any]:
    """Return the fields of an `OpenAIErrorBody` that describes a problem."""
    field = problem.fields[0].field if problem.fields else None
    if _CODES.get(problem.code) == "model_not_found":
        field = "model"
    error = OpenAIError(
        message=problem.detail,
        type=_type(problem.status),
        param=field and field.partition(".")[0],
        code=_CODES.get(problem.code, problem.code),
    )
    return OpenAIErrorBody(error=error).model_dump()


def error_responses(*statuses: int) -> openapi.Responses:
    """Return the OpenAPI description of /v1's errors for the given statuses of the native API."""
    descriptions = openapi.ERRORS | _DESCRIPTIONS
    return {
        status: openapi.error(OpenAIErrorBody, status, descriptions[status])
        for status in map(_status, statuses)
    }


def error_response(problem: Problem) -> Response:
    """Return the error response for a problem."""
    status, headers = _status(problem.status), dict(problem.headers)
    return JSONResponse(error_content(problem), status, headers)


def _status(status: int) -> int:
    return _STATUSES.get(status, status)


def _type(status: int) -> Literal["invalid_request_error", "rate_limit_error", "server_error"]:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
