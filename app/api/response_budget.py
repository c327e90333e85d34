"""ResponseBudget: bound the memory of all JSON results, and the work of encoding them."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Hashable
from typing import Any

from app.api.json_pieces import pieces_of
from app.api.pauses import with_pauses
from app.errors import DrainingError, TooManyResultsError

SMALL = 64 << 10  # bytes of a result that do not count: a connection buffers as many
_MAX_BYTES = 128 << 20  # of all results together
_MAX_SHARE = 3 / 4  # of these, for one client
_MAX_SHORT = 1 << 20  # bytes of a result that is encoded beside longer ones

# Bytes per item, whichever takes more: the arrays of the engine, or the JSON.
_CHARACTER_BYTES = 8
_SCORE_BYTES = 112
_ALTERNATIVE_BYTES = 32
_CELL_BYTES = 8
_SUM_BYTES = 128
SCORE_ARRAYS_BYTES = 36  # the engine's scores of a character, without alternatives


def largest_bytes(
    characters: int, alternatives: int | None = None, cells: int = 0, sums: int = 0
) -> int:
    """Return the largest size of a result.

    Args:
        characters: number of characters.
        alternatives: number of alternatives per character. None is a result without scores.
        cells: number of cells whose values the result has for each character.
        sums: number of sums of scores.
    """
    scores = 0 if alternatives is None else _SCORE_BYTES + alternatives * _ALTERNATIVE_BYTES
    return characters * (_CHARACTER_BYTES + scores + cells * _CELL_BYTES) + sums * _SUM_BYTES


class ResponseBudget:
    """The results of all requests that get JSON: collected, encoded, and not sent yet.

    A client can leave its response unread, and many clients can ask for large ones. The first bytes
    of a result do not count, so that large results cannot keep out small ones. One client may
    reserve three quarters of the limit, or a single larger result, so that it leaves room for the
    others.

    At most three results are encoded at the same time: two short ones, so that one works while the
    other pauses, and a long one. So the time that encoding takes from other requests does not grow
    with the number of clients, and a short result does not wait for long ones.

    Args:
        limit: bytes that may be reserved in total, apart from the first ones of each result. A
            result may be larger if it is the only one.
    """

    def __init__(self, limit: int = _MAX_BYTES) -> None:
        self._limit, self._reserved = limit, 0
        self._reserved_by: Counter[Hashable] = Counter()
        self._short, self._long = asyncio.Semaphore(2), asyncio.Semaphore(1)
        self._end = math.inf

    def reserve(self, size: int, client: Hashable = None) -> Reservation:
        """Count a result of at most `size` bytes before it is computed.

        Args:
            size: its largest size.
            client: who asks, see `middleware.auth.current_client`.

        Raises:
            TooManyResultsError: if all results together, or those of the client, would be over
                their limit.
        """
        if counted := _counted(size):
            own = self._reserved_by[client]
            if own and own + counted > self._limit * _MAX_SHARE:
                raise TooManyResultsError("of this client")
            if self._reserved and self._reserved + counted > self._limit:
                raise TooManyResultsError()
        return Reservation(self, size, client)

    def drain(self, seconds: float) -> None:
        """Encode for `seconds` seconds more, and then raise DrainingError instead."""
        self._end = time.monotonic() + seconds

    async def encode(self, content: dict[str, Any], size: int) -> deque[bytes]:
        """Return the JSON of a result of at most `size` bytes, see `app.api.json_pieces`.

        All parts of it but the last have 64 KiB.

        Raises:
            DrainingError: if the service shuts down first.
        """
        parts: deque[bytes] = deque()
        last = bytearray()
        async with self._short if size <= _MAX_SHORT else self._long:
            async for piece in with_pauses(pieces_of(content)):
                if time.monotonic() > self._end:
                    raise DrainingError()
                last += piece.encode()
                while len(last) > SMALL:
                    parts.append(bytes(last[:SMALL]))
                    del last[:SMALL]
        parts.append(bytes(last))
        return parts

    def count(self, client: Hashable, size: int, before: int = 0) -> None:
        """Count a result of `size` bytes that was counted with another size before."""
        change = _counted(size) - _counted(before)
        self._reserved += change
        self._reserved_by[client] += change
        if not self._reserved_by[client]:
            del self._reserved_by[client]


class Reservation:
    """A result that is counted, until `release`.

    Args:
        budget: what counts it.
        size: its largest size in bytes.
        client: who gets it.
    """

    def __init__(self, budget: ResponseBudget, size: int, client: Hashable) -> None:
        self._budget, self._size, self._client = budget, size, client
        budget.count(client, size)

    async def encode(self, content: dict[str, Any]) -> deque[bytes]:
        """Return the JSON of the result in parts, and count its true size from then on.

        Raises what `ResponseBudget.encode` raises.
        """
        parts = await self._budget.encode(content, self._size)
        self.resize(sum(map(len, parts)))
        return parts

    def part_sent(self, size: int) -> None:
        """Stop counting a part of the result."""
        self.resize(self._size - size)

    def release(self) -> None:
        """Stop counting the result."""
        self.resize(0)

    def resize(self, size: int) -> None:
        """Count the result with another size from now on."""
        self._budget.count(self._client, size, self._size)
        self._size = size


def _counted(size: int) -> int:
    return max(0, size - SMALL)
