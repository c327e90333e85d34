"""Jobs for an engine with the tiny checkpoint, and how a test reads their generations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.engine.engine import Engine
from app.engine.generation import Generation
from app.engine.job import Job
from app.engine.slots import Resources
from app.service import Service
from app.settings import Settings
from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder

PARAMS = SamplingParams(top_k=None)
LONG = 1_000_000  # characters that no test waits for


def job(
    length: int = 50,
    seed: int = 1,
    prime: tuple[int, ...] = (1, 2, 3),
    memory: bool = False,
    **other: object,
) -> Job:
    """A job with all of the vocabulary as candidates."""
    params = replace(PARAMS, memory=memory)
    return Job(np.array(prime, dtype=np.int32), length, params, seed, **other)  # type: ignore[arg-type]


@asynccontextmanager
async def running(
    tiny: Checkpoint, slots: int = 4, queue: int = 100, cache: int = 1 << 20
) -> AsyncIterator[Engine]:
    """An engine that runs until the end of the block."""
    engine = Engine(Decoder(tiny, slots), Resources(slots, queue, cache))
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def service_of(engine: Engine, checkpoint: Checkpoint) -> Service:
    """A service with an engine."""
    return Service(Settings(), checkpoint, Decoder(checkpoint, 1), engine, Path("tiny"))


async def read(generation: Generation) -> list[int]:
    """Read a generation to its end; return its ids."""
    return (await generation.read()).ids.tolist()


async def take(generation: Generation) -> list[int]:
    """Wait for characters and take them."""
    await generation.wait()
    return generation.take().ids.tolist()


def steps_left(generation: Generation) -> int:
    """Number of steps that a generation in a slot or in the queue still needs."""
    assert generation.sequence is not None
    return generation.sequence.stream.steps_left


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until a condition is true. Raise TimeoutError if it does not become true in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


def alone(tiny: Checkpoint, job: Job) -> list[int]:
    """The ids that the decoder generates for a job with no other sequence in its batch."""
    ids = Decoder(tiny, 1).generate(job.prime, job.length, job.params, job.seed)
    return [int(i) for i in ids]
