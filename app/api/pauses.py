"""Pauses: long work in the event loop, interrupted so that everything else goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_WORK_SECONDS = 0.004
_PAUSE_SECONDS = 0.001


async def with_pauses(items: Iterable[_Item]) -> AsyncIterator[_Item]:
    """Yield the items, and pause after every few milliseconds that making and using them takes.

    `asyncio.sleep(0)` would let other requests run, but not the engine thread. It releases the GIL
    for so short a time that the thread finds it taken again, and each release restarts the interval
    after which a waiting thread can demand it. The event loop must wait for something instead.
    """
    began = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - began > _WORK_SECONDS:
            await asyncio.sleep(_PAUSE_SECONDS)
            began = time.monotonic()


class SharedPauses:
    """Pauses of work that many tasks do in small parts, one after the other.

    If each task paused on its own, others would wait longer the more tasks there are. Here the
    parts of all tasks count together, and while one task pauses, the others wait for their turn.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._worked = 0.0  # seconds since the last pause
        self._ended = 0.0  # time of the end of the last part

    async def run(self, part: Callable[[], _Result]) -> _Result:
        """Do a part of the work, and pause after it if the work has taken a few milliseconds."""
        async with self._turn:
            began = time.monotonic()
            if began - self._ended > _WORK_SECONDS:  # that was a pause
                self._worked = 0.0
            result = part()
            self._ended = time.monotonic()
            self._worked += self._ended - began
            if self._worked > _WORK_SECONDS:
                await asyncio.sleep(_PAUSE_SECONDS)
                self._worked = 0.0
        return result
