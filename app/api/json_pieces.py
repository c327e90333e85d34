"""JSON pieces: the JSON of a value of any size, made piece by piece.

An iterator inside a value stands for one JSON value: it yields the pieces of its text. A response
is then never in memory as objects, and is made while it is encoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

SLICE = 250  # items per piece: about a millisecond of work

Pieces = Iterator[str]


def pieces_of(value: Any) -> Pieces:
    """Yield the JSON of a value. Each piece takes about a millisecond."""
    if isinstance(value, Iterator):
        yield from value
    elif isinstance(value, dict):
        yield from _joined("{", ((f"{dumps(name)}:", part) for name, part in value.items()), "}")
    elif isinstance(value, list) and len(value) > SLICE:
        yield from list_of_slices(
            value[first : first + SLICE] for first in range(0, len(value), SLICE)
        )
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from list_of(value)
    else:
        yield dumps(value)


def list_of(items: Iterable[Any]) -> Pieces:
    """Yield one JSON list of values, each of which may contain iterators."""
    yield from _joined("[", (("", item) for item in items), "]")


def list_of_slices(slices: Iterable[list[Any]]) -> Pieces:
    """Yield one JSON list of the items of all slices.

    The items of a slice can be freed as soon as it is encoded. A long list of dictionaries would
    instead be searched by Python's garbage collector, which stops everything meanwhile.

    Args:
        slices: lists of at least one item, made one by one.
    """
    yield from joined_items(dumps(items)[1:-1] for items in slices)


def joined_items(parts: Iterable[str]) -> Pieces:
    """Yield one JSON list. Each part is the JSON of some of its items, without brackets."""
    opening = "["
    for part in parts:
        yield opening + part
        opening = ","
    yield "[]" if opening == "[" else "]"


def _joined(opening: str, parts: Iterator[tuple[str, Any]], closing: str) -> Pieces:
    separator = opening
    for label, part in parts:
        yield separator + label
        yield from pieces_of(part)
        separator = ","
    yield closing if separator == "," else opening + closing


def dumps(value: Any) -> str:
    """Return the JSON of a small value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
