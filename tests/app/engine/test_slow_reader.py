"""The output buffer between the engine thread and a reader."""

from __future__ import annotations

import threading
from array import array
from collections import deque
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine import slow_reader
from app.engine.chunk import Chunk
from app.engine.slow_reader import OutputBuffer, cost_of

actions = st.lists(st.one_of(st.integers(0, 9), st.sampled_from(["deliver", "take"])), max_size=50)


@given(actions)
def test_characters_arrive_in_order_and_are_counted_until_they_are_taken(
    actions: list[int | str],
) -> None:
    """An integer produces as many characters, which are in transit until they are delivered."""
    buffer = OutputBuffer()
    in_transit: deque[Chunk] = deque()
    produced, taken = 0, Chunk()
    for action in actions:
        if isinstance(action, int):
            in_transit.append(Chunk(array("i", range(produced, produced + action))))
            buffer.produce(action)
            produced += action
        elif action == "take":
            taken += buffer.take()
            assert len(buffer) == 0
        elif in_transit:
            buffer.put(in_transit.popleft())
        assert buffer.unread == produced - len(taken)
        assert len(buffer) == buffer.unread - sum(map(len, in_transit))
    for chunk in in_transit:
        buffer.put(chunk)
    assert (taken + buffer.take()).ids.tolist() == list(range(produced))
    assert buffer.unread == 0


def test_two_threads_never_see_a_negative_count() -> None:
    buffer = OutputBuffer()
    sent: SimpleQueue[Chunk | None] = SimpleQueue()
    lowest = 0

    def produce() -> None:
        nonlocal lowest
        for number in range(20_000):
            buffer.produce(1)
            sent.put(Chunk(array("i", [number])))
            lowest = min(lowest, buffer.unread)
        sent.put(None)

    producer = threading.Thread(target=produce)
    producer.start()
    ids: list[int] = []
    while (chunk := sent.get()) is not None:
        buffer.put(chunk)
        assert buffer.unread >= len(buffer) == 1
        ids += buffer.take().ids
    producer.join()
    assert lowest == buffer.unread == 0
    assert ids == list(range(20_000))


def test_a_full_buffer_may_resume_again_when_half_of_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slow_reader, "LIMIT", 10)
    monkeypatch.setattr(slow_reader, "RESUME_BELOW", 5)
    buffer = OutputBuffer()
    buffer.produce(9)
    assert not buffer.must_pause
    buffer.produce(1)
    assert buffer.must_pause
    buffer.put(Chunk(array("i", [1] * 5)))
    buffer.take()
    assert not buffer.must_pause
    assert not buffer.may_resume
    buffer.put(Chunk(array("i", [1])))
    buffer.take()
    assert buffer.may_resume


def test_scores_fill_a_buffer_sooner() -> None:
    buffer = OutputBuffer(cost_of(10))
    buffer.produce(slow_reader.LIMIT // 12)
    assert not buffer.must_pause
    buffer.produce(1)
    assert buffer.must_pause


@given(st.integers(0, 20), st.integers(1, 9))
def test_a_reader_can_take_some_characters_at_a_time(count: int, most: int) -> None:
    buffer = OutputBuffer()
    buffer.produce(count)
    buffer.put(Chunk(array("i", range(count))))
    taken: list[int] = []
    while chunk := buffer.take(most):
        assert len(chunk) <= most
        taken += chunk.ids
        assert buffer.unread == count - len(taken)
    assert taken == list(range(count))
