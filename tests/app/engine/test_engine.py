from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from app.engine import output_buffer, worker
from app.engine.engine import Engine
from app.engine.generation import Generation
from app.engine.job import Job
from app.engine.prefix_cache import PrefixCache
from app.errors import DrainingError, EngineError, QueueFullError
from model.checkpoint import Checkpoint
from model.decoder import Decoder
from model.sampling import SamplingParams

PARAMS = SamplingParams(top_k=None)
LONG = 1_000_000


def job(
    length: int = 50, seed: int = 1, prime: tuple[int, ...] = (1, 2, 3), **other: object
) -> Job:
    return Job(np.array(prime, dtype=np.int32), length, PARAMS, seed, **other)  # type: ignore[arg-type]


@asynccontextmanager
async def running(
    tiny: Checkpoint, slots: int = 4, queue: int = 100, cache: int = 1 << 20
) -> AsyncIterator[Engine]:
    engine = Engine(Decoder(tiny, slots), queue, PrefixCache(cache), threads=1)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


async def read(generation: Generation) -> list[int]:
    return (await generation.read()).ids


async def take(generation: Generation) -> list[int]:
    """Wait for characters and take them."""
    await generation.wait()
    return generation.take().ids


def steps_left(generation: Generation) -> int:
    assert generation._sequence is not None
    return generation._sequence.stream.steps_left


async def until(condition: object, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.002)


def alone(tiny: Checkpoint, wanted: Job) -> list[int]:
    ids = Decoder(tiny, 1).generate(wanted.prime, wanted.length, wanted.params, wanted.seed)
    return [int(i) for i in ids]


def test_many_more_texts_than_slots_all_come_out_as_if_alone(tiny: Checkpoint) -> None:
    jobs = [job(length=5 + 7 * n % 60, seed=n, prime=(1,) * (1 + n % 9)) for n in range(40)]

    async def scenario() -> None:
        async with running(tiny) as engine:
            generations = [engine.submit(wanted) for wanted in jobs]
            assert engine.active + engine.waiting == 40
            texts = await asyncio.gather(*map(read, generations))
            assert texts == [alone(tiny, wanted) for wanted in jobs]
            assert {g.finish_reason for g in generations} == {"length"}
            assert all(len(text) == g.generated for text, g in zip(texts, generations, strict=True))
            assert engine.active == engine.waiting == 0

    asyncio.run(scenario())


def test_characters_arrive_while_the_text_is_being_made(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny) as engine:
            generation = engine.submit(job(length=LONG))
            first = await take(generation)
            assert 0 < len(first) < 1000
            assert generation.finished is None
            generation.cancel()

    asyncio.run(scenario())


def test_a_text_ends_before_its_stop(tiny: Checkpoint) -> None:
    whole = alone(tiny, job(length=80))
    stop = tuple(whole[40:44])
    expected = whole[: next(i for i in range(77) if tuple(whole[i : i + 4]) == stop)]

    async def scenario() -> None:
        async with running(tiny) as engine:
            stopped = engine.submit(job(length=80, stops=(stop,)))
            assert await read(stopped) == expected
            assert stopped.finish_reason == "stop"
            never = engine.submit(job(length=80, stops=((*whole[78:80], 0, 0, 0),)))
            assert await read(never) == whole, "what was held back is flushed at the end"
            assert never.finish_reason == "length"
            assert engine.active == 0

    asyncio.run(scenario())


def test_cancelled_texts_free_their_slots_and_their_places(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=2) as engine:
            running_ones = [engine.submit(job(length=LONG)) for _ in range(2)]
            waiting = [engine.submit(job(length=LONG)) for _ in range(3)]
            await until(lambda: engine.active == 2)
            assert engine.waiting == 3
            for generation in waiting:
                generation.cancel()
            assert engine.waiting == 0, "a place in the queue is free at once"
            for generation in running_ones:
                generation.cancel()
            await until(lambda: engine.active == 0)
            assert waiting[0].admitted is None
            assert len(await read(engine.submit(job(length=10)))) == 10

    asyncio.run(scenario())


