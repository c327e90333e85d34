"""The engine under any mix of what its users may do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine import output_buffer
from app.engine.engine import Engine
from app.engine.generation import Generation
from app.engine.job import Job
from model.backend import StepOutput
from model.checkpoint import Checkpoint
from model.decoder import Decoder
from tests.app.engine.test_engine import LONG, alone, job, read, running, take, until

Deed = Job | tuple[str, int]

ids = st.integers(1, 40)
jobs = st.builds(
    job,
    length=st.integers(1, 90),
    prime=st.lists(ids, min_size=1, max_size=30).map(tuple),
    stops=st.lists(st.tuples(ids), max_size=1).map(tuple),
)
others = st.tuples(st.sampled_from(["take", "cancel", "wait"]), st.integers(0, 1000))


@dataclass
class Asked:
    """A generation, what was taken of it, and whether it was cancelled."""

    generation: Generation
    text: list[int] = field(default_factory=list)
    cancelled: bool = False


async def do(engine: Engine, deeds: Sequence[Deed]) -> list[Asked]:
    """Do the deeds; return all generations that they asked for."""
    asked: list[Asked] = []
    for deed in deeds:
        if isinstance(deed, Job):
            wanted = replace(deed, seed=len(asked))
            asked.append(Asked(engine.submit(wanted)))
            continue
        name, number = deed
        if name == "wait" or not asked:
            await asyncio.sleep(number / 1e6)
            continue
        one = asked[number % len(asked)]
        if name == "cancel":
            one.generation.cancel()
            one.cancelled = True
        elif not one.cancelled:
            one.text += await take(one.generation)
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
            for one in asked:
                whole = expected(tiny, one.generation.job)
                if one.cancelled:
                    assert one.text == whole[: len(one.text)]
                else:
                    assert one.text + await read(one.generation) == whole
                    assert one.generation.generated == len(whole)
            await until(lambda: engine.idle)

    with patch.object(output_buffer, "LIMIT", 20), patch.object(output_buffer, "RESUME_BELOW", 10):
        asyncio.run(scenario())


def test_32_texts_dropped_at_once_free_their_slots_within_two_steps(tiny: Checkpoint) -> None:
    """A step that has begun is ended; the next one finds all slots free."""

    async def scenario() -> None:
        async with running(tiny, slots=32) as engine:
            texts = [engine.submit(job(length=LONG, seed=seed)) for seed in range(32)]
            await asyncio.gather(*(take(text) for text in texts))
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
