"""Parsing: read the body of a request within the memory budget, and validate it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from starlette.requests import ClientDisconnect

from app.api.errors import MAX_FIELDS, InvalidFieldsError
from app.errors import BodyTooLargeError, InvalidFieldError
from app.middleware.request_log import RequestRecord

MAX_ITEMS = 11_000  # keys, items, lists and objects in a body: each takes time to validate

_BYTES_PER_CHARACTER = 12  # of a prime in JSON, as an escaped surrogate pair
_BYTES_BESIDE_PRIME = 64 << 10
_OBJECTS = 4  # the body and the objects made of it, in sizes of the body
_MAX_DIGITS = 18  # of an announced length: more than any body has

# Strings are left out of the count. The time is linear: quantifiers are possessive, and a string
# without an end takes all of the rest, so that the search never starts again inside of it.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)

_Request = TypeVar("_Request", bound=BaseModel)


async def read_request(
    request: Request, schema: type[_Request], max_items: int = MAX_ITEMS
) -> _Request:
    """Return the request in the JSON body of an endpoint without parameters in its URL.

    Raises:
        BodyTooLargeError: as soon as the body is known to be larger than the server's limit.
        OverloadedError: if the memory budget has no room for the body.
        InvalidFieldsError: if there are parameters in the URL, or the body is not JSON, has too
            many items, or does not match the schema.
        ClientDisconnect: if the client disconnects before the end of the body.
    """
    if request.scope["query_string"] and (names := list(request.query_params)):
        kind = PydanticCustomError("in_query", "must be in the JSON body, not in the URL")
        _refuse(names, request.query_params, kind, ())
    return parse_body(schema, await _read_body(request), max_items)


def parse_body(
    schema: type[_Request], body: bytes | bytearray, max_items: int = MAX_ITEMS
) -> _Request:
    """Return the request in a JSON body. An empty body counts as an empty object."""
    body = body or b"{}"
    try:
        _check_items(schema, body, max_items)
        return schema.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise InvalidFieldsError(error, list(schema.model_fields)) from error


def read_query(request: Request, schema: type[_Request], lists: Collection[str] = ()) -> _Request:
    """Return the request in a query string, in which only the parameters in `lists` may repeat.

    Raises:
        InvalidFieldsError: if a parameter is unknown, or the parameters do not match the schema.
            Unknown ones come first, because many of them would take long to validate.
        InvalidFieldError: if another parameter repeats.
    """
    query = request.query_params
    check_names(schema.model_fields, query)
    values = {name: query.getlist(name) for name in query}
    for name, given in values.items():
        if len(given) > 1 and name not in lists:
            raise InvalidFieldError(name, f"{len(given)} values", "must be given at most once")
    single = {name: given if name in lists else given[0] for name, given in values.items()}
    try:
        return schema.model_validate(single)
    except ValidationError as error:
        raise InvalidFieldsError(error, list(schema.model_fields)) from error


def check_names(known: Collection[str], query: Mapping[str, Any]) -> None:
    """Raise InvalidFieldsError unless all of these parameters of a URL are known."""
    if unknown := [name for name in query if name not in known]:
        _refuse(unknown, query, "extra_forbidden", list(known))


async def _read_body(request: Request) -> bytearray:
    lease = RequestRecord.of(request.scope).lease
    limit = max_body_bytes(request.app.state.settings.max_prime)
    leased = _announced_length(request)
    if leased > limit:
        raise BodyTooLargeError(limit)
    lease.add(_OBJECTS * leased)
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise BodyTooLargeError(limit)
        if len(body) > leased:  # its length was not announced
            lease.add(_OBJECTS * (len(body) - leased))
            leased = len(body)
    return body


def max_body_bytes(max_prime: int) -> int:
    """Return the maximum size of a request body in bytes, with room for the longest prime."""
    return max_prime * _BYTES_PER_CHARACTER + _BYTES_BESIDE_PRIME


def _announced_length(request: Request) -> int:
    """Return the value of Content-Length in bytes, or 0 if there is none."""
    value = next((v for name, v in request.scope["headers"] if name == b"content-length"), b"")
    return int(value.lstrip(b"0")[:_MAX_DIGITS] or b"0") if value.isdigit() else 0


def _check_items(schema: type[BaseModel], body: bytes | bytearray, most: int) -> None:
    if len(body) <= most:  # each of them takes a byte
        return
    structure = _STRING.sub(b"", body)
    items = sum(map(structure.count, (b":", b",", b"[", b"{")))
    if items > most:
        closed = structure.count(b"]") + structure.count(b"}")
        if structure.count(b"[") + structure.count(b"{") != closed:
            kind = PydanticCustomError("json_invalid", "Invalid JSON: brackets do not match")
        else:
            message = "must have at most {most} keys, items, lists and objects"
            kind = PydanticCustomError("too_many", message, {"most": most})
        raise _errors(kind, {"body": items})


def _refuse(
    names: list[str], values: Mapping[str, Any], kind: PydanticCustomError | str, known: Any
) -> None:
    named = {name: values[name] for name in names[:MAX_FIELDS]}
    raise InvalidFieldsError(_errors(kind, named), known, len(names) - len(named))


def _errors(kind: PydanticCustomError | str, values: Mapping[str, object]) -> ValidationError:
    """Return one error of a kind per field and value."""
    details = [InitErrorDetails(type=kind, loc=(name,), input=v) for name, v in values.items()]
    return ValidationError.from_exception_data("request", details)
