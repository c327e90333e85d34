"""The stop matcher against a plain search."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from app.engine.stop_matcher import StopMatcher

ids = st.integers(0, 2)
stop_lists = st.lists(st.lists(ids, min_size=1, max_size=5).map(tuple), min_size=1, max_size=4)


def naive(text: list[int], stops: list[tuple[int, ...]]) -> tuple[list[int], bool]:
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if tuple(text[max(0, end - len(stop)) : end]) == stop]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


@given(st.lists(ids, max_size=40), stop_lists, st.data())
def test_the_matcher_finds_the_same_stop_as_a_plain_search(
    text: list[int], stops: list[tuple[int, ...]], data: st.DataObject
) -> None:
    matcher = StopMatcher(stops)
    released: list[int] = []
    stopped = False
    rest = text
    while rest and not stopped:
        size = data.draw(st.integers(1, len(rest)))
        new, stopped = matcher.feed(rest[:size])
        released += new
        rest = rest[size:]
    if not stopped:
        released += matcher.flush()
    assert (released, stopped) == naive(text, stops)


@given(st.lists(ids, min_size=1, max_size=40), stop_lists)
def test_only_the_beginning_of_a_stop_string_is_held_back(
    text: list[int], stops: list[tuple[int, ...]]
) -> None:
    matcher = StopMatcher(stops)
    released, stopped = matcher.feed(text)
    if not stopped:
        held = tuple(text[len(released) :])
        assert not held or any(stop[: len(held)] == held for stop in stops)


def test_the_texts_of_a_request_share_the_tables_of_its_stop_strings() -> None:
    stops = [(number,) * 1000 for number in range(4)]
    matchers = [StopMatcher(stops)]
    tracemalloc.start()
    try:
        matchers += [StopMatcher(stops) for _ in range(300)]
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
