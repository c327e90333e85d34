"""Pauses: long work in the event loop leaves time for other requests and for other threads."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator

from app.api.pauses import with_pauses

_ITEMS = 1500


def work() -> Iterator[str]:
    """About half a second of work, in items of a fraction of a millisecond."""
    data = [{"token": "a", "logprob": -1.23456, "top": [["b", -2.5]]} for _ in range(250)]
    for _ in range(_ITEMS):
        yield json.dumps(data)


def test_another_thread_and_another_task_run_meanwhile() -> None:
    turns = {"thread": 0, "task": 0}
    done = threading.Event()

    def thread() -> None:
        while not done.is_set():
            time.sleep(0.001)
            turns["thread"] += 1

    async def task() -> None:
        while True:
            await asyncio.sleep(0)
            turns["task"] += 1

    async def main() -> int:
        other = asyncio.create_task(task())
        count = len([item async for item in with_pauses(work())])
        other.cancel()
        return count

    beside = threading.Thread(target=thread)
    beside.start()
    try:
        assert asyncio.run(main()) == _ITEMS
    finally:
        done.set()
        beside.join()
    # With `asyncio.sleep(0)` instead of a pause, the thread gets one to four turns.
    assert turns["thread"] >= 15
    assert turns["task"] >= 15
