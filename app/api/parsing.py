"""Parsing: turn a JSON body into a request in time proportional to its size.

Pydantic collects an error for every unknown key and every wrong item, and Python takes time to
create each object. A body of a megabyte can hold hundreds of thousands of keys and items, which
would occupy the event loop for seconds. So they are counted here before they are created.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, from_json

from app.api.errors import MAX_FIELDS, InvalidFieldsError

# Strings are left out of the count. The time is linear: quantifiers are possessive, and a string
# without an end takes all of the rest, so that the search never starts again inside of it.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)

_Location = tuple[str | int, ...]  # the keys and indexes that lead to a value
_Request = TypeVar("_Request", bound=BaseModel)


class Counts(NamedTuple):
    """Limits on the numbers of keys, containers and items in a body."""

    keys: int = 10_000
    containers: int = 200  # lists and objects
    items: int = 11_000  # of all lists and objects together


_DEFAULT = Counts()


def parse_body(
    schema: type[_Request], body: bytes, most: Counts = _DEFAULT, ignore_nulls: bool = False
) -> _Request:
    """Return the request in a JSON body. An empty body counts as an empty object.

    Args:
        schema: the Pydantic model of the request.
        body: JSON in UTF-8.
        most: limits on the body.
        ignore_nulls: whether the schema accepts unknown fields whose value is null.

    Raises:
        InvalidFieldsError: if the body is not JSON, exceeds a limit, or does not match the schema.
    """
    body = body or b"{}"
    try:
        keys = _check_counts(schema, body, most)
        _check_fields(schema, body, keys, ignore_nulls)
        return schema.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise InvalidFieldsError(error, list(schema.model_fields)) from error


def _check_counts(schema: type[BaseModel], body: bytes, most: Counts) -> int:
    """Return the number of keys. Raise ValidationError for too many keys, containers or items."""
    structure = _STRING.sub(b"", body)
    found = Counts(
        keys=structure.count(b":"),
        containers=structure.count(b"[") + structure.count(b"{"),
        items=structure.count(b","),
    )
    exceeds = any(number > limit for number, limit in zip(found, most, strict=True))
    if exceeds and found.containers != structure.count(b"]") + structure.count(b"}"):
        unbalanced = PydanticCustomError("json_invalid", "Invalid JSON: brackets do not match")
        raise _invalid(schema, unbalanced, {"body": ""})
    for name, number, limit in zip(Counts._fields, found, most, strict=True):
        if number > limit:
            too_many = PydanticCustomError("too_many", f"must have at most {limit} {name}")
            raise _invalid(schema, too_many, {"body": number})
    return found.keys


def _check_fields(schema: type[BaseModel], body: bytes, keys: int, ignore_nulls: bool) -> None:
    """Raise an error for repeated keys and unknown fields, before any field is validated.

    Args:
        schema: the Pydantic model of the request.
        body: JSON in UTF-8.
        keys: number of keys in the body, if it is JSON.
        ignore_nulls: whether unknown fields whose value is null are accepted.
    """
    try:
        value = from_json(body)
    except ValueError:
        return  # the validation reports what is wrong
    if not isinstance(value, dict):
        return
    if keys != _count_keys(value):  # of the same keys, the parser keeps the last one
        _check_unique(schema, body)
    if ignore_nulls:
        value = {name: field for name, field in value.items() if field is not None}
    check_names(schema, value)


def check_names(schema: type[BaseModel], fields: Mapping[str, Any]) -> None:
    """Raise InvalidFieldsError if a schema does not have all of these fields."""
    unknown = [name for name in fields if name not in schema.model_fields]
    if unknown:
        named = {name: fields[name] for name in unknown[:MAX_FIELDS]}
        error = _invalid(schema, "extra_forbidden", named)
        raise InvalidFieldsError(error, list(schema.model_fields), len(unknown) - len(named))


async def check_no_query(request: Request) -> None:
    """Raise InvalidFieldsError if a request with a JSON body has parameters in its URL."""
    names = list(request.query_params)
    if names:
        named = {name: request.query_params[name] for name in names[:MAX_FIELDS]}
        kind = PydanticCustomError("in_query", "must be in the JSON body, not in the URL")
        raise InvalidFieldsError(_invalid(BaseModel, kind, named), (), len(names) - len(named))


def _count_keys(value: dict[str, Any]) -> int:
    """Return the number of keys of an object and of the objects in it, outside of lists."""
    return len(value) + sum(_count_keys(v) for v in value.values() if isinstance(v, dict))


def _check_unique(schema: type[BaseModel], body: bytes) -> None:
    """Raise ValidationError if an object has a key twice. JSON parsers disagree on its value."""
    repeated = False

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
        nonlocal repeated
        values: dict[str, Any] = {}
        for name, value in pairs:
            if name in values:
                repeated = True
                return _Repeated(name, value)
            values[name] = value
        return values

    parsed = json.loads(body.decode(), object_pairs_hook=check)
    if repeated and (found := _find_repeated(parsed)):
        location, value = found
        kind = PydanticCustomError("repeated", "must not appear twice in one object")
        details = InitErrorDetails(type=kind, loc=location, input=value)
        raise ValidationError.from_exception_data(schema.__name__, [details])


class _Repeated(NamedTuple):
    """Stands for an object that has a key twice."""

    name: str
    value: Any  # the second one


def _find_repeated(value: Any, location: _Location = ()) -> tuple[_Location, Any] | None:
    """Return the location and the value of the first repeated key, or None if there is none."""
    if isinstance(value, _Repeated):
        location = *location, value.name
        return _find_repeated(value.value, location) or (location, value.value)
    if not isinstance(value, list | dict):
        return None
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        if found := _find_repeated(part, (*location, name)):
            return found
    return None


def _invalid(
    schema: type[BaseModel], kind: PydanticCustomError | str, values: Mapping[str, object]
) -> ValidationError:
    """Return one error of a kind per field and value."""
    details = [InitErrorDetails(type=kind, loc=(name,), input=v) for name, v in values.items()]
    return ValidationError.from_exception_data(schema.__name__, details)
