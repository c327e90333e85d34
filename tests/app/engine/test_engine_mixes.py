"""The engine under any mix of submissions, reads and cancellations."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine import slow_reader
from app.engine.engine import Engine
from app.engine.generation import Generation
from app.engine.job import Job
from model.checkpoints.checkpoint import Checkpoint
from model.decoding.backend import StepOutput
from model.decoding.decoder import Decoder
from tests.app.engine.tiny_engine import LONG, alone, job, read, running, take, until

Action = Job | tuple[str, int]

ids = st.integers(1, 40)
jobs = st.builds(
    job,
    length=st.integers(1, 90),
    prime=st.lists(ids, min_size=1, max_size=30).map(tuple),
    stops=st.lists(st.tuples(ids), max_size=1).map(tuple),
    memory=st.booleans(),
)
other_actions = st.tuples(st.sampled_from(["take", "cancel", "wait"]), st.integers(0, 1000))


@dataclass
class Submitted:
    """A generation, the characters taken so far, and whether it was cancelled."""

    generation: Generation
    text: list[int] = field(default_factory=list)
    cancelled: bool = False


async def perform(engine: Engine, actions: Sequence[Action]) -> list[Submitted]:
    """Perform the actions; return all generations that they submitted."""
    submitted: list[Submitted] = []
    for action in actions:
        if isinstance(action, Job):
            submitted.append(Submitted(engine.submit(replace(action, seed=len(submitted)))))
            continue
        name, number = action
        if name == "wait" or not submitted:
            await asyncio.sleep(number / 1e6)
            continue
        one = submitted[number % len(submitted)]
        if name == "cancel":
            one.generation.cancel()
            one.cancelled = True
        elif not one.cancelled:
            one.text += await take(one.generation)
    return submitted


def expected(tiny: Checkpoint, job: Job) -> list[int]:
    whole = alone(tiny, job)
    cuts = [whole.index(stop) for (stop,) in job.stops if stop in whole]
    return whole[: min(cuts, default=len(whole))]


@settings(max_examples=15, deadline=None)
@given(actions=st.lists(st.one_of(jobs, other_actions), max_size=40))
def test_any_mix_of_actions_gives_exact_texts_and_frees_all_slots(
    tiny: Checkpoint, actions: list[Action]
) -> None:
    async def scenario() -> None:
        async with running(tiny, slots=3) as engine:
            submitted = await perform(engine, actions)
            for one in submitted:
                whole = expected(tiny, one.generation.job)
                if one.cancelled:
                    assert one.text == whole[: len(one.text)]
                else:
                    assert one.text + await read(one.generation) == whole
                    assert one.generation.generated == len(whole)
                    complete = len(whole) == one.generation.job.length
                    assert one.generation.finish_reason == ("length" if complete else "stop")
            await until(lambda: engine.scheduler.idle)

    with patch.object(slow_reader, "LIMIT", 20), patch.object(slow_reader, "RESUME_BELOW", 10):
        asyncio.run(scenario())


async def test_32_generations_cancelled_at_once_free_their_slots_within_two_steps(
    tiny: Checkpoint,
) -> None:
    """A step that has begun is completed. Before the next one, all slots are free."""
    async with running(tiny, slots=32) as engine:
        generations = [engine.submit(job(length=LONG, seed=seed)) for seed in range(32)]
        await asyncio.gather(*(take(each) for each in generations))
        begun = 0
        advance = Decoder.advance

        def counting(decoder: Decoder, steps: int, first: int = 0) -> StepOutput:
            nonlocal begun
            begun += 1
            return advance(decoder, steps, first)

        with patch.object(Decoder, "advance", counting):
            for generation in generations:
                generation.cancel()
            cancelled_at = begun
            await until(lambda: engine.scheduler.running == 0)
            assert begun - cancelled_at <= 2
        assert len(await read(engine.submit(job(length=10)))) == 10
