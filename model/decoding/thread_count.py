"""Thread count: choose the number of a kernel's threads by a short measurement.

More threads read less of the weights each, but wait for each other after every layer. Which effect
is larger depends on the processor and on the network, so a machine with more than two cores is
measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from model.decoding.backend import StepInput, StepOutput

_NEAR = 1.03  # a count that takes at most this many times the least is as good
_ROUNDS = 3
_MAX_SECONDS = 0.06  # no further measurement begins after this time, and nothing is decided
_MAX_STREAMS = 32  # a batch whose weights are read once for many streams
_STEPS = {1: 16, _MAX_STREAMS: 4}  # steps to time, by the number of streams


class Resizable(Protocol):
    """A backend whose number of threads can change between steps."""

    def use_threads(self, threads: int) -> None:
        """Compute the coming steps with another number of threads."""

    def step(self, inputs: StepInput) -> StepOutput:
        """Advance the streams of `inputs`."""


def candidates(most: int) -> list[int]:
    """Return the counts to compare, at most `most`: 2, 3, 4, 6, 8, 12, 16, 24 and so on.

    One thread is no candidate if two are possible. Two were faster in every measurement, because
    each keeps half of the weights in its core's cache, even with a CPU limit of one core or less.
    """
    powers = [1 << bits for bits in range(1, most.bit_length())]
    counts = {most, *powers, *(power * 3 // 2 for power in powers)}
    return sorted(count for count in counts if count <= most)


def fastest(seconds: Mapping[int, float]) -> int:
    """Return the largest count whose time is within 3% of the least.

    Other processes disturb a measurement with many threads more than one with few.
    """
    least = min(seconds.values())
    return max(count for count, time in seconds.items() if time <= least * _NEAR)


def measure(counts: list[int], time_count: Callable[[int], float]) -> dict[int, float] | None:
    """Return each count's least time, or None if the measurement would take too long.

    `time_count` returns the time of a count. The rounds are interleaved, so that a short
    disturbance does not decide.
    """
    began = time.perf_counter()
    least = dict.fromkeys(counts, math.inf)
    for _ in range(_ROUNDS):
        for count in counts:
            if time.perf_counter() - began > _MAX_SECONDS:
                return None
            least[count] = min(least[count], time_count(count))
    return least


def choose_threads(backend: Resizable, slots: int, most: int) -> None:
    """Set the number of threads of a backend to the fastest up to `most`.

    This takes a few hundredths of a second, and no time if `most` is 1 or 2. A network that is too
    large to be measured in this time uses `most` threads: its products take far longer than its
    threads wait. So does any network while other processes slow the measurement down. The states
    of the first of the backend's `slots` slots change.
    """
    counts = candidates(most)
    seconds = measure(counts, lambda count: _time(backend, slots, count)) if counts[1:] else None
    backend.use_threads(fastest(seconds) if seconds else most)


def _time(backend: Resizable, slots: int, threads: int) -> float:
    backend.use_threads(threads)
    backend.step(_inputs(1, 1))  # the first step starts the threads
    times = []
    for streams, steps in _STEPS.items():
        inputs = _inputs(min(streams, slots), steps)
        began = time.perf_counter()
        backend.step(inputs)
        times.append((time.perf_counter() - began) / steps)
    return math.sqrt(math.prod(times))  # the geometric mean


def _inputs(streams: int, steps: int) -> StepInput:
    return StepInput(
        first=0,
        last_ids_S=np.zeros(streams, np.int64),
        forced_ids_kS=np.full((steps, streams), -1, np.int64),
        uniforms_kS=np.full((steps, streams), 0.5, np.float32),
        prompt_steps_S=np.zeros(streams, np.int64),
        alternatives=[None] * streams,
    )
