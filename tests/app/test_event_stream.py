from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app import event_stream as event_stream_module
from app.engine import Generation
from app.event_stream import EventFrames, event_stream
from app.schemas import Done, DrawnScore, ModelName, Timings, Usage
from model.checkpoint import Checkpoint
from tests.app.test_engine import job, read, running, until
from tests.events import Event, parse_events


def describe(generation: Generation) -> Done:
    return Done(
        finish_reason=generation.finish_reason or "length",
        seed=generation.job.seed,
        usage=Usage(
            prime_characters=3, cached_characters=0, generated_characters=generation.generated
        ),
        timings=Timings(queue_ms=0, first_character_ms=0, total_ms=0, characters_per_second=0),
        model=ModelName(name="tiny", hash=""),
    )


def unscored(generation: Generation, ids: Sequence[int]) -> list[DrawnScore]:
    return []


async def events_of(generation: Generation, tiny: Checkpoint) -> list[Event]:
    frames = event_stream(generation, EventFrames(tiny.vocabulary), [], 0, 0, describe, unscored)
    content = b"".join([frame async for frame in frames]).decode("ascii")
    return list(parse_events(content.split("\n")))


def test_a_text_that_was_done_before_anyone_looked_is_sent_whole(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny) as engine:
            expected = await read(engine.submit(job(length=30)))
            generation = engine.submit(job(length=30))
            await until(lambda: generation.finished is not None)
            events = await events_of(generation, tiny)
            assert [event.name for event in events] == ["message"] * 30 + ["done"]
            spelt = [event.data["token"] for event in events[:-1]]
            assert spelt == [tiny.vocabulary.characters[i] for i in expected]

    asyncio.run(scenario())


def test_a_silent_stream_says_that_it_is_alive(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream_module, "PING_SECONDS", 0.02)

    async def scenario() -> None:
        async with running(tiny, slots=1) as engine:
            blocking = engine.submit(job(length=1_000_000))
            waiting = engine.submit(job(length=5))
            frames = event_stream(
                waiting, EventFrames(tiny.vocabulary), [], 0, 0, describe, unscored
            )
            assert await anext(frames) == b": ping\n\n"
            blocking.cancel()
            rest = b"".join([frame async for frame in frames])
            assert rest.count(b'"token"') == 5

    asyncio.run(scenario())


def test_what_is_made_again_is_not_sent_again_and_the_client_hears_of_it(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream_module, "PING_SECONDS", 0.0)

    async def scenario() -> None:
        async with running(tiny) as engine:
            expected = await read(engine.submit(job(length=300)))
            again = engine.submit(job(length=300))
            frames = EventFrames(tiny.vocabulary)
            stream = event_stream(again, frames, [], 290, 290, describe, unscored)
            parts = [part async for part in stream]
            assert b": ping\n\n" in parts
            content = b"".join(parts).decode("ascii")
            events = list(parse_events(content.split("\n")))
            spelt = [event.data["token"] for event in events[:-1]]
            assert spelt == [tiny.vocabulary.characters[i] for i in expected[290:]]
            assert events[0].id is not None
            assert events[0].id.endswith("-291")

    asyncio.run(scenario())
