"""Server-sent events of /generate: characters, pings, and streams that are resumed."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from app.api import sse
from app.engine.engine import Engine
from app.engine.generation import Generation
from model.checkpoints.checkpoint import Checkpoint
from tests.app.engine.tiny_engine import job, read, running, service_of, until
from tests.events import Event, parse_events


def source(
    engine: Engine, tiny: Checkpoint, generation: Generation, sent: int = 0
) -> sse.GenerateFrames:
    return sse.GenerateFrames(service_of(engine, tiny), generation, sent)


async def send(frames: sse.GenerateFrames, parts: list[bytes]) -> None:
    """Send a whole stream, and add its parts to a list."""
    response = sse.EventStreamResponse(frames, [], "hash")
    connected = asyncio.Event()

    async def receive() -> Message:
        await connected.wait()
        return {"type": "http.disconnect"}

    async def accept(message: Message) -> None:
        parts.append(message.get("body", b""))

    await response({"type": "http"}, receive, accept)


async def events_of(frames: sse.GenerateFrames) -> list[Event]:
    parts: list[bytes] = []
    await send(frames, parts)
    return list(parse_events(b"".join(parts).decode("ascii").split("\n")))


async def test_a_generation_that_ended_before_the_first_read_is_sent_whole(
    tiny: Checkpoint,
) -> None:
    async with running(tiny) as engine:
        expected = await read(engine.submit(job(length=30)))
        generation = engine.submit(job(length=30))
        await until(lambda: generation.finished is not None)
        events = await events_of(source(engine, tiny, generation))
        assert [event.name for event in events] == ["message"] * 30 + ["done"]
        text = [event.data["token"] for event in events[:-1]]
        assert text == [tiny.vocabulary.characters[i] for i in expected]


async def test_an_idle_stream_sends_pings(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PING_SECONDS", 0.02)
    async with running(tiny, slots=1) as engine:
        blocking = engine.submit(job(length=1_000_000))
        waiting = engine.submit(job(length=5))
        parts: list[bytes] = []
        sending = asyncio.create_task(send(source(engine, tiny, waiting), parts))
        await until(lambda: b": ping\n\n" in parts)
        blocking.cancel()
        await sending
        assert b"".join(parts).count(b'"token"') == 5


async def test_a_resumed_stream_pings_while_it_skips_characters_already_sent(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PING_SECONDS", 0.0)
    async with running(tiny) as engine:
        expected = await read(engine.submit(job(length=300)))
        again = engine.submit(job(length=300))
        parts: list[bytes] = []
        await send(source(engine, tiny, again, sent=290), parts)
        assert b": ping\n\n" in parts
        content = b"".join(parts).decode("ascii")
        events = list(parse_events(content.split("\n")))
        text = [event.data["token"] for event in events[:-1]]
        assert text == [tiny.vocabulary.characters[i] for i in expected[290:]]
        assert events[0].id is not None
        assert events[0].id.endswith("-291")
