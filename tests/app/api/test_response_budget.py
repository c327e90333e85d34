"""The results of requests that get JSON: their memory is bounded, and few are encoded at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.response_budget import SMALL, Reservation, ResponseBudget, largest_bytes
from app.errors import DrainingError, TooManyResultsError
from tests.conftest import CHARACTERS
from tests.server import RunningServer

LONG = 10 << 20  # bytes of a result that is not short
CELLS = [{"layer": 0, "cell": cell} for cell in range(16)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400_000)), max_size=30))
def test_large_results_together_stay_within_the_limit(steps: list[tuple[int, int]]) -> None:
    limit = 500_000
    budget, held = ResponseBudget(limit), dict[int, tuple[Reservation, int]]()
    for number, size in steps:
        if number in held:
            held.pop(number)[0].release()
            continue
        others = sum(max(0, each - SMALL) for _, each in held.values())
        if others and others + max(0, size - SMALL) > limit:
            with pytest.raises(TooManyResultsError):
                budget.reserve(size, number)
        else:
            held[number] = budget.reserve(size, number), size
    for result, _ in held.values():
        result.release()
    budget.reserve(limit + SMALL)


@given(st.lists(st.integers(0, 400_000), max_size=30))
def test_one_client_never_reserves_all(sizes: list[int]) -> None:
    """A second client can always reserve a quarter of the limit."""
    limit = 600_000
    budget, held = ResponseBudget(limit), []
    for size in sizes:
        with suppress(TooManyResultsError):
            held.append(budget.reserve(size, "one"))
    budget.reserve(limit // 4 + SMALL, "two").release()
    for result in held:
        result.release()
    assert not budget._reserved_by


def test_a_result_larger_than_the_limit_is_accepted_if_it_is_the_only_one() -> None:
    budget = ResponseBudget(1000)
    for _ in range(2):
        budget.reserve(SMALL)  # does not count
        held = budget.reserve(2 * SMALL)
        budget.reserve(SMALL)
        with pytest.raises(TooManyResultsError):
            budget.reserve(SMALL + 1)
        held.release()


def test_a_result_counts_with_its_true_size_once_it_is_encoded() -> None:
    budget = ResponseBudget(limit=100)
    held = budget.reserve(SMALL + 101)
    assert b"".join(asyncio.run(held.encode({"text": "é"}))) == '{"text":"é"}'.encode()
    budget.reserve(SMALL + 100)


@pytest.mark.parametrize("alternatives", [None, 0, 10])
@pytest.mark.parametrize("path", ["/generate", "/score", "/v1/completions", "/cells"])
def test_no_result_is_larger_than_was_counted(
    path: str, alternatives: int | None, server: RunningServer
) -> None:
    text = "".join(CHARACTERS) * 20
    scores = {} if alternatives is None else {"logprobs": alternatives}
    length, cells = len(text), 0
    body: dict[str, Any] = {"length": length, **scores}
    if path == "/score":
        body, alternatives = {"text": text, "prime": "", **scores}, alternatives or 0
    elif path == "/cells":
        body, alternatives, cells = {"text": text, "cells": CELLS}, None, len(CELLS)
    elif path == "/v1/completions":
        length *= 2
        body = {"prompt": text, "echo": True, "max_tokens": len(text), **scores}
    with server.client() as client:
        response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    head = 1000  # the fields that a response has only once
    assert len(response.content) <= largest_bytes(length, alternatives, cells) + head


def slow(name: str, began: list[str], pieces: int = 50) -> Iterator[str]:
    """A JSON string whose pieces take a millisecond each."""
    yield '"'
    for _ in range(pieces):
        end = time.thread_time() + 0.001
        while time.thread_time() < end:
            pass
        began.append(name)
        yield name
    yield '"'


def test_a_short_result_does_not_wait_for_long_ones() -> None:
    """Five long results take 250 ms. They would all be begun when the short one is encoded."""
    worked: list[str] = []

    async def encode(name: str, size: int) -> None:
        await budget.reserve(size).encode({"value": slow(name, worked)})

    async def scenario() -> None:
        long = [asyncio.create_task(encode(str(number), LONG)) for number in range(5)]
        while not worked:
            await asyncio.sleep(0.001)
        await encode("s", 1000)
        ended_after.append(len(worked))
        await asyncio.gather(*long)

    budget, ended_after = ResponseBudget(), list[int]()
    asyncio.run(scenario())
    assert worked[: ended_after[0]].count("s") == 50
    assert set(worked[: ended_after[0]]) <= {"s", "0", "1"}
    assert "".join(worked).replace("s", "") == "".join(str(n) * 50 for n in range(5))


def test_an_encoding_that_is_cancelled_lets_the_next_one_begin() -> None:
    worked: list[str] = []

    async def scenario() -> None:
        first = asyncio.create_task(budget.reserve(LONG).encode({"value": slow("1", worked, 3000)}))
        second = asyncio.create_task(budget.reserve(LONG).encode({"value": slow("2", worked)}))
        while not worked:
            await asyncio.sleep(0.001)
        first.cancel()
        await second

    budget = ResponseBudget()
    asyncio.run(scenario())
    assert worked.count("2") == 50


def test_no_result_is_encoded_after_the_drain_time() -> None:
    async def scenario() -> list[object]:
        long = [budget.reserve(LONG).encode({"value": slow("1", [], 3000)}) for _ in range(3)]
        asyncio.get_running_loop().call_later(0.05, budget.drain, 0.05)
        return list(await asyncio.gather(*long, return_exceptions=True))

    budget = ResponseBudget()
    assert [type(result) for result in asyncio.run(scenario())] == [DrainingError] * 3
