"""Query values: types of fields that may also come as text in a query string."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo
from pydantic_core import PydanticKnownError

_INTEGER_TEXT = re.compile(r"[+-]?[0-9]+")
_NUMBER_TEXT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _null_in_query(value: Any, info: ValidationInfo) -> Any:
    """Read an empty value or the word "null" of a query string as null."""
    return None if info.mode == "python" and value in ("", "null") else value


OrNull = BeforeValidator(_null_in_query)


def _is_query(value: Any, info: ValidationInfo) -> bool:
    return info.mode == "python" and isinstance(value, str)


def _integer_in_query(value: Any, info: ValidationInfo) -> Any:
    """Refuse strings that only Python reads as an integer, such as "1_0"."""
    if _is_query(value, info) and not _INTEGER_TEXT.fullmatch(value):
        raise PydanticKnownError("int_parsing")
    return value


def _number_in_query(value: Any, info: ValidationInfo) -> Any:
    """Refuse strings that only Python reads as a number, such as "1_0.5"."""
    if _is_query(value, info) and not _NUMBER_TEXT.fullmatch(value):
        raise PydanticKnownError("float_parsing")
    return value


Integer = Annotated[int, BeforeValidator(_integer_in_query)]
Number = Annotated[float, BeforeValidator(_number_in_query)]
