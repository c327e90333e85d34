"""Rate of the decoder alone: the speed of a kernel, without the engine and without HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import Precision
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.native.backend import NativeBackend

_STEPS = 16  # per call


def decoder_rate(
    checkpoint: Checkpoint,
    precision: Precision,
    kernel: str,
    threads: int,
    streams: int,
    seconds: float,
    device: str = "cpu",
) -> float:
    """Return the characters per second of all streams together."""
    decoder = Decoder(checkpoint, streams, device, precision, threads, kernel)
    prime = np.array([checkpoint.vocabulary.start_id], dtype=np.int32)
    for seed in range(streams):
        decoder.join(DecoderStream(prime, 100_000_000, SamplingParams(), seed))
    return streams * _steps_per_second(lambda: decoder.advance(_STEPS), seconds)


def limit_rate(
    checkpoint: Checkpoint, kernel: str, threads: int, streams: int, seconds: float
) -> float:
    """Return the characters per second if the native kernel computes only its matrix products.

    This is an upper limit for `decoder_rate`.
    """
    backend = NativeBackend(checkpoint.config, checkpoint.weights, streams, kernel, threads)
    return streams * _steps_per_second(lambda: backend.multiply(streams, _STEPS), seconds)


def _steps_per_second(step: Callable[[], object], seconds: float) -> float:
    step()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step()
        steps += _STEPS
    return steps / (time.perf_counter() - began)
