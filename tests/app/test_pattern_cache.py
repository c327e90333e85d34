"""The cache of compiled patterns."""

from __future__ import annotations

import asyncio
from threading import Thread
from unittest.mock import patch

import pytest

from app import pattern_cache
from app.errors import DrainingError, TooManyPatternsError
from app.pattern_cache import PatternCache
from model.errors import PatternError
from model.pattern import compile_pattern
from tests.patterns import VOCABULARY


def test_a_pattern_is_compiled_once() -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        with patch.object(pattern_cache, "compile_pattern", wraps=compile_pattern) as compiled:
            together = await asyncio.gather(*(cache.get("a+b") for _ in range(20)))
            later = await cache.get("a+b")
            other = await cache.get("a+b", frozenset({3}))
        assert len({id(pattern) for pattern in [*together, later]}) == 1
        assert other is not later
        assert compiled.call_count == 2
        assert cache.waiting == 0

    asyncio.run(run())


def test_an_error_is_kept_and_raised_anew() -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        errors = []
        with patch.object(pattern_cache, "compile_pattern", wraps=compile_pattern) as compiled:
            for _ in range(3):
                with pytest.raises(PatternError, match="lookaround") as caught:
                    await cache.get("(?=a)")
                errors.append(caught.value)
        assert compiled.call_count == 1
        assert len({id(error) for error in errors}) == 3

    asyncio.run(run())


def test_the_least_recently_used_pattern_is_evicted() -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY, most_bytes=12_000)
        first = await cache.get("a{1,20}")
        for number in range(30):
            await cache.get(f"a{{1,{number + 1}}}b")
            assert await cache.get("a{1,20}") is first
            assert cache.bytes <= 12_000
        with patch.object(pattern_cache, "compile_pattern", wraps=compile_pattern) as compiled:
            await cache.get("a{1,30}b")
            await cache.get("a{1,1}b")
        assert compiled.call_count == 1

    asyncio.run(run())


def test_a_cancelled_request_leaves_the_result_to_others() -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        slow = "(a|b)*a(a|b){10}"
        first = asyncio.ensure_future(cache.get(slow))
        second = asyncio.ensure_future(cache.get(slow))
        await asyncio.sleep(0)
        assert cache.waiting == 2
        first.cancel()
        pattern = await second
        assert len(pattern.next_NC) > 1000
        assert cache.waiting == 0

    asyncio.run(run())


def slow_pattern(number: int) -> str:
    return f"(a|b)*a(a|b){{20}}{'c' * number}"


def test_too_many_patterns_are_refused_and_those_that_nobody_waits_for_are_abandoned() -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        waiting = [asyncio.ensure_future(cache.get(slow_pattern(n))) for n in range(64)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyPatternsError):
            await cache.get("a")
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        while cache._running:
            await asyncio.sleep(0.01)
        assert await cache.get("a") is not None
        with pytest.raises(PatternError, match="too large"):
            await cache.get(slow_pattern(0))
        assert cache.waiting == 0

    asyncio.run(run())


def test_a_closed_cache_ends_its_threads() -> None:
    async def run() -> list[Thread]:
        cache = PatternCache(VOCABULARY)
        waiting = [asyncio.ensure_future(cache.get(slow_pattern(n))) for n in range(40)]
        await asyncio.sleep(0.01)
        threads = list(cache._threads._threads)
        cache.close()
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        with pytest.raises(DrainingError):
            await cache.get("a")
        return threads

    for thread in asyncio.run(run()):
        thread.join(20)
        assert not thread.is_alive()
