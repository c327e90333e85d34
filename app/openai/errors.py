"""Error responses of /v1, in OpenAI's format: `{"error": {...}}` and OpenAI's statuses."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import openapi
from app.api.errors import EXPECTED_ERRORS, allowed_methods, problem_for
from app.errors import INTERNAL, Problem
from app.middleware.request_log import RequestRecord
from app.openai.schemas import OpenAIError, OpenAIErrorBody

logger = logging.getLogger("charstream")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_STATUSES = {409: 404, 422: 400}  # status of the native API -> status of OpenAI's API
_CODES = {
    "unauthorized": "invalid_api_key",
    "other_model": "model_not_found",
    "unknown_model": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
}
_NO_CHAT = (
    "a character-level model has no chat format; send a prompt to /v1/completions instead "
    "(benchmark tools: choose the completions endpoint)"
)
_DESCRIPTIONS = {
    400: "The body is not JSON, a field is invalid, or the vocabulary lacks a character.",
    404: "The request names a model that is not loaded.",
}


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's format."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except EXPECTED_ERRORS as error:
                return _response(problem_for(request, error))
            except ClientDisconnect:
                raise
            except Exception as error:
                fields = {"request_id": RequestRecord.of(request.scope).id}
                logger.error("a request failed", exc_info=error, extra={"fields": fields})
                return _response(INTERNAL)

        return handle_errors


async def unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application for requests without a route under /v1. The response is 405 or 404."""
    request = Request(scope, receive)
    error = HTTPException(405 if allowed_methods(request) else 404)
    problem = problem_for(request, error)
    if scope["path"].endswith("/chat/completions"):
        problem = dataclasses.replace(problem, detail=_NO_CHAT)
    await _response(problem)(scope, receive, send)


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


def _response(problem: Problem) -> Response:
    status, headers = _status(problem.status), dict(problem.headers)
    return JSONResponse(error_content(problem), status, headers)


def _status(status: int) -> int:
    return _STATUSES.get(status, status)


def _type(status: int) -> Literal["invalid_request_error", "rate_limit_error", "server_error"]:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
