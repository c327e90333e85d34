"""Rate of the engine without HTTP: its thread generates, and an event loop reads the results."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from app.engine.engine import Engine
from app.engine.job import Job
from app.engine.slots import Resources
from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import Precision
from model.decoding.decoder import Decoder


def engine_rate(
    checkpoint: Checkpoint,
    precision: Precision,
    streams: int,
    characters: int,
    threads: int,
    device: str = "cpu",
) -> float:
    """Return the characters per second of all streams together, as their readers receive them."""
    decoder = Decoder(checkpoint, streams, device, precision, threads)
    return asyncio.run(_engine_rate(checkpoint, decoder, characters))


async def _engine_rate(checkpoint: Checkpoint, decoder: Decoder, characters: int) -> float:
    streams = decoder.slots
    engine = Engine(decoder, Resources(streams, 0, 0))
    engine.start()
    prime = np.array([checkpoint.vocabulary.start_id], dtype=np.int32)
    jobs = [Job(prime, characters, SamplingParams(), seed, client=seed) for seed in range(streams)]
    began = time.perf_counter()
    await asyncio.gather(*(engine.submit(job).read() for job in jobs))
    seconds = time.perf_counter() - began
    engine.stop()
    return streams * characters / seconds
