"""Retry-After against a simulation that runs step by step."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from app.engine.retry_after import retry_after

steps = st.integers(1, 60)
running_lists = st.lists(steps, min_size=1, max_size=5)
queued_lists = st.lists(steps, max_size=6)
rates = st.sampled_from([1 / 1024, 1 / 8, 1.0, 8.0])  # products and sums of them are exact
seconds = st.floats(1e-6, 600)


def simulated_ends(running: list[int], queued: list[int]) -> list[int]:
    """The step at which each generation ends, in order."""
    slots, queue, ends, step = list(running), list(queued), [], 0
    while slots:
        step += 1
        slots = [left - 1 for left in slots]
        ended = slots.count(0)
        ends += [step] * ended
        slots = [left for left in slots if left] + queue[:ended]
        queue = queue[ended:]
    return ends


@given(running_lists, queued_lists, st.integers(1, 15), rates)
def test_a_refused_request_waits_for_the_end_of_its_number(
    running: list[int], queued: list[int], position: int, seconds_per_step: float
) -> None:
    ends = simulated_ends(running, queued)
    end = ends[min(position, len(ends)) - 1]
    expected = max(1, math.ceil(end * seconds_per_step))
    seconds = ([steps * seconds_per_step for steps in each] for each in (running, queued))
    assert retry_after(position, *seconds) == expected


@given(st.lists(seconds, max_size=5), st.lists(seconds, max_size=6), st.integers(1, 15))
def test_the_estimate_is_at_least_1_and_grows_with_the_position(
    running: list[float], queued: list[float], position: int
) -> None:
    estimates = [retry_after(each, running, queued) for each in (position, position + 1)]
    assert 1 <= estimates[0] <= estimates[1]


def test_without_generations_a_client_may_retry_after_a_second() -> None:
    assert retry_after(1, [], []) == 1
