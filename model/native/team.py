"""Team: the threads of the native kernel, and how many of them take the next steps.

The threads of a team wait for each other several times per step. While other processes use the
cores, a thread often waits until the scheduler lets the others run again, and a team is many times
slower than one thread. The kernel notices this and goes on with half of its threads
(`Patience` in `model/native/barrier.h`). `TeamSize` decides when all threads try again.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
import time
from collections.abc import Callable
from ctypes import byref
from typing import cast

from model.native.library import CBatch, CNetwork, kernel_names, kernels, library

# Nanoseconds on the account of a team's patience: long enough that the event loop of a busy server,
# which uses a core for moments, does not end it.
PATIENCE = 200_000_000

_MIN_PAUSE = 0.03  # seconds; the event loop of a server may be the only disturbance
_MAX_TRIAL = 0.1  # seconds after which a trial that ends counts as a new disturbance
_MAX_PAUSE = 1.0  # seconds, the most that an idle machine is left unused


class TeamSize:
    """The number of threads to compute with, from the calls before.

    After a number was too large, fewer threads compute for a pause. Then all threads try again. The
    first pause is 0.03 seconds. If the trial fails within 0.1 seconds, or within the time of the
    pause before it, the next pause is twice as long, up to a second. After a longer trial, pauses
    start at 0.03 seconds again.

    Args:
        most: number of threads of the team, at least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = self._threads = most
        self._pause = 0.0
        self._ends = -math.inf  # when the pause ends

    def choose(self, now: float) -> int:
        """Return the number of threads for a call.

        Args:
            now: the time in seconds, of a clock that never goes back.
        """
        if self._threads < self._most and now >= self._ends:
            self._threads = self._most
        return self._threads

    def record(self, now: float, threads: int) -> None:
        """Note how a call ended.

        Args:
            now: the time when it ended.
            threads: number of threads that took its last step. It is less than `choose` returned if
                they waited too long for each other.
        """
        if threads < self._threads:
            lasted = now - self._ends
            again = lasted <= max(self._pause, _MAX_TRIAL)
            self._pause = min(2 * self._pause, _MAX_PAUSE) if again else _MIN_PAUSE
            self._threads, self._ends = threads, now + self._pause


class Team:
    """A team of threads that computes the steps of a network. The caller's thread is one of them.

    One call computes at a time: a call during another one raises RuntimeError, as does a call after
    `close` or in a forked process.

    Args:
        kernel: one of `kernels()`.
        network: packed weights. Their memory must outlive the team.
        threads: number of threads, at least 1. Fewer compute while others keep the cores busy.

    Raises:
        ValueError: if the kernel does not run on this processor, or `threads` is below 1.
        MemoryError: if the system has no memory or no threads left.

    Attributes:
        limit: how many of them may compute, at least 1. The others sleep.
    """

    def __init__(self, kernel: str, network: CNetwork, threads: int) -> None:
        if kernel not in kernels():  # this call also requests what a kernel needs (AMX tiles)
            raise ValueError(
                f"kernel {kernel!r} does not run on this processor; expected {', '.join(kernels())}"
            )
        self._library, self._pid = cast("ctypes.CDLL", library()), os.getpid()
        self._kernel, self._network = kernel_names(self._library).index(kernel), network
        self._busy = threading.Lock()
        self._team: int | None = self._open(threads)
        self.limit = threads
        self._size = TeamSize(threads)

    def run(self, batch: CBatch) -> None:
        """Compute the steps of a batch. This releases the interpreter's lock."""
        self._call(self._run, batch)

    def multiply(self, batch: CBatch) -> None:
        """Compute only the layers' matrix products: a lower bound for the time of `run`."""
        self._call(self._library.charstream_multiply, batch)

    def close(self) -> None:
        """End the threads. A second call does nothing, and neither does one in a forked process."""
        if os.getpid() != self._pid or not self._team:
            return  # a forked process has no such threads, and would wait for their end for ever
        self._take()
        self._library.charstream_close(self._team)
        self._team = None
        self._busy.release()

    def _open(self, threads: int) -> int:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        team = self._library.charstream_open(self._kernel, byref(self._network), threads)
        if not team:
            raise MemoryError(
                f"the native kernel could not start {threads} threads or allocate its memory"
            )
        return int(team)

    def _run(self, team: int | None, batch: object) -> None:
        chosen = self._size.choose(time.monotonic())
        threads = min(chosen, self.limit)
        left = self._library.charstream_run(team, batch, threads, PATIENCE)
        if left < threads or threads == chosen:  # the limit is not a sign of other processes
            self._size.record(time.monotonic(), left)

    def _call(self, function: Callable[[int | None, object], None], batch: CBatch) -> None:
        self._take()
        try:
            function(self._team, byref(batch))
        finally:
            self._busy.release()

    def _take(self) -> None:
        """Keep other threads out until `_busy` is released, if the team can compute."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                "a forked process does not have the native kernel's threads; "
                "create the decoder after the fork"
            )
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(
                "the native kernel is computing a step in another thread; "
                "use a decoder from one thread at a time"
            )
        if not self._team:
            self._busy.release()
            raise RuntimeError("the native kernel's threads have ended; create a new decoder")
