"""The engine: batching, queueing, stops, cancellation, pauses, draining and failure."""

from __future__ import annotations

import asyncio

import pytest

from app.engine import slow_reader, worker
from app.engine.engine import Engine
from app.errors import DrainingError, EngineError, QueueFullError
from model.checkpoints.checkpoint import Checkpoint
from model.decoding.backend import StepOutput
from model.decoding.decoder import Decoder
from tests.app.engine.tiny_engine import LONG, alone, job, read, running, steps_left, take, until


async def test_characters_arrive_while_the_generation_runs(tiny: Checkpoint) -> None:
    async with running(tiny) as engine:
        generation = engine.submit(job(length=LONG))
        first = await take(generation)
        assert 0 < len(first) < 1000
        assert generation.finished is None
        generation.cancel()


async def test_cancelled_generations_free_their_slots_and_queue_positions(tiny: Checkpoint) -> None:
    async with running(tiny, slots=2) as engine:
        active = [engine.submit(job(length=LONG)) for _ in range(2)]
        waiting = [engine.submit(job(length=LONG)) for _ in range(3)]
        await until(lambda: engine.scheduler.running == 2)
        assert engine.scheduler.waiting == 3
        for generation in waiting:
            generation.cancel()
        assert engine.scheduler.waiting == 0, "a queue position is free at once"
        for generation in active:
            generation.cancel()
        await until(lambda: engine.scheduler.running == 0)
        assert waiting[0].admitted is None
        assert len(await read(engine.submit(job(length=10)))) == 10


def refused(engine: Engine) -> float:
    """Submit a job to an engine with a full queue. Return when it may be sent again."""
    with pytest.raises(QueueFullError) as caught:
        engine.submit(job())
    return caught.value.retry_after


async def test_consecutive_refusals_wait_for_consecutive_ends(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tiny, slots=2, queue=2) as engine:
        lengths = (LONG, 2 * LONG, 3 * LONG, 4 * LONG)
        generations = [engine.submit(job(length=length)) for length in lengths]
        await until(lambda: engine.scheduler.running == 2)
        monkeypatch.setattr(worker, "_RATE_SMOOTHING", 0.0)
        monkeypatch.setattr(engine.scheduler.batch, "seconds_per_step", 1.0)
        estimates = [refused(engine) for _ in range(6)]
        left = [steps_left(generation) for generation in generations]
        assert estimates[0] == pytest.approx(left[0], rel=0.2)
        assert estimates[1] == pytest.approx(left[1], rel=0.2)
        assert estimates[2] == pytest.approx(left[0] + left[2], rel=0.2)
        assert estimates[3] == pytest.approx(left[1] + left[3], rel=0.2)
        assert estimates[4] == estimates[5] == estimates[3]  # the last end
        generations[2].cancel()
        generations[2] = engine.submit(job(length=LONG))
        assert refused(engine) == pytest.approx(steps_left(generations[0]), rel=0.2)


async def test_a_slow_reader_pauses_only_its_own_generation(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_reader, "LIMIT", 50)
    slow_job = job(length=2000, seed=5)
    async with running(tiny, slots=1) as engine:
        slow = engine.submit(slow_job)
        await until(lambda: engine.scheduler.paused == 1)
        assert slow.buffer.unread < 50 + worker._MAX_STEPS
        assert len(await read(engine.submit(job(length=300)))) == 300, "the slot is free"
        assert await read(slow) == alone(tiny, slow_job), "no character is lost"


async def test_a_short_generation_does_not_wait_for_long_ones(tiny: Checkpoint) -> None:
    async with running(tiny, slots=8) as engine:
        others = [engine.submit(job(length=LONG, seed=seed)) for seed in range(7)]
        await asyncio.gather(*(take(generation) for generation in others))
        before = [generation.buffer.unread for generation in others]
        short = engine.submit(job(length=20, prime=(1,) * 100))
        assert len(await read(short)) == 20
        after = [generation.buffer.unread for generation in others]
        assert max(b - a for a, b in zip(before, after, strict=True)) < 3000
        for generation in others:
            generation.cancel()


async def test_the_short_texts_that_join_together_are_computed_first(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tiny, slots=8) as engine:
        calls: list[tuple[int, int]] = []
        advance = Decoder.advance

        def recorded(decoder: Decoder, steps: int, first: int = 0) -> StepOutput:
            calls.append((steps, first))
            return advance(decoder, steps, first)

        monkeypatch.setattr(Decoder, "advance", recorded)
        jobs = [job(length, length, prime=(1,)) for length in (20, 300, 10, 200)]
        with engine.scheduler.slots.lock:
            generations = [engine.submit(one) for one in jobs]
        texts = await asyncio.gather(*map(read, generations))
        assert calls[0] == (20, 2)
        assert texts == [alone(tiny, one) for one in jobs]


async def test_texts_of_a_full_engine_and_their_continuations_are_exact(tiny: Checkpoint) -> None:
    """While others wait, a call of the decoder may pass the end of a text."""
    lengths = (3, 200, 24, 25, 7, 60, 1, 130)
    jobs = [job(length, seed) for seed, length in enumerate(lengths)]
    async with running(tiny, slots=2) as engine:
        texts = await asyncio.gather(*(read(engine.submit(one)) for one in jobs))
        assert texts == [alone(tiny, one) for one in jobs]
        for one, text in zip(jobs, texts, strict=True):
            more = job(20, one.seed, (*one.prime.tolist(), *text))
            assert await read(engine.submit(more)) == alone(tiny, more)


async def test_draining_finishes_running_generations_and_accepts_no_new_jobs(
    tiny: Checkpoint,
) -> None:
    async with running(tiny) as engine:
        ending = engine.submit(job(length=60))
        endless = engine.submit(job(length=LONG))
        await take(endless)
        engine.drain(2)
        with pytest.raises(DrainingError):
            engine.submit(job())
        with pytest.raises(DrainingError):
            engine.scheduler.check_ready()
        assert len(await read(ending)) == 60
        with pytest.raises(DrainingError):
            await read(endless)
        assert endless.finish_reason is None


async def test_a_failing_decoder_fails_every_generation_with_the_reason(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tiny, slots=1) as engine:
        active, waiting = (engine.submit(job(length=LONG)) for _ in range(2))
        await take(active)

        def break_down(*_: object) -> None:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(engine._decoder, "advance", break_down)
        for generation in (active, waiting):
            with pytest.raises(EngineError, match="out of memory"):
                await read(generation)
            assert await read(generation) == [], "an error is raised once"
        with pytest.raises(EngineError, match="out of memory"):
            engine.check_alive()
        with pytest.raises(EngineError, match="out of memory"):
            engine.submit(job())
