"""Ended generations and stopped engines are freed at once, by reference counting alone.

In a reference cycle they would keep their memory until the next full garbage collection.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import pytest

from app.engine import slow_reader, worker
from app.engine.engine import Engine
from app.engine.generation import Generation
from app.engine.prefix_cache import PrefixCache
from app.engine.scheduler import Scheduler
from app.engine.sequence import Sequence
from app.errors import DeadlineError, DrainingError, EngineError, QueueFullError
from model.checkpoints.checkpoint import Checkpoint
from model.decoding.decoder import Decoder
from tests.app.engine.bulk_jobs import bulk_job, many
from tests.app.engine.tiny_engine import LONG, job, read, running, take, until

pytestmark = pytest.mark.usefixtures("no_garbage_collection")

OF_A_JOB = {Generation, Sequence}
OF_AN_ENGINE = {Engine, Scheduler, Decoder, PrefixCache, *OF_A_JOB}


def alive(types: set[type]) -> list[object]:
    return [each for each in gc.get_objects() if type(each) in types]


async def until_freed(types: set[type], before: list[object]) -> None:
    """Wait until all objects of some types are those that were there before."""
    await until(lambda: len(alive(types)) <= len(before))
    assert {id(each) for each in alive(types)} <= {id(each) for each in before}


async def finish(engine: Engine) -> None:
    await read(engine.submit(job(length=30)))


async def finish_with_scores(engine: Engine) -> None:
    await read(engine.submit(job(length=30, alternatives=2)))


async def finish_unread(engine: Engine) -> None:
    generation = engine.submit(job(length=30))
    generation.expire_after(600)
    await until(lambda: generation.finished is not None)


async def finish_bulk(engine: Engine) -> None:
    await engine.submit(bulk_job(many(30))).read()


async def cancel_bulk(engine: Engine) -> None:
    generation = engine.submit(bulk_job(many(50_000)))
    await until(lambda: generation.generated)
    generation.cancel()


async def cancel(engine: Engine) -> None:
    generation = engine.submit(job(length=LONG))
    generation.expire_after(600)
    await take(generation)
    generation.cancel()


async def cancel_while_paused(engine: Engine) -> None:
    with patch.object(slow_reader, "LIMIT", 50):  # a busy machine takes long for 4,096 steps
        generation = engine.submit(job(length=LONG))
        await until(lambda: engine.scheduler.paused == 1)
    generation.cancel()


async def cancel_while_waiting(engine: Engine) -> None:
    for generation in [engine.submit(job(length=LONG)) for _ in range(3)]:
        generation.cancel()


async def expire(engine: Engine) -> None:
    generation = engine.submit(job(length=LONG))
    generation.expire_after(0.02)
    with pytest.raises(DeadlineError):
        await read(generation)


async def refuse(engine: Engine) -> None:
    """Submit more jobs than the engine accepts."""
    accepted = [engine.submit(job(length=LONG)) for _ in range(4)]
    with pytest.raises(QueueFullError):
        engine.submit(job())
    for generation in accepted:
        generation.cancel()


@pytest.mark.parametrize(
    "end",
    [
        finish,
        finish_with_scores,
        finish_unread,
        finish_bulk,
        cancel_bulk,
        cancel,
        cancel_while_paused,
        cancel_while_waiting,
        expire,
        refuse,
    ],
)
async def test_an_ended_generation_is_freed(
    tiny: Checkpoint, end: Callable[[Engine], Awaitable[None]]
) -> None:
    before = alive(OF_A_JOB)
    async with running(tiny, slots=2, queue=2) as engine:
        await end(engine)
        await until(lambda: engine.scheduler.idle)
        await until_freed(OF_A_JOB, before)


async def test_generations_of_a_failed_engine_are_freed(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    # Pytest keeps the log records, whose traceback would keep the frames of the engine thread.
    monkeypatch.setattr(worker.logger, "disabled", True)

    async def fail_all(engine: Engine) -> None:
        active, waiting = (engine.submit(job(length=LONG)) for _ in range(2))
        await take(active)
        monkeypatch.setattr(Decoder, "advance", fail)
        for generation in (active, waiting):
            with pytest.raises(EngineError, match="out of memory"):
                await read(generation)

    before = alive(OF_A_JOB)
    async with running(tiny, slots=1) as engine:
        await fail_all(engine)
        await until_freed(OF_A_JOB, before)


async def test_a_stopped_engine_is_freed_with_its_decoder_and_its_cache(tiny: Checkpoint) -> None:
    async def run_and_stop() -> None:
        async with running(tiny) as engine:
            await finish(engine)
            unfinished = engine.submit(job(length=LONG))
            await take(unfinished)
        with pytest.raises(DrainingError):
            await read(unfinished)

    before = alive(OF_AN_ENGINE)
    await run_and_stop()
    await until_freed(OF_AN_ENGINE, before)
