"""OpenAI's shape of errors: what /v1 answers instead of the service's own."""

from __future__ import annotations

from typing import Any, Literal

from app.openai_schemas import OpenAIError, OpenAIErrorBody

PREFIX = "/v1/"

_STATUSES = {409: 404, 422: 400}
_CODES = {
    "unauthorized": "invalid_api_key",
    "other_model": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
}


def openai_status(status: int) -> int:
    """What OpenAI answers where the service itself answers `status`."""
    return _STATUSES.get(status, status)


def openai_error(status: int, code: str, detail: str, field: str | None = None) -> dict[str, Any]:
    """An error of the service in OpenAI's words, an `OpenAIErrorBody`; `field` is at fault."""
    if code == "other_model":
        field = "model"
    error = OpenAIError(
        message=detail,
        type=_type(status),
        param=field and field.partition(".")[0],
        code=_CODES.get(code, code),
    )
    return OpenAIErrorBody(error=error).model_dump()


def _type(status: int) -> Literal["invalid_request_error", "rate_limit_error", "server_error"]:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
