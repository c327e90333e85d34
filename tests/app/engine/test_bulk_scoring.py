"""Bulk jobs: their scores, the slots that they use, and what other jobs notice of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.engine import Engine
from app.engine.generation import Generation
from app.errors import DeadlineError, DrainingError, QueueFullError
from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.choice.scores import ScoreRows, nats_of
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.decoding.text_scoring import TextScores
from tests.app.engine.bulk_jobs import bulk_job, many
from tests.app.engine.tiny_engine import LONG, alone, job, read, running, take, until

IDS = st.lists(st.integers(0, 40), min_size=1, max_size=40)


def rows_alone(
    tiny: Checkpoint, prime: Sequence[int], text: Sequence[int], alternatives: int = 0
) -> ScoreRows:
    """The scores of a text that a decoder computes with nothing else in its batch."""
    decoder = Decoder(tiny, 1)
    ids = np.array([*prime, *text], dtype=np.int32)
    decoder.join(DecoderStream(ids, 0, SamplingParams(), 0, alternatives, len(prime)))
    scores = decoder.advance(len(ids) - 1).scores
    assert scores is not None
    return scores[len(prime) - 1 :, 0]


async def scores_of(generation: Generation) -> TextScores:
    chunk = await generation.read()
    assert not chunk
    assert generation.scores is not None
    return generation.scores


@settings(max_examples=10)
@given(
    texts=st.lists(IDS, min_size=1, max_size=30),
    prime=IDS,
    slots=st.integers(1, 6),
    alternatives=st.integers(0, 3),
    others=st.integers(0, 4),
)
def test_scores_are_those_of_each_text_alone(
    tiny: Checkpoint,
    texts: list[list[int]],
    prime: list[int],
    slots: int,
    alternatives: int,
    others: int,
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=slots) as engine:
            beside = [engine.submit(job(length=40, seed=seed)) for seed in range(others)]
            summed = engine.submit(bulk_job(texts, prime))
            detailed = engine.submit(bulk_job(texts[::-1], prime, alternatives, detail=True))
            nats = (await scores_of(summed)).nats_T
            scores = await scores_of(detailed)
            for seed, generation in enumerate(beside):
                assert await read(generation) == alone(tiny, job(length=40, seed=seed))
        assert summed.generated == detailed.generated == sum(map(len, texts))
        assert scores.rows_ND is not None
        expected = [rows_alone(tiny, prime, text, alternatives) for text in texts]
        assert nats.tolist() == scores.nats_T.tolist()[::-1] == list(map(nats_of, expected))
        assert scores.rows_ND.tolist() == np.concatenate(expected[::-1]).tolist()

    asyncio.run(scenario())


async def test_free_slots_are_used_and_given_back(tiny: Checkpoint) -> None:
    async with running(tiny, slots=4, queue=0) as engine:
        bulk = engine.submit(bulk_job(many(20_000)))
        active = engine.scheduler.active
        await until(lambda: len(active) == 4)
        assert engine.scheduler.running == 1
        generations = []
        for _ in range(3):
            generations.append(engine.submit(job(length=LONG)))
            assert await take(generations[-1])
        assert engine.scheduler.running == 4
        with pytest.raises(QueueFullError):
            engine.submit(job())
        for generation in generations:
            generation.cancel()
        await until(lambda: engine.scheduler.running == 1)
        assert bulk.finish_reason is None, "it was not done before"
        await until(lambda: len(active) == 4)
        bulk.cancel()
        await until(lambda: not active)


@pytest.mark.parametrize("slots", [2, 4])
async def test_texts_that_lose_their_slots_and_texts_beside_them_are_exact(
    tiny: Checkpoint, slots: int
) -> None:
    texts = [text[: 1 + 37 * number % 80] for number, text in enumerate(many(40, 80))]
    expected = [nats_of(rows_alone(tiny, (1, 2), text)) for text in texts]
    others = [alone(tiny, job(30, seed)) for seed in range(slots)]
    async with running(tiny, slots=slots) as engine:
        bulks = [engine.submit(bulk_job(texts, (1, 2))) for _ in range(2)]
        for number in range(12):
            begun = [engine.submit(job(30, seed)) for seed in range(1 + number % slots)]
            begun.pop().cancel()
            for seed, generation in enumerate(begun):
                assert await read(generation) == others[seed]
        results = [(await scores_of(bulk)).nats_T.tolist() for bulk in bulks]
        assert results == [expected] * 2
        assert engine.scheduler.idle


async def test_bulk_jobs_that_share_many_slots_keep_their_scores(tiny: Checkpoint) -> None:
    """Several lanes move at once. Each job has its own texts, and a generation is beside them."""
    jobs = [bulk_job(many(count, 80)) for count in (300, 250, 200)]
    text_alone = alone(tiny, job(400, 5))
    async with running(tiny, slots=16) as engine:
        expected = [(await scores_of(engine.submit(own))).nats_T.tolist() for own in jobs]
        first = engine.submit(jobs[0])
        await until(lambda: len(engine.scheduler.active) == 16)
        beside = engine.submit(job(400, 5))
        rest = [engine.submit(own) for own in jobs[1:]]
        assert await read(beside) == text_alone
        for bulk, nats in zip((first, *rest), expected, strict=True):
            assert (await scores_of(bulk)).nats_T.tolist() == nats


async def test_bulk_jobs_share_the_slots(tiny: Checkpoint) -> None:
    def lanes(engine: Engine, generation: Generation) -> int:
        return sum(s.job is generation.job for s in engine.scheduler.active)

    async with running(tiny, slots=9) as engine:
        first = engine.submit(bulk_job(many(40_000)))
        await until(lambda: lanes(engine, first) == 9)
        others = [engine.submit(bulk_job(many(40_000))) for _ in range(2)]
        await until(lambda: [lanes(engine, one) for one in (first, *others)] == [3, 3, 3])
        first.cancel()
        await until(lambda: sorted(lanes(engine, one) for one in others) == [4, 5])


async def test_a_bulk_job_waits_for_one_slot_and_needs_one_position(tiny: Checkpoint) -> None:
    texts = many(3)
    async with running(tiny, slots=1, queue=1) as engine:
        first = engine.submit(job(length=LONG))
        await take(first)
        bulk = engine.submit(bulk_job(texts))
        assert (engine.scheduler.running, engine.scheduler.waiting) == (1, 1)
        with pytest.raises(QueueFullError):
            engine.submit(bulk_job(texts))
        first.cancel()
        nats = (await scores_of(bulk)).nats_T
        assert nats.tolist() == [nats_of(rows_alone(tiny, (1,), text)) for text in texts]


async def test_a_long_prime_is_read_once_and_cached(tiny: Checkpoint) -> None:
    prime = tuple(range(20)) * 50
    async with running(tiny) as engine:
        for cached in (0, len(prime) - 1):
            bulk = engine.submit(bulk_job(many(9), prime))
            assert (await scores_of(bulk)).nats_T[4] == nats_of(rows_alone(tiny, prime, many(9)[4]))
            assert bulk.cached == cached
            assert bulk.generated == 270


async def test_an_end_from_outside_is_an_error(tiny: Checkpoint) -> None:
    async with running(tiny) as engine:
        expiring = engine.submit(bulk_job(many(40_000)))
        expiring.expire_after(0.02)
        with pytest.raises(DeadlineError):
            await expiring.read()
        await until(lambda: engine.scheduler.idle)
        draining = engine.submit(bulk_job(many(40_000)))
        await until(lambda: draining.generated)
        engine.drain(0)
        with pytest.raises(DrainingError):
            await draining.read()
        assert engine.scheduler.idle
