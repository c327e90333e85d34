"""The cache of compiled patterns."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from threading import Thread
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import pattern_cache
from app.errors import DrainingError, TooManyPatternsError
from app.pattern_cache import PatternCache
from model.errors import PatternError
from model.patterns.pattern import Pattern, compile_pattern
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


MIB = 1 << 20


def begin(cache: PatternCache, client: str, count: int, kept: int) -> list[asyncio.Future[Pattern]]:
    """Requests that wait for the same pattern."""
    pattern = slow_pattern(1)
    return [
        asyncio.ensure_future(cache.get(pattern, client=client, kept=kept)) for _ in range(count)
    ]


async def cancel(tasks: list[asyncio.Future[Pattern]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_what_requests_for_the_same_pattern_keep_is_limited_in_total_and_per_client() -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        first, second = begin(cache, "first", 47, MIB), begin(cache, "second", 16, MIB)
        await asyncio.sleep(0)
        for client, reason in (("first", "of this client"), ("second", "large requests are")):
            with pytest.raises(TooManyPatternsError, match=reason):
                await cache.get("a", client=client, kept=3 * MIB)
        assert await cache.get("a", client="third", kept=16 << 10) is not None
        await cancel(second)
        with pytest.raises(TooManyPatternsError, match="of this client"):
            await cache.get("b", client="first", kept=3 * MIB)
        assert await cache.get("b", client="third", kept=3 * MIB) is not None
        await cancel(first)
        assert await cache.get("c", client="first", kept=100 * MIB) is not None
        assert cache.waiting == cache._kept.total() == 0

    asyncio.run(run())


def test_any_number_of_small_requests_may_wait_for_the_same_pattern() -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        tasks = begin(cache, "first", 1000, 16 << 10)
        await asyncio.sleep(0)
        assert cache.waiting == 1000
        await cancel(tasks)
        assert cache.waiting == 0

    asyncio.run(run())


class Compilations:
    """Replaces `compile_pattern` by a function that waits until a test lets it go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._ended: defaultdict[str, threading.Event] = defaultdict(threading.Event)

    def __call__(self, expression: str, *_: Any) -> Pattern:
        self.begun.append(expression)
        assert self._ended[expression].wait(30)
        return compile_pattern("a", VOCABULARY)

    async def begin(self, number: int) -> list[str]:
        """Return the expressions that have begun, when there are `number` of them."""
        async with asyncio.timeout(30):
            while len(self.begun) < number:
                await asyncio.sleep(0.001)
        return self.begun

    def end(self, *expressions: str) -> None:
        for expression in expressions:
            self._ended[expression].set()


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Compilations:
    compilations = Compilations()
    monkeypatch.setattr(pattern_cache, "compile_pattern", compilations)
    return compilations


def ask(cache: PatternCache, client: str, *expressions: str) -> list[asyncio.Task[Pattern]]:
    return [asyncio.create_task(cache.get(one, client=client)) for one in expressions]


def test_the_patterns_of_a_client_are_compiled_one_by_one_in_the_order_of_arrival(
    compilations: Compilations,
) -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        expressions = [f"a{number}" for number in range(30)]
        waiting = ask(cache, "one", *expressions)
        for number in range(1, 31):
            assert await compilations.begin(number) == expressions[:number]
            compilations.end(expressions[number - 1])
        await asyncio.gather(*waiting)

    asyncio.run(run())


def test_a_client_does_not_wait_for_all_patterns_of_another(compilations: Compilations) -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        expressions = [f"a{number}" for number in range(20)]
        waiting = ask(cache, "many", *expressions)
        await compilations.begin(1)
        waiting += ask(cache, "few", "b", "a19")  # one of its patterns is the last one of the other
        assert set(await compilations.begin(2)) == {"a0", "b"}
        compilations.end("a0", "b")
        assert set((await compilations.begin(4))[2:]) == {"a1", "a19"}
        compilations.end(*expressions)
        await asyncio.gather(*waiting)
        assert len(compilations.begun) == 21

    asyncio.run(run())


def test_a_client_that_joins_a_pattern_does_not_delay_it(compilations: Compilations) -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        waiting = [task for n in range(4) for task in ask(cache, f"busy{n}", f"c{n}")]
        await compilations.begin(4)  # all threads work
        waiting += ask(cache, "one", "a0", "a1", "a2")
        waiting += ask(cache, "two", "b0", "a0")
        await asyncio.sleep(0)
        compilations.end("c0")
        assert (await compilations.begin(5))[4:] == ["a0"]
        compilations.end(*(f"{letter}{number}" for letter in "abc" for number in range(4)))
        await asyncio.gather(*waiting)
        assert len(compilations.begun) == 8

    asyncio.run(run())


