"""The engine: batching, queueing, stops, cancellation, pauses, draining and failure."""

from __future__ import annotations

import asyncio

import pytest

from app.engine import slow_reader, worker
from app.engine.engine import Engine
from app.errors import DrainingError, EngineError, QueueFullError
from model.checkpoints.checkpoint import Checkpoint
from tests.app.engine.tiny_engine import LONG, alone, job, read, running, steps_left, take, until


def test_more_generations_than_slots_give_the_same_texts_as_alone(tiny: Checkpoint) -> None:
    jobs = [job(length=5 + 7 * n % 60, seed=n, prime=(1,) * (1 + n % 9)) for n in range(40)]

    async def scenario() -> None:
        async with running(tiny) as engine:
            generations = [engine.submit(each) for each in jobs]
            assert engine.running + engine.waiting == 40
            texts = await asyncio.gather(*map(read, generations))
            assert texts == [alone(tiny, each) for each in jobs]
            assert {g.finish_reason for g in generations} == {"length"}
            assert all(len(text) == g.generated for text, g in zip(texts, generations, strict=True))
            assert engine.running == engine.waiting == 0

    asyncio.run(scenario())


def test_characters_arrive_while_the_generation_runs(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny) as engine:
            generation = engine.submit(job(length=LONG))
            first = await take(generation)
            assert 0 < len(first) < 1000
            assert generation.finished is None
            generation.cancel()

    asyncio.run(scenario())


def test_a_text_ends_before_its_stop_string(tiny: Checkpoint) -> None:
    whole = alone(tiny, job(length=80))
    stop = tuple(whole[40:44])
    expected = whole[: next(i for i in range(77) if tuple(whole[i : i + 4]) == stop)]

    async def scenario() -> None:
        async with running(tiny) as engine:
            stopped = engine.submit(job(length=80, stops=(stop,)))
            assert await read(stopped) == expected
            assert stopped.finish_reason == "stop"
            never = engine.submit(job(length=80, stops=((*whole[78:80], 0, 0, 0),)))
            assert await read(never) == whole, "characters held back arrive at the end"
            assert never.finish_reason == "length"
            assert engine.running == 0

    asyncio.run(scenario())


def test_cancelled_generations_free_their_slots_and_queue_positions(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=2) as engine:
            active = [engine.submit(job(length=LONG)) for _ in range(2)]
            waiting = [engine.submit(job(length=LONG)) for _ in range(3)]
            await until(lambda: engine.running == 2)
            assert engine.waiting == 3
            for generation in waiting:
                generation.cancel()
            assert engine.waiting == 0, "a queue position is free at once"
            for generation in active:
                generation.cancel()
            await until(lambda: engine.running == 0)
            assert waiting[0].admitted is None
            assert len(await read(engine.submit(job(length=10)))) == 10

    asyncio.run(scenario())


def test_a_full_queue_refuses_jobs_and_says_when_to_retry(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=1, queue=2) as engine:
            for _ in range(3):
                engine.submit(job(length=LONG))
            with pytest.raises(QueueFullError, match="full") as caught:
                engine.submit(job())
            assert caught.value.retry_after >= 1

    asyncio.run(scenario())


def test_consecutive_refusals_wait_for_consecutive_ends(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=2, queue=2) as engine:
            lengths = (LONG, 2 * LONG, 3 * LONG, 4 * LONG)
            generations = [engine.submit(job(length=length)) for length in lengths]
            await until(lambda: engine.running == 2)
            monkeypatch.setattr(worker, "_RATE_SMOOTHING", 0.0)
            monkeypatch.setattr(engine._scheduler.batch, "seconds_per_step", 1.0)
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

    def refused(engine: Engine) -> float:
        with pytest.raises(QueueFullError) as caught:
            engine.submit(job())
        return caught.value.retry_after

    asyncio.run(scenario())


def test_a_slow_reader_pauses_only_its_own_generation(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_reader, "LIMIT", 50)
    slow_job = job(length=2000, seed=5)

    async def scenario() -> None:
        async with running(tiny, slots=1) as engine:
            slow = engine.submit(slow_job)
            await until(lambda: slow.paused)
            assert slow.buffer.unread < 50 + worker._MAX_STEPS
            assert len(await read(engine.submit(job(length=300)))) == 300, "the slot is free"
            assert await read(slow) == alone(tiny, slow_job), "no character is lost"

    asyncio.run(scenario())


def test_a_short_generation_does_not_wait_for_long_ones(tiny: Checkpoint) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_draining_finishes_running_generations_and_accepts_no_new_jobs(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny) as engine:
            ending = engine.submit(job(length=300))
            endless = engine.submit(job(length=LONG))
            await take(endless)
            engine.drain(2)
            with pytest.raises(DrainingError):
                engine.submit(job())
            with pytest.raises(DrainingError):
                engine.check_ready()
            assert len(await read(ending)) == 300
            with pytest.raises(DrainingError):
                await read(endless)
            assert endless.finish_reason is None

    asyncio.run(scenario())


def test_a_failing_decoder_fails_every_generation_with_the_reason(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=1) as engine:
            active, waiting = (engine.submit(job(length=LONG)) for _ in range(2))
            await take(active)

            def break_down(*_: object) -> None:
                raise RuntimeError("out of memory")

            monkeypatch.setattr(engine._decoder, "advance", break_down)
            for generation in (active, waiting):
                with pytest.raises(EngineError, match="out of memory"):
                    await read(generation)
            with pytest.raises(EngineError, match="out of memory"):
                engine.check_alive()
            with pytest.raises(EngineError, match="out of memory"):
                engine.submit(job())

    asyncio.run(scenario())
