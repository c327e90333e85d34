"""Pauses: long work in the event loop leaves time for other requests and for other threads."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator

from app.api.pauses import SharedPauses, with_pauses

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


def test_other_tasks_wait_no_longer_if_more_tasks_work() -> None:
    """100 tasks work for half a second. Another one gets a turn after every few milliseconds."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    async def working(pauses: SharedPauses, parts: Iterator[str]) -> list[str]:
        return [part for _ in range(10) if (part := await pauses.run(lambda: next(parts)))]

    async def main() -> int:
        task, pauses, parts = asyncio.create_task(other()), SharedPauses(), work()
        done = await asyncio.gather(*(working(pauses, parts) for _ in range(100)))
        task.cancel()
        return sum(map(len, done))

    assert asyncio.run(main()) == 1000
    assert turns >= 15
