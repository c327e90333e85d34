"""JSON responses of any size, encoded piece by piece so that other requests are not delayed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.responses import Response

from app.api.pauses import with_pauses

SLICE = 250  # items per piece: about a millisecond of work


class Encoded(str):
    """A JSON value that is encoded already. `json_response` inserts it as it is."""

    __slots__ = ()


async def encode_list(slices: Iterable[list[Any]]) -> Encoded:
    """Return one JSON list of the items of all slices, made with pauses between them.

    The items of a slice can be freed as soon as it is encoded. A long list of dictionaries would
    instead be searched by Python's garbage collector, which stops everything meanwhile.

    Args:
        slices: lists of at least one item, made one by one.
    """
    pieces = [dumps(items)[1:-1] async for items in with_pauses(slices)]
    return Encoded(f"[{','.join(pieces)}]")


async def encode_pieces(pieces: Iterable[str]) -> Encoded:
    """Return the JSON value that consists of these pieces, made with pauses between them."""
    return Encoded("".join([piece async for piece in with_pauses(pieces)]))


async def json_response(content: dict[str, Any]) -> Response:
    """Return a JSON response. Other requests go on while it encodes a large one."""
    pieces = [piece async for piece in with_pauses(_pieces(content))]
    return Response("".join(pieces), media_type="application/json")


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, Encoded):
        yield value
    elif isinstance(value, dict):
        yield from _joined("{", ((f"{dumps(name)}:", part) for name, part in value.items()), "}")
    elif isinstance(value, list) and len(value) > SLICE:
        for first in range(0, len(value), SLICE):
            yield ("," if first else "[") + dumps(value[first : first + SLICE])[1:-1]
        yield "]"
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from _joined("[", (("", part) for part in value), "]")
    else:
        yield dumps(value)


def _joined(opening: str, parts: Iterator[tuple[str, Any]], closing: str) -> Iterator[str]:
    separator = opening
    for label, part in parts:
        yield separator + label
        yield from _pieces(part)
        separator = ","
    yield closing if separator == "," else opening + closing


def dumps(value: Any) -> str:
    """Return the JSON of a small value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
