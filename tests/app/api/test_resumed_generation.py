"""A resumed stream has exactly the characters that the client lacks, however often it waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.resume import Position
from app.api.sse import GenerateFrames
from app.engine import slow_reader
from app.errors import EngineError, InvalidFieldError
from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import MAX_SEED
from tests.app.api.test_sse import source
from tests.app.engine.tiny_engine import LONG, job, running
from tests.events import Event, parse_events

# An integer cancels a wait after as many passes of the event loop.
actions = st.lists(st.one_of(st.integers(0, 6), st.sampled_from(["take", "sleep"])), max_size=30)


async def wait_and_cancel(frames: GenerateFrames, passes: int) -> None:
    waiting = asyncio.ensure_future(frames.wait())
    for _ in range(passes):
        await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting


async def receive(frames: GenerateFrames, actions: Sequence[int | str] = ()) -> bytes:
    """Perform the actions, then read to the end; return everything received."""
    received = b""
    for action in actions:
        if isinstance(action, int):
            await wait_and_cancel(frames, action)
        elif action == "sleep":
            await asyncio.sleep(0.002)
        else:
            await frames.wait()
            received += frames.take() or b""
    while True:
        await frames.wait()
        if (part := frames.take()) is None:
            return received
        received += part


def characters_of(received: bytes) -> list[Event]:
    events = list(parse_events(received.decode("ascii").split("\n")))
    return [event for event in events if event.name == "message"]


@settings(max_examples=20, deadline=None)
@given(
    length=st.integers(1, 150),
    skip=st.integers(0, 160),
    alternatives=st.sampled_from([None, 0, 2]),
    stops=st.lists(st.tuples(st.integers(1, 40)), max_size=1).map(tuple),
    actions=actions,
)
def test_cancelled_waits_lose_no_character(
    tiny: Checkpoint,
    length: int,
    skip: int,
    alternatives: int | None,
    stops: tuple[tuple[int, ...], ...],
    actions: list[int | str],
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=2) as engine:
            same = job(length, alternatives=alternatives, stops=stops)
            whole = characters_of(
                await receive(source(engine, tiny, engine.submit(same), 0), ["take"])
            )
            resumed = source(engine, tiny, engine.submit(same), skip)
            assert characters_of(await receive(resumed, actions)) == whole[skip:]

    with patch.object(slow_reader, "LIMIT", 20), patch.object(slow_reader, "RESUME_BELOW", 10):
        asyncio.run(scenario())


async def test_an_error_while_characters_are_skipped_is_raised(tiny: Checkpoint) -> None:
    async with running(tiny) as engine:
        generation = engine.submit(job(length=LONG))
        frames = source(engine, tiny, generation, LONG - 1)
        await wait_and_cancel(frames, 3)
        engine.drain(0)
        with pytest.raises(EngineError, match="shutting down"):
            await frames.wait()


@given(st.integers(0, MAX_SEED), st.integers(1, 10**18 - 1))
def test_an_event_id_is_parsed_to_its_position(seed: int, characters: int) -> None:
    position = Position.parse(f"{seed:x}-{characters}")
    assert position == Position(seed, characters)
    assert Position.parse(f"{seed:x}-{characters}", seed) == position
    with pytest.raises(InvalidFieldError, match=f"whose seed is {seed}"):
        Position.parse(f"{seed:x}-{characters}", seed ^ 1)


@given(st.text(st.sampled_from("0123456789abcdefAF-+ _x٣\n"), max_size=24))
def test_a_text_that_is_not_an_event_id_is_refused(text: str) -> None:
    result = parsed(text)
    if isinstance(result, InvalidFieldError):
        assert result.field.field == "Last-Event-ID"
    else:
        assert text == (f"{result.seed:x}-{result.characters}" if result else "")


def parsed(text: str) -> Position | InvalidFieldError | None:
    try:
        return Position.parse(text)
    except InvalidFieldError as error:
        return error
