"""OpenAPI: descriptions of bodies and responses that FastAPI cannot derive from the code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from app.api.schemas import ErrorBody
from app.api.sse import MODEL_HEADER

Responses = dict[int | str, dict[str, Any]]

ERRORS = {
    400: "The body is not JSON.",
    401: "The key is missing or wrong.",
    403: "A page of another site sent the request, and CORS does not allow its origin.",
    404: "Several models are loaded, and the request names none of them.",
    409: "One model is loaded, and the request names another one.",
    413: "The body is too large.",
    422: "A field has an invalid value, or the vocabulary lacks a character.",
    429: "The client sends too many requests.",
    431: "The URL is too long. POST takes longer primes.",
    500: "The server failed on this request and logged the reason.",
    503: "The server is full or shutting down.",
    504: "The text took longer than this server allows.",
}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


_RETRY_AFTER = {"Retry-After": _header("Seconds to wait before the next attempt.")}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": _header("Always Bearer.")},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}

_HASH = {
    MODEL_HEADER: _header(
        "The hash of the model that generates the stream. Send it as `model` to resume."
    )
}

RELOAD_ERRORS: Responses = {
    401: {"model": ErrorBody, "description": "The key is missing or wrong."},
    403: {"model": ErrorBody, "description": "No keys are set. Send SIGHUP to reload instead."},
    409: {"model": ErrorBody, "description": "The reload failed; the loaded models stay in use."},
}
NOTHING_LEFT: Responses = {
    204: {"description": "Last-Event-ID names the last character: nothing is left to send."}
}


def errors(*statuses: int) -> Responses:
    """Return the error responses of the native API with these statuses."""
    return {status: error(ErrorBody, status, ERRORS[status]) for status in statuses}


def error(model: type[BaseModel], status: int, description: str) -> dict[str, Any]:
    """Return the description of one error response."""
    return {"model": model, "description": description, "headers": _HEADERS.get(status, {})}


def events(kinds: Sequence[dict[str, Any]], *examples: str) -> Responses:
    """Return the description of a stream of server-sent events of these kinds."""
    content = {
        "itemSchema": {"anyOf": list(kinds)},  # of OpenAPI 3.2
        "example": "".join(f"{example}\n\n" for example in examples),
    }
    return {200: {"content": {"text/event-stream": content}, "headers": _HASH}}


def kind(data: type[BaseModel], name: str = "message") -> dict[str, Any]:
    """Return the schema of the events with a name, whose data is JSON."""
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
    """Return an event as it appears in a stream."""
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\n".join([*lines, f"data: {json.dumps(data)}"])


def body(
    model: type[BaseModel], required: bool = True, **examples: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the description of a body that the endpoint reads and validates itself."""
    named = {name.replace("_", " "): {"value": value} for name, value in examples.items()}
    content = {"application/json": {"schema": _schema(model), "examples": named}}
    return {"requestBody": {"content": content, "required": required}}


def parameters(*groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the description of parameters that the endpoint reads itself."""
    return {"parameters": [parameter for group in groups for parameter in group]}


def header(name: str, description: str) -> list[dict[str, Any]]:
    """Return the description of an optional header."""
    return [{"name": name, "in": "header", "required": False, **_header(description)}]


def query(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the descriptions of the fields of a model as optional parameters of a query string."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.get("description", ""),
            "schema": schema,
        }
        for name, schema in _schema(model)["properties"].items()
    ]


def _schema(model: type[BaseModel]) -> Any:
    """Return the JSON schema of a model without references."""
    whole = model.model_json_schema()
    parts = whole.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return resolved(parts[value["$ref"].rpartition("/")[2]])
            return {name: resolved(inner) for name, inner in value.items()}
        return [resolved(inner) for inner in value] if isinstance(value, list) else value

    return resolved(whole)
