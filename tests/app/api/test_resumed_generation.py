"""ResumedGeneration: exactly the characters that the client lacks, however often it waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.resume import Position, ResumedGeneration
from app.engine import slow_reader
from app.engine.chunk import Chunk
from app.engine.engine import Engine
from app.engine.job import Job
from app.errors import EngineError, InvalidFieldError
from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import MAX_SEED
from tests.app.engine.test_chunk import characters
from tests.app.engine.tiny_engine import LONG, job, running, take

# An integer cancels a wait after as many passes of the event loop.
actions = st.lists(st.one_of(st.integers(0, 6), st.sampled_from(["take", "sleep"])), max_size=30)


async def wait_and_cancel(rest: ResumedGeneration, passes: int) -> None:
    waiting = asyncio.ensure_future(rest.wait())
    for _ in range(passes):
        await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting


async def receive(rest: ResumedGeneration, actions: Sequence[int | str]) -> Chunk:
    """Perform the actions, then read to the end; return all characters received."""
    received = Chunk()
    for action in actions:
        if isinstance(action, int):
            await wait_and_cancel(rest, action)
        elif action == "sleep":
            await asyncio.sleep(0.002)
        else:
            await rest.wait()
            received += rest.take()
    await rest.wait()
    while chunk := rest.take():
        received += chunk
        await rest.wait()
    return received


async def check(engine: Engine, same: Job, skip: int, actions: Sequence[int | str]) -> None:
    whole = await engine.submit(same).read()
    generation = engine.submit(same)
    rest = ResumedGeneration(generation, skip)
    received = await receive(rest, actions)
    assert characters(received) == characters(whole.split(skip)[1])
    assert received.scores is None or same.alternatives is not None
    assert rest.sent == skip
    assert rest.ended
    assert generation.generated == len(whole)


@settings(max_examples=60, deadline=None)
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
            await check(engine, same, skip, actions)

    with patch.object(slow_reader, "LIMIT", 20), patch.object(slow_reader, "RESUME_BELOW", 10):
        asyncio.run(scenario())


def test_an_error_while_characters_are_skipped_is_raised(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny) as engine:
            generation = engine.submit(job(length=LONG))
            rest = ResumedGeneration(generation, LONG - 1)
            await wait_and_cancel(rest, 3)
            engine.drain(0)
            with pytest.raises(EngineError, match="shutting down"):
                await rest.wait()

    asyncio.run(scenario())


def test_waiting_skips_and_does_not_take(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny) as engine:
            whole = await engine.submit(job(length=60)).read()
            rest = ResumedGeneration(engine.submit(job(length=60)), 10)
            for _ in range(3):
                await rest.wait()
                assert rest.sent == 10
                assert not rest.ended
            first = rest.take()
            assert first.ids == whole.ids[10 : 10 + len(first)]
            assert first

    asyncio.run(scenario())


def test_a_new_stream_skips_nothing(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny) as engine:
            expected = await take(engine.submit(job(length=1)))
            rest = ResumedGeneration(engine.submit(job(length=1)))
            await rest.wait()
            assert rest.take().ids.tolist() == expected
            assert rest.ended

    asyncio.run(scenario())


@given(st.integers(0, MAX_SEED), st.integers(1, 10**18 - 1))
def test_an_event_id_is_parsed_to_its_position(seed: int, characters: int) -> None:
    position = Position.parse(f"{seed:x}-{characters}")
    assert position == Position(seed, characters)
    position.check_seed(seed)
    position.check_seed(None)
    with pytest.raises(InvalidFieldError, match=f"whose seed is {seed}"):
        position.check_seed(seed ^ 1)


@given(st.text(st.sampled_from("0123456789abcdefAF-+ _x٣\n"), max_size=24))
def test_a_text_that_is_not_an_event_id_is_refused(text: str) -> None:
    result = parsed(text)
    if isinstance(result, InvalidFieldError):
        assert result.error.field == "Last-Event-ID"
    else:
        assert text == (f"{result.seed:x}-{result.characters}" if result else "")


def parsed(text: str) -> Position | InvalidFieldError | None:
    try:
        return Position.parse(text)
    except InvalidFieldError as error:
        return error
