"""The engine under any mix of what its users may do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from app import engine as engine_module
from app.engine import Engine, Generation, Job
from model.backend import StepOutput
from model.checkpoint import Checkpoint
from model.decoder import Decoder
from tests.app.test_engine import LONG, alone, job, read, running, until

Deed = Job | tuple[str, int]

ids = st.integers(1, 40)
jobs = st.builds(
    job,
    length=st.integers(1, 90),
    prime=st.lists(ids, min_size=1, max_size=30).map(tuple),
    stops=st.lists(st.tuples(ids), max_size=1).map(tuple),
)
others = st.tuples(st.sampled_from(["take", "cancel", "wait"]), st.integers(0, 1000))


async def do(engine: Engine, deeds: Sequence[Deed]) -> list[tuple[Generation, list[int]]]:
    """All generations asked for, and what was taken of each."""
    asked: list[tuple[Generation, list[int]]] = []
    for deed in deeds:
        if isinstance(deed, Job):
            wanted = replace(deed, seed=len(asked))
            asked.append((engine.submit(wanted), []))
            continue
        name, number = deed
        if name == "wait" or not asked:
            await asyncio.sleep(number / 1e6)
            continue
        generation, text = asked[number % len(asked)]
        if name == "cancel":
            generation.cancel()
        elif not generation.cancelled:
            text += await generation.take()
    return asked


def expected(tiny: Checkpoint, wanted: Job) -> list[int]:
    whole = alone(tiny, wanted)
    cuts = [whole.index(stop) for (stop,) in wanted.stops if stop in whole]
    return whole[: min(cuts, default=len(whole))]


@settings(max_examples=30, deadline=None)
@given(deeds=st.lists(st.one_of(jobs, others), max_size=40))
def test_whatever_is_asked_taken_and_cancelled_texts_are_right_and_slots_come_free(
    tiny: Checkpoint, deeds: list[Deed]
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=3) as engine:
            asked = await do(engine, deeds)
            for generation, text in asked:
                whole = expected(tiny, generation.job)
                if generation.cancelled:
                    assert text == whole[: len(text)]
                else:
                    assert text + await read(generation) == whole
                    assert generation.generated == len(whole)
            await until(lambda: engine.idle)

    with patch.object(engine_module, "_MAILBOX", 20):
        asyncio.run(scenario())


def test_32_texts_dropped_at_once_free_their_slots_within_two_steps(tiny: Checkpoint) -> None:
    """A step that has begun is ended; the next one finds all slots free."""

    async def scenario() -> None:
        async with running(tiny, slots=32) as engine:
            texts = [engine.submit(job(length=LONG, seed=seed)) for seed in range(32)]
            await asyncio.gather(*(text.take() for text in texts))
            begun = 0
            advance = Decoder.advance

            def counting(decoder: Decoder, steps: int, first: int = 0) -> StepOutput:
                nonlocal begun
                begun += 1
                return advance(decoder, steps, first)

            with patch.object(Decoder, "advance", counting):
                for text in texts:
                    text.cancel()
                cancelled_at = begun
                await until(lambda: engine.active == 0)
                assert begun - cancelled_at <= 2
            assert len(await read(engine.submit(job(length=10)))) == 10

    asyncio.run(scenario())
