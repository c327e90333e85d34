"""The prefix cache: which states it finds, keeps and evicts, and how the engine uses it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.engine.prefix_cache import CacheMemory, PrefixCache
from model.checkpoints.checkpoint import Checkpoint
from model.decoding.backend import DecoderState
from model.text.vocabulary import Ids
from tests.app.engine.tiny_engine import alone, job, read, running


def state(number: int) -> DecoderState:
    return DecoderState(torch.full((4,), float(number)), torch.zeros(4))


def ids(text: list[int]) -> Ids:
    return np.array(text, dtype=np.int32)


texts = st.lists(st.integers(0, 2), min_size=1, max_size=8)


@given(st.lists(texts, max_size=20), texts)
def test_the_longest_cached_prefix_without_the_last_character_is_found(
    cached: list[list[int]], text: list[int]
) -> None:
    cache = PrefixCache(CacheMemory(1 << 20))
    for number, known in enumerate(cached):
        cache.put(ids(known), state(number))
    read, found = cache.longest(ids(text))
    prefixes = [known for known in cached if len(known) < len(text) and text[: len(known)] == known]
    assert read == max(map(len, prefixes), default=0)
    if prefixes:
        assert found is not None
        assert found.hidden[0] == cached.index(text[:read])
    else:
        assert found is None


@given(st.lists(texts, max_size=40))
def test_the_cache_never_exceeds_its_limit(cached: list[list[int]]) -> None:
    cache = PrefixCache(CacheMemory(1500))
    for number, text in enumerate(cached):
        cache.put(ids(text), state(number))
        assert cache.bytes <= 1500
    assert (cache.bytes == 0) == (len(cache) == 0)
    assert cache._lengths == sorted(cache._count_by_length)


def test_the_least_recently_used_entry_is_evicted_first() -> None:
    cache = PrefixCache(CacheMemory(1000))  # room for two
    cache.put(ids([1]), state(1))
    cache.put(ids([2]), state(2))
    cache.longest(ids([1, 0]))
    cache.put(ids([3]), state(3))
    assert [cache.longest(ids([n, 0]))[0] for n in (1, 2, 3)] == [1, 0, 1]


@given(st.lists(st.tuples(st.integers(0, 2), texts), max_size=40))
def test_caches_share_a_memory_and_the_least_recently_used_entry_of_all_goes_first(
    puts: list[tuple[int, list[int]]],
) -> None:
    memory = CacheMemory(1500)
    caches = [PrefixCache(memory) for _ in range(3)]
    used: list[tuple[int, list[int]]] = []
    for number, text in puts:
        caches[number].put(ids(text), state(number))
        used = [each for each in used if each != (number, text)] + [(number, text)]
        assert memory.bytes == sum(cache.bytes for cache in caches) <= 1500
    kept = used[-(memory.bytes // 432) :] if memory.bytes else []
    for number, text in used:
        found = caches[number].longest(ids([*text, 9]))[0] == len(text)
        assert found == ((number, text) in kept)
    caches[0].clear()
    assert len(caches[0]) == caches[0].bytes == 0
    assert memory.bytes == sum(cache.bytes for cache in caches)


def test_states_with_a_memory_take_half_of_the_limit_from_others() -> None:
    cache = PrefixCache(CacheMemory(16 * 432))  # room for 16 small states
    large = replace(state(9), memory=np.zeros(2_000, np.uint8))  # as large as 5 or 6 small ones
    for number in range(16):
        cache.put(ids([number]), state(number))
    for number in range(20):
        cache.put(ids([20 + number]), large)
    assert [cache.longest(ids([n, 0]))[0] for n in range(16)] == [0] * 6 + [1] * 10
    kept = [cache.longest(ids([20 + n, 0]), with_memory=True)[0] for n in range(20)]
    assert kept == [0] * 19 + [1]
    cache.clear()
    assert cache.bytes == 0
    for number in range(20):
        cache.put(ids([20 + number]), large)
    assert len(cache) == 2, "the whole limit, if nobody else needs it"


def test_a_lookup_has_few_lengths_to_try() -> None:
    cache = PrefixCache(CacheMemory(1 << 30))
    text = [1] * 2000
    for length in (*range(1, 1500), 1000):
        cache.put(ids(text[:length]), state(length))
    assert len(cache) == len(cache._lengths) == 500
    assert cache.longest(ids(text))[0] == 1499
    assert cache.longest(ids(text[:1001]))[0] == 1000, "it was used again"


def test_a_limit_of_zero_disables_the_cache() -> None:
    cache = PrefixCache(CacheMemory(0))
    cache.put(ids([1]), state(1))
    assert len(cache) == 0


async def test_characters_read_before_come_from_the_cache(tiny: Checkpoint) -> None:
    prime = tuple(range(1, 41))
    async with running(tiny) as engine:

        async def generate(prime: tuple[int, ...], seed: int) -> tuple[list[int], int]:
            generation = engine.submit(job(length=30, seed=seed, prime=prime))
            return await read(generation), generation.cached

        first, cached = await generate(prime, 1)
        assert cached == 0
        assert await generate(prime, 1) == (first, 39), "the last one is read again"
        longer = (*prime, 5, 6)
        assert await generate(longer, 2) == (alone(tiny, job(30, 2, longer)), 39)
        whole = (*prime, *first)
        assert await generate(whole, 3) == (alone(tiny, job(30, 3, whole)), 69)
        assert (await generate(prime[:20], 4))[1] == 0