def test_a_full_queue_refuses_with_a_time_to_come_back(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=1, queue=2) as engine:
            for _ in range(3):
                engine.submit(job(length=LONG))
            with pytest.raises(QueueFullError, match="full") as caught:
                engine.submit(job())
            assert caught.value.retry_after >= 1

    asyncio.run(scenario())


def test_those_refused_in_a_row_are_told_one_end_after_another(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=2, queue=2) as engine:
            lengths = (LONG, 2 * LONG, 3 * LONG, 4 * LONG)
            texts = [engine.submit(job(length=length)) for length in lengths]
            await until(lambda: engine.active == 2)
            monkeypatch.setattr(worker, "_RATE_SMOOTHING", 0.0)
            monkeypatch.setattr(engine._scheduler, "seconds_per_step", 1.0)
            told = [refused(engine) for _ in range(6)]
            left = [steps_left(text) for text in texts]
            assert told[0] == pytest.approx(left[0], rel=0.2)
            assert told[1] == pytest.approx(left[1], rel=0.2)
            assert told[2] == pytest.approx(left[0] + left[2], rel=0.2)
            assert told[3] == pytest.approx(left[1] + left[3], rel=0.2)
            assert told[4] == told[5] == told[3]  # when all is done
            texts[2].cancel()
            texts[2] = engine.submit(job(length=LONG))
            assert refused(engine) == pytest.approx(steps_left(texts[0]), rel=0.2)

    def refused(engine: Engine) -> float:
        with pytest.raises(QueueFullError) as caught:
            engine.submit(job())
        return caught.value.retry_after

    asyncio.run(scenario())


def test_a_reader_that_stops_pauses_its_own_text_alone(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_buffer, "LIMIT", 50)
    wanted = job(length=2000, seed=5)

    async def scenario() -> None:
        async with running(tiny, slots=1) as engine:
            sleeper = engine.submit(wanted)
            await until(lambda: sleeper.paused)
            assert sleeper.unread < 50 + worker._MOST_STEPS
            assert len(await read(engine.submit(job(length=300)))) == 300, "the slot is free"
            assert await read(sleeper) == alone(tiny, wanted), "and nothing of its text is lost"

    asyncio.run(scenario())


def test_a_text_that_was_read_before_is_not_read_again(tiny: Checkpoint) -> None:
    prime = tuple(range(1, 41))

    async def scenario() -> None:
        async with running(tiny) as engine:

            async def ask(prime: tuple[int, ...], seed: int) -> tuple[list[int], int]:
                generation = engine.submit(job(length=30, seed=seed, prime=prime))
                return await read(generation), generation.cached

            first, cached = await ask(prime, 1)
            assert cached == 0
            assert await ask(prime, 1) == (first, 39), "all but the last, which is read next"
            longer = (*prime, 5, 6)
            assert await ask(longer, 2) == (alone(tiny, job(30, 2, longer)), 39)
            whole = (*prime, *first)
            assert await ask(whole, 3) == (alone(tiny, job(30, 3, whole)), 69)
            assert (await ask(prime[:20], 4))[1] == 0

    asyncio.run(scenario())


def test_a_short_text_is_not_kept_waiting_by_long_ones(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=8) as engine:
            long_ones = [engine.submit(job(length=LONG, seed=seed)) for seed in range(7)]
            await asyncio.gather(*(take(generation) for generation in long_ones))
            made = [generation.unread for generation in long_ones]
            short = engine.submit(job(length=20, prime=(1,) * 100))
            assert len(await read(short)) == 20
            others = [generation.unread for generation in long_ones]
            assert max(b - a for a, b in zip(made, others, strict=True)) < 3000
            for generation in long_ones:
                generation.cancel()

    asyncio.run(scenario())


def test_draining_lets_texts_end_and_takes_no_new_ones(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny) as engine:
            ending = engine.submit(job(length=300))
            endless = engine.submit(job(length=LONG))
            await take(endless)
            engine.drain(0.5)
            with pytest.raises(DrainingError):
                engine.submit(job())
            with pytest.raises(DrainingError):
                engine.check_ready()
            assert len(await read(ending)) == 300
            with pytest.raises(DrainingError):
                await read(endless)
            assert endless.finish_reason is None

    asyncio.run(scenario())


def test_a_failing_decoder_fails_every_text_and_says_so(
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
