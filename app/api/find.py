"""Find: the field `find` of POST /cells, a property of the text or passages of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.errors import InvalidFieldError
from model.cells.correlation import Floats, check_varies, span_values
from model.errors import CorrelationError
from model.text.properties import PROPERTIES

MAX_SPANS = 100

Spans = list[list[int]]  # half-open: the first character, and the one after the last


def _checked(value: Any) -> str | Spans:
    if isinstance(value, str):
        if value not in PROPERTIES:
            message = "unknown property; expected one of {names}, or a list of [from, to]"
            raise PydanticCustomError("property", message, {"names": ", ".join(PROPERTIES)})
        return value
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SPANS:
        message = "must be the name of a property, or a list of 1 to {most} spans [from, to]"
        raise PydanticCustomError("find", message, {"most": MAX_SPANS})
    for number, span in enumerate(value):
        if not isinstance(span, list) or [type(end) for end in span] != [int, int]:
            message = "span {number} must be [from, to], two integers"
            raise PydanticCustomError("span", message, {"number": number})
    return value


_SPAN = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
Find = Annotated[
    str | Spans,
    PlainValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": list(PROPERTIES)},
                {"type": "array", "items": _SPAN, "minItems": 1, "maxItems": MAX_SPANS},
            ]
        }
    ),
]


def property_values(find: str | Spans, text: str) -> Floats:
    """Return the values to correlate cells with, one per character of the text.

    Raises:
        InvalidFieldError: if the property has one value only, or a span is not part of the text.
    """
    name = f"property {find!r}" if isinstance(find, str) else "the marked part"
    try:
        values = PROPERTIES[find](text) if isinstance(find, str) else span_values(find, len(text))
        check_varies(values, name)
    except CorrelationError as error:
        raise InvalidFieldError("find", find, str(error)) from error
    return values