def test_a_message_of_the_parser_is_short() -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern("(?P<" + "\U000e0001" * 9_990 + ">a)", VOCABULARY)
    assert len(str(caught.value)) < 300


def test_a_full_queue_takes_the_newest_pattern_of_the_client_that_has_most(
    compilations: Compilations,
) -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        many = ask(cache, "many", *(f"a{number}" for number in range(64)))
        await compilations.begin(1)
        cache._seconds = 0.1
        message = (
            "64 patterns are being compiled or waiting, 64 of them from this client; the limit is "
            "64; try again in 7 s"
        )
        with pytest.raises(TooManyPatternsError, match=message):
            await cache.get("a64", client="many")
        few = ask(cache, "few", *(f"b{number}" for number in range(40)))
        while sum(map(asyncio.Task.done, [*many, *few])) < 40:
            await asyncio.sleep(0)
        compilations.end(*(f"{letter}{number}" for letter in "ab" for number in range(64)))
        results = await asyncio.gather(*many, *few, return_exceptions=True)
        refused = [isinstance(result, TooManyPatternsError) for result in results]
        assert refused == [False] * 32 + [True] * 32 + [False] * 32 + [True] * 8
        assert "64 patterns" in str(results[63])

    asyncio.run(run())


def test_patterns_that_wait_too_long_are_refused_with_the_reason(
    compilations: Compilations, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setattr(pattern_cache, "_MAX_SECONDS", 1.0)
        cache = PatternCache(VOCABULARY)
        waiting = ask(cache, "one", "a", "b", "c")
        results = await asyncio.gather(*waiting, return_exceptions=True)
        compilations.end("a")
        expected = "the pattern was not compiled within 1 s, because others came first; try again"
        assert all(str(result).startswith(expected) for result in results)
        assert compilations.begun == ["a"]
        assert cache.waiting == 0

    asyncio.run(run())


_CLIENTS = st.sampled_from(["one", "two", "three", "four", "five", "six"])
_EVENTS = st.one_of(
    st.tuples(st.just("ask"), _CLIENTS, st.integers(0, 12)),
    st.tuples(st.just("cancel"), st.none(), st.integers(0, 40)),
    st.tuples(st.just("end"), st.none(), st.integers(0, 12)),
    st.tuples(st.just("close"), st.none(), st.none()),
)


@settings(max_examples=60)
@given(st.lists(_EVENTS, max_size=40))
def test_every_request_ends_and_nothing_is_left_after_it(
    events: list[tuple[str, str | None, int | None]],
) -> None:
    async def run(compilations: Compilations) -> None:
        cache = PatternCache(VOCABULARY)
        tasks: list[asyncio.Task[Pattern]] = []
        for kind, client, number in events:
            if kind == "ask":
                tasks += ask(cache, str(client), f"a{number}")
            elif kind == "cancel" and number is not None and number < len(tasks):
                tasks[number].cancel()
            elif kind == "end":
                compilations.end(f"a{number}")
            elif kind == "close":
                cache.close()
            await asyncio.sleep(0)
            assert len(cache._compilations) <= 6
            assert len(cache._running) <= 4
        compilations.end(*(f"a{number}" for number in range(13)))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        expected = (Pattern, asyncio.CancelledError, TooManyPatternsError, DrainingError)
        assert all(isinstance(result, expected) for result in results), results
        while cache._running:
            await asyncio.sleep(0.001)
        assert not cache._compilations
        assert cache._queue.take() is None
        assert cache.waiting == 0

    compilations = Compilations()
    with (
        patch.object(pattern_cache, "compile_pattern", compilations),
        patch.object(pattern_cache, "_MAX_COMPILATIONS", 6),
    ):
        asyncio.run(run(compilations))


def test_requests_that_wait_when_the_cache_closes_are_told_that_the_service_ends(
    compilations: Compilations,
) -> None:
    async def run() -> None:
        cache = PatternCache(VOCABULARY)
        waiting = ask(cache, "one", "a", "b", "c")
        await compilations.begin(1)
        cache.close()
        compilations.end("a")
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(result, DrainingError) for result in results] == [False, True, True]
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


def test_a_thread_that_sleeps_ends_soon_after_the_last_request() -> None:
    factors = iter([1, 1])

    def running() -> int:
        for factor in factors:
            return factor
        raise pattern_cache._AbandonedError

    pause = pattern_cache._pauses(running)
    worked = time.thread_time()
    while time.thread_time() - worked < 0.3:  # asks for 6 seconds of sleep
        pass
    began = time.monotonic()
    with pytest.raises(pattern_cache._AbandonedError):
        pause()
    assert time.monotonic() - began < 3
