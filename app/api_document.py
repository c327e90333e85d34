"""API document: what /openapi.json says of bodies and answers beside what FastAPI finds itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from app.event_stream import MODEL_HEADER
from app.openai_errors import openai_status
from app.openai_schemas import OpenAIErrorBody
from app.schemas import ErrorBody

Responses = dict[int | str, dict[str, Any]]

_ERRORS = {
    400: "The body is not JSON.",
    401: "No or a wrong key.",
    409: "Another model is loaded than the request names.",
    413: "The body is too large.",
    422: "A field or a character is not acceptable.",
    429: "The key is over its rate.",
    500: "The server failed at this request, and has logged why.",
    503: "Full or shutting down.",
    504: "The text took longer than this server allows.",
}
_OPENAI_ERRORS = {
    400: "The body is not JSON, or a field or a character is not acceptable.",
    404: "Another model is loaded than the request names.",
}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


_RETRY_AFTER = {"Retry-After": _header("Seconds until it is worth another attempt.")}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": _header("Always Bearer.")},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}

_HASH = {MODEL_HEADER: _header("Of a stream: the model's hash, to name when it goes on.")}

NOTHING_LEFT: Responses = {
    204: {"description": "Last-Event-ID was the text's last character: there is nothing left."}
}


def errors(*statuses: int) -> Responses:
    """The answers that are errors, in the service's own shape."""
    return {status: _error(ErrorBody, status, _ERRORS[status]) for status in statuses}


def openai_errors(*statuses: int) -> Responses:
    """The same on /v1, in OpenAI's shape and with the statuses that stand there for these."""
    answered = {openai_status(status): status for status in statuses}
    return {
        status: _error(OpenAIErrorBody, status, _OPENAI_ERRORS.get(status, _ERRORS[own]))
        for status, own in answered.items()
    }


def _error(model: type[BaseModel], status: int, description: str) -> dict[str, Any]:
    return {"model": model, "description": description, "headers": _HEADERS.get(status, {})}


def events(kinds: Sequence[dict[str, Any]], *examples: str) -> Responses:
    """A successful answer that is a stream of server-sent events, each of one of the kinds."""
    content = {
        "itemSchema": {"anyOf": list(kinds)},  # of OpenAPI 3.2
        "example": "".join(f"{example}\n\n" for example in examples),
    }
    return {200: {"content": {"text/event-stream": content}, "headers": _HASH}}


def kind(data: type[BaseModel], name: str = "message") -> dict[str, Any]:
    """A kind of event by its name, and what its data is: JSON."""
    return {
        "type": "object",
        "properties": {
            "event": {"const": name},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": _schema(data),
            },
            "id": {"type": "string"},
        },
        "required": ["data"],
    }


def event(data: object, **fields: str) -> str:
    """An event as it stands in a stream."""
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\n".join([*lines, f"data: {json.dumps(data)}"])


def body(
    model: type[BaseModel], required: bool = True, **examples: Mapping[str, Any]
) -> dict[str, Any]:
    """A request's body, which the route reads and validates by itself."""
    told = {name.replace("_", " "): {"value": value} for name, value in examples.items()}
    content = {"application/json": {"schema": _schema(model), "examples": told}}
    return {"requestBody": {"content": content, "required": required}}


def _schema(model: type[BaseModel]) -> Any:
    """A model's JSON schema in one piece, without references."""
    whole = model.model_json_schema()
    parts = whole.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return resolved(parts[value["$ref"].rpartition("/")[2]])
            return {name: resolved(inner) for name, inner in value.items()}
        return [resolved(inner) for inner in value] if isinstance(value, list) else value

    return resolved(whole)
