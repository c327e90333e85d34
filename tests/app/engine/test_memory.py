"""Ended generations and stopped engines are freed at once, by reference counting alone.

In a reference cycle they would keep their memory until the next full garbage collection.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import pytest

from app.engine import slow_reader, worker
from app.engine.engine import Engine
from app.engine.generation import Generation
from app.engine.scheduler import Scheduler
from app.engine.sequence import Sequence
from app.errors import DeadlineError, DrainingError, EngineError, QueueFullError
from model.checkpoints.checkpoint import Checkpoint
from tests.app.engine.bulk_jobs import bulk_job, many
from tests.app.engine.tiny_engine import LONG, job, read, running, take, until

Refs = list[weakref.ref[object]]


pytestmark = pytest.mark.usefixtures("no_garbage_collection")


def refs_of(generation: Generation) -> Refs:
    assert generation._sequence is not None
    return [weakref.ref(generation), weakref.ref(generation._sequence)]


async def finish(engine: Engine) -> Refs:
    generation = engine.submit(job(length=30))
    refs = refs_of(generation)
    await read(generation)
    return refs


async def finish_with_scores(engine: Engine) -> Refs:
    generation = engine.submit(job(length=30, alternatives=2))
    refs = refs_of(generation)
    await read(generation)
    return refs


async def finish_unread(engine: Engine) -> Refs:
    generation = engine.submit(job(length=30))
    generation.expire_after(600)
    refs = refs_of(generation)
    await until(lambda: generation.finished is not None)
    return refs


async def finish_bulk(engine: Engine) -> Refs:
    generation = engine.submit(bulk_job(many(30)))
    refs = refs_of(generation)
    await generation.read()
    return refs


async def cancel_bulk(engine: Engine) -> Refs:
    generation = engine.submit(bulk_job(many(50_000)))
    refs = refs_of(generation)
    await until(lambda: generation.generated)
    refs += [weakref.ref(lane) for lane in engine._scheduler.active]
    generation.cancel()
    return refs


async def cancel(engine: Engine) -> Refs:
    generation = engine.submit(job(length=LONG))
    generation.expire_after(600)
    refs = refs_of(generation)
    await take(generation)
    generation.cancel()
    return refs


async def cancel_while_paused(engine: Engine) -> Refs:
    with patch.object(slow_reader, "LIMIT", 50):  # a busy machine takes long for 4,096 steps
        generation = engine.submit(job(length=LONG))
        refs = refs_of(generation)
        await until(lambda: generation.paused)
    generation.cancel()
    return refs


async def cancel_while_waiting(engine: Engine) -> Refs:
    active = [engine.submit(job(length=LONG)) for _ in range(2)]
    waiting = engine.submit(job())
    refs = refs_of(waiting)
    for generation in (*active, waiting):
        generation.cancel()
    return refs


async def expire(engine: Engine) -> Refs:
    generation = engine.submit(job(length=LONG))
    refs = refs_of(generation)
    generation.expire_after(0.02)
    with pytest.raises(DeadlineError):
        await read(generation)
    return refs


async def refuse(engine: Engine) -> Refs:
    """Submit more jobs than the engine accepts."""
    refs: Refs = []
    submit = Scheduler.submit

    def watch(scheduler: Scheduler, sequence: Sequence) -> None:
        refs.append(weakref.ref(sequence))
        submit(scheduler, sequence)

    with patch.object(Scheduler, "submit", watch):
        accepted = [engine.submit(job(length=LONG)) for _ in range(4)]
        with pytest.raises(QueueFullError):
            engine.submit(job())
    for generation in accepted:
        generation.cancel()
    return refs


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
def test_an_ended_generation_is_freed(
    tiny: Checkpoint, end: Callable[[Engine], Awaitable[Refs]]
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=2, queue=2) as engine:
            refs = await end(engine)
            assert refs
            await until(lambda: engine.idle)
            await until(lambda: all_freed(refs))

    asyncio.run(scenario())


def test_generations_of_a_failed_engine_are_freed(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    # Pytest keeps the log records, whose traceback would keep the frames of the engine thread.
    monkeypatch.setattr(worker.logger, "disabled", True)

    async def fail_all(engine: Engine) -> Refs:
        active, waiting = (engine.submit(job(length=LONG)) for _ in range(2))
        refs = [*refs_of(active), *refs_of(waiting)]
        await take(active)
        monkeypatch.setattr(engine._decoder, "advance", fail)
        for generation in (active, waiting):
            with pytest.raises(EngineError, match="out of memory"):
                await read(generation)
        return refs

    async def scenario() -> None:
        async with running(tiny, slots=1) as engine:
            refs = await fail_all(engine)
            await until(lambda: all_freed(refs))

    asyncio.run(scenario())


def test_a_stopped_engine_is_freed_with_its_decoder_and_its_cache(tiny: Checkpoint) -> None:
    async def run_and_stop() -> Refs:
        async with running(tiny) as engine:
            await finish(engine)
            unfinished = engine.submit(job(length=LONG))
            await take(unfinished)
            parts = (engine, engine._scheduler, engine._decoder, engine._cache, engine._metrics)
            refs = [*map(weakref.ref, parts), *refs_of(unfinished)]
        with pytest.raises(DrainingError):
            await read(unfinished)
        return refs

    async def scenario() -> None:
        refs = await run_and_stop()
        await until(lambda: all_freed(refs))

    asyncio.run(scenario())


def all_freed(refs: Refs) -> bool:
    return all(ref() is None for ref in refs)
