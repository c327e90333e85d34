from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.engine.prefix_cache import PrefixCache
from model.backend import DecoderState
from model.vocabulary import Ids


def state(number: int) -> DecoderState:
    return DecoderState(torch.full((4,), float(number)), torch.zeros(4))


def ids(text: list[int]) -> Ids:
    return np.array(text, dtype=np.int32)


texts = st.lists(st.integers(0, 2), min_size=1, max_size=8)


@given(st.lists(texts, max_size=20), texts)
def test_the_longest_beginning_is_found_and_the_last_character_left(
    kept: list[list[int]], wanted: list[int]
) -> None:
    cache = PrefixCache(1 << 20)
    for number, text in enumerate(kept):
        cache.put(ids(text), state(number))
    read, found = cache.longest(ids(wanted))
    fitting = [text for text in kept if len(text) < len(wanted) and wanted[: len(text)] == text]
    assert read == max(map(len, fitting), default=0)
    if fitting:
        assert found is not None
        assert found.hidden[0] == kept.index(wanted[:read])
    else:
        assert found is None


@given(st.lists(texts, max_size=40))
def test_it_never_takes_more_than_its_limit(kept: list[list[int]]) -> None:
    cache = PrefixCache(1500)
    for number, text in enumerate(kept):
        cache.put(ids(text), state(number))
        assert cache.bytes <= 1500
    assert (cache.bytes == 0) == (len(cache) == 0)
    assert cache._lengths == sorted(cache._count_by_length)


def test_the_least_recently_used_goes_first() -> None:
    cache = PrefixCache(1000)  # room for two
    cache.put(ids([1]), state(1))
    cache.put(ids([2]), state(2))
    cache.longest(ids([1, 0]))
    cache.put(ids([3]), state(3))
    assert [cache.longest(ids([n, 0]))[0] for n in (1, 2, 3)] == [1, 0, 1]


def test_a_limit_of_nothing_keeps_nothing() -> None:
    cache = PrefixCache(0)
    cache.put(ids([1]), state(1))
    assert len(cache) == 0
