"""The decoder alone: what torch gives without an engine or a network in between."""

from __future__ import annotations

import time

import numpy as np

from model.checkpoint import Checkpoint
from model.decoder import Decoder, DecoderStream
from model.linear import Precision
from model.sampling import SamplingParams

_STEPS = 8  # per call, as in the engine


def decoder_rate(
    checkpoint: Checkpoint, precision: Precision, streams: int, seconds: float
) -> float:
    """Characters per second, all streams together."""
    decoder = Decoder(checkpoint, streams, precision=precision)
    prime = np.array([checkpoint.vocabulary.start_id], dtype=np.int32)
    for seed in range(streams):
        decoder.join(DecoderStream(prime, 1_000_000, SamplingParams(), seed))
    decoder.advance(_STEPS)
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        decoder.advance(_STEPS)
        steps += _STEPS
    return steps * streams / (time.perf_counter() - began)
