"""The cache of compiled patterns."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest

from app import pattern_cache
from app.pattern_cache import PatternCache
from model.errors import PatternError
from model.patterns.pattern import Pattern, compile_pattern
from tests.patterns import VOCABULARY


def counting_compilations() -> Any:
    return patch.object(pattern_cache, "compile_pattern", wraps=compile_pattern)


async def test_a_pattern_is_compiled_once() -> None:
    cache = PatternCache(VOCABULARY)
    with counting_compilations() as compiled:
        together = await asyncio.gather(*(cache.get("a+b") for _ in range(20)))
        later = await cache.get("a+b")
        other = await cache.get("a+b", frozenset({3}))
    assert len({id(pattern) for pattern in [*together, later]}) == 1
    assert other is not later
    assert compiled.call_count == 2
    assert cache.waiting == 0


async def test_an_error_is_kept_and_raised_anew() -> None:
    cache = PatternCache(VOCABULARY)
    errors = []
    with counting_compilations() as compiled:
        for _ in range(3):
            with pytest.raises(PatternError, match="lookaround") as caught:
                await cache.get("(?=a)")
            errors.append(caught.value)
    assert compiled.call_count == 1
    assert len({id(error) for error in errors}) == 3


async def test_the_least_recently_used_pattern_is_evicted() -> None:
    cache = PatternCache(VOCABULARY)
    first = await cache.get("a{1,20}")
    for number in range(100):
        await cache.get(f"a{{{number + 1}}}b")
        assert await cache.get("a{1,20}") is first
    with counting_compilations() as compiled:
        await cache.get("a{100}b")
        await cache.get("a{1}b")
    assert compiled.call_count == 1


async def test_a_cancelled_request_leaves_the_result_to_others() -> None:
    cache = PatternCache(VOCABULARY)
    first = asyncio.ensure_future(cache.get("(a|b)*a(a|b){5}"))
    second = asyncio.ensure_future(cache.get("(a|b)*a(a|b){5}"))
    await asyncio.sleep(0)
    assert cache.waiting == 2
    first.cancel()
    assert isinstance(await second, Pattern)
    assert cache.waiting == 0


async def test_one_pattern_of_each_client_waits_for_the_thread() -> None:
    """Beside a client with very many patterns, another client waits for one of them."""
    order: list[str] = []

    async def get(cache: PatternCache, client: str, number: int) -> None:
        await cache.get(f"{client}{{{number}}}", client=client)
        order.append(client)

    cache = PatternCache(VOCABULARY)
    many = [asyncio.ensure_future(get(cache, "a", number)) for number in range(1, 100)]
    await asyncio.sleep(0)
    await get(cache, "b", 1)
    assert order.count("a") <= 2
    await asyncio.gather(*many)
    assert cache.waiting == 0
