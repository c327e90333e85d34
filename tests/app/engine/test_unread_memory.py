"""The limit on the memory of unread characters: who is ended, and that nothing is kept alive."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine import unread_memory
from app.engine.engine import Engine
from app.engine.generation import Generation
from app.engine.unread_memory import UnreadMemory
from app.errors import SlowReaderError
from model.checkpoint import Checkpoint
from tests.app.engine.tiny_engine import LONG, job, read, running, take, until

OBJECT = unread_memory._OBJECT_BYTES


class Reader:
    given_up = False

    def give_up(self) -> None:
        self.given_up = True


steps = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3 * OBJECT) | st.none()), max_size=20)


@given(steps, st.integers(1, 9))
def test_those_that_are_unread_for_longest_are_ended_until_the_rest_fits(
    steps: list[tuple[int, int | None]], limit: int
) -> None:
    """Each step sets the size of a reader. None takes everything from it."""
    readers, sizes = [Reader() for _ in range(5)], dict[int, int]()  # in the order of their first

    async def scenario() -> None:
        memory = UnreadMemory(limit * OBJECT)
        keys = [memory.key(reader) for reader in readers]
        for number, size in steps:
            if size is None:
                memory.remove(keys[number])
                sizes.pop(number, None)
            else:
                memory.set(keys[number], size)
                sizes[number] = size + OBJECT
        memory._keep_limit()
        ended = []
        while sum(sizes.values()) > limit * OBJECT and len(sizes) > 1:
            ended.append(next(iter(sizes)))
            del sizes[ended[-1]]
        assert [n for n in range(5) if readers[n].given_up] == sorted(ended)
        assert memory._total == sum(sizes.values())

    with patch.object(unread_memory, "PATIENCE_SECONDS", 0):
        asyncio.run(scenario())


def test_a_reader_that_keeps_up_is_never_ended() -> None:
    async def scenario() -> None:
        memory, slow, quick = UnreadMemory(OBJECT), Reader(), Reader()
        keys = memory.key(slow), memory.key(quick)
        for key in keys:
            memory.set(key, OBJECT)
        for _ in range(100):
            memory.remove(keys[1])
            memory.set(keys[1], OBJECT)
            await asyncio.sleep(0.01)
            assert not quick.given_up
        assert slow.given_up

    asyncio.run(scenario())


def test_a_reader_that_is_gone_needs_no_memory() -> None:
    async def scenario() -> None:
        memory, reader = UnreadMemory(OBJECT), Reader()
        memory.set(memory.key(reader), OBJECT)
        assert memory._total == 2 * OBJECT
        del reader
        assert memory._total == 0
        memory._keep_limit()

    asyncio.run(scenario())


async def unread(engine: Engine, seed: int) -> Generation:
    """Submit a job and do not read it."""
    generation = engine.submit(job(length=LONG, seed=seed))
    await until(lambda: generation.paused)
    return generation


def test_a_reader_that_reads_nothing_loses_its_text_and_others_do_not(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=2) as engine:
            memory = engine._unread_memory
            slow = [await unread(engine, seed) for seed in range(3)]
            await take(slow[0])  # now the next one is unread for longest
            await until(lambda: slow[0].paused)
            memory._limit = memory._total + 2 * OBJECT  # not enough for another one
            slow.append(await unread(engine, seed=3))
            assert len(await read(engine.submit(job(length=500)))) == 500
            await until(lambda: slow[1].unread == 0)
            with pytest.raises(SlowReaderError, match="did not read"):
                await read(slow[1])
            assert slow[1].unread == 0
            assert slow[1].finish_reason is None
            for generation in (slow[0], slow[2], slow[3]):
                assert await take(generation)
                generation.cancel()
            assert memory._total == 0

    asyncio.run(scenario())


def test_a_text_that_is_complete_and_unread_counts_too(tiny: Checkpoint) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=2) as engine:
            engine._unread_memory._limit = 3 * OBJECT
            complete = engine.submit(job(length=3000))
            await until(lambda: complete.finished)
            assert complete.finish_reason == "length"
            slow = await unread(engine, seed=2)
            await until(lambda: complete.unread == 0)
            slow.cancel()
            with pytest.raises(SlowReaderError):
                await read(complete)
            assert complete.finish_reason is None

    asyncio.run(scenario())
