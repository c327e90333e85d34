"""JSON responses of any size, encoded piece by piece so that other requests are not delayed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse, Response

SLICE = 250  # items per piece: about a millisecond of work


class AsciiJSONResponse(JSONResponse):
    """A JSON response in ASCII. Other characters are escaped, so that any client can print it."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


async def json_response(content: dict[str, Any]) -> Response:
    """Return a JSON response. Yields to the event loop while it encodes a large one."""
    pieces = []
    for number, piece in enumerate(_pieces(content), 1):
        pieces.append(piece)
        if number % 10 == 0 or len(piece) > 10_000:
            await asyncio.sleep(0)
    return Response("".join(pieces), media_type="application/json")


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _joined("{", ((f"{_dumps(name)}:", part) for name, part in value.items()), "}")
    elif isinstance(value, list) and len(value) > SLICE:
        for first in range(0, len(value), SLICE):
            yield ("," if first else "[") + _dumps(value[first : first + SLICE])[1:-1]
        yield "]"
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from _joined("[", (("", part) for part in value), "]")
    else:
        yield _dumps(value)


def _joined(opening: str, parts: Iterator[tuple[str, Any]], closing: str) -> Iterator[str]:
    separator = opening
    for label, part in parts:
        yield separator + label
        yield from _pieces(part)
        separator = ","
    yield closing if separator == "," else opening + closing


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
