"""Searches for suggestions: the same alone and among others, beside texts, and within limits."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.engine.generation import Generation
from app.engine.job import Job
from app.errors import DrainingError, QueueFullError
from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.beam_search import BeamSearchParams, Suggestion
from model.patterns.pattern import any_of
from tests.app.engine.tiny_engine import LONG, alone, job, read, running, take, until

WORDS = any_of(np.arange(51) < 20)
PRIMES = [tuple(range(first, first + length)) for first, length in ((1, 1), (3, 9), (5, 30))]


def search_job(prime: tuple[int, ...], memory: bool = False, count: int = 5) -> Job:
    return Job(
        np.array(prime, np.int32),
        0,
        SamplingParams(memory=memory),
        beam_search=BeamSearchParams(count, WORDS, 6),
    )


async def found(generation: Generation) -> list[Suggestion]:
    await generation.read()
    assert generation.suggestions is not None
    return generation.suggestions.suggestions


async def test_results_are_the_same_alone_and_among_others(tiny: Checkpoint) -> None:
    jobs = [search_job(prime, memory) for prime in PRIMES for memory in (False, True)]
    async with running(tiny, cache=0) as engine:
        expected = [await found(engine.submit(each)) for each in jobs]
        texts = [engine.submit(job(300, seed)) for seed in range(3)]
        searches = [engine.submit(each) for each in jobs * 15]
        results = await asyncio.gather(*map(found, searches))
        assert results == expected * 15
        assert [await read(text) for text in texts] == [alone(tiny, job(300, n)) for n in range(3)]
        assert engine.scheduler.idle


async def test_a_prime_that_was_read_is_not_read_again(tiny: Checkpoint) -> None:
    async with running(tiny, cache=64 << 20) as engine:
        for memory in (False, True):
            prime = tuple(range(1, 40))
            first = engine.submit(search_job(prime, memory))
            expected = await found(first)
            for _ in range(2):  # a search leaves the cached state as it was
                again = engine.submit(search_job(prime, memory))
                assert await found(again) == expected
                assert (first.cached, again.cached) == (0, 38)
            longer = engine.submit(search_job((*prime, 41), memory))
            await found(longer)
            assert longer.cached == 38


async def test_a_long_prime_does_not_keep_others_waiting(tiny: Checkpoint) -> None:
    async with running(tiny) as engine:
        long_one = engine.submit(search_job((1,) * 100_000))
        await found(engine.submit(search_job((1, 2))))
        assert long_one.finish_reason is None
        long_one.cancel()
        await until(lambda: engine.scheduler.idle)


async def test_searches_have_a_limit_and_end_with_the_engine(tiny: Checkpoint) -> None:
    async with running(tiny, slots=1, queue=2) as engine:
        text = engine.submit(job(LONG))
        await take(text)
        searches = [engine.submit(search_job((1,) * 100_000)) for _ in range(3)]
        with pytest.raises(QueueFullError):
            engine.submit(search_job((1,)))
        searches[0].cancel()
        await found(engine.submit(search_job((1,))))
        engine.drain(0)
        for search in searches[1:]:
            with pytest.raises(DrainingError):
                await search.read()
        with pytest.raises(DrainingError):
            engine.submit(search_job((1,)))
