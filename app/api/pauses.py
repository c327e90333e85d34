"""Pauses: long work in the event loop, interrupted so that everything else goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")

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
