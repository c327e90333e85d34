"""Slots: the slots and the queue of a server, which the engines of all its models share."""

from __future__ import annotations

import itertools
import operator
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.engine.lane import spare_lanes
from app.engine.retry_after import retry_after
from app.engine.sequence import Sequence
from app.errors import QueueFullError


@dataclass(eq=False)
class EngineSequences:
    """The sequences of one engine that have a slot, or wait for one.

    Attributes:
        wake: wakes the engine thread. Its lock is the lock of `Slots`.
        active: sequences that have a slot, in the order of the decoder's rows.
        resuming: sequences that had a slot before. They are served first.
        waiting: the other sequences that wait, in order of arrival.
        seconds_per_step: duration of a step, measured by the engine thread.
    """

    wake: threading.Condition
    active: list[Sequence] = field(default_factory=list)
    resuming: deque[Sequence] = field(default_factory=deque)
    waiting: deque[Sequence] = field(default_factory=deque)
    seconds_per_step: float = 0.001

    @property
    def running(self) -> int:
        """Number of jobs that have a slot. Some of them have several."""
        active = list(self.active)  # the engine thread may change the list
        return len(active) - len(spare_lanes(active, len(active)))

    @property
    def waiting_count(self) -> int:
        """Number of sequences that wait."""
        return len(self.resuming) + len(self.waiting)

    @property
    def order(self) -> tuple[bool, int]:
        """Sort key of the first sequence that waits. There must be one."""
        first = (self.resuming or self.waiting)[0]
        return not self.resuming, first.arrived

    def seconds_left(self, sequences: Iterable[Sequence]) -> list[float]:
        """Return the estimated seconds that each sequence needs, at most until its deadline."""
        now = time.monotonic()
        return [
            min(sequence.steps_left * self.seconds_per_step, max(0.0, sequence.expires - now))
            for sequence in sequences
        ]


class Slots:
    """Gives slots to the sequences of several engines in order of arrival.

    Sequences that resume come before those that have not had a slot yet. Hold `lock` while you call
    a method or change an engine's sequences. `waiting`, `taken`, `computing` and `add_engine` take
    it themselves.

    Args:
        count: number of sequences that run at the same time, whichever engines they belong to.
        max_queue: number of sequences that may wait for a slot.
    """

    def __init__(self, count: int, max_queue: int) -> None:
        self.count, self._max_queue = count, max_queue
        self.lock = threading.RLock()  # a signal handler may interrupt the thread that holds it
        self._engines: weakref.WeakSet[EngineSequences] = weakref.WeakSet()
        self._arrivals = itertools.count()
        self._refused = 0  # in a row

    @property
    def waiting(self) -> int:
        """Number of sequences of all engines that wait for a slot."""
        with self.lock:
            return sum(engine.waiting_count for engine in self._engines)

    @property
    def taken(self) -> int:
        """Number of slots that sequences of all engines have."""
        with self.lock:
            return sum(len(engine.active) for engine in self._engines)

    @property
    def free(self) -> int:
        """Number of slots that no sequence has."""
        return self.count - self.taken

    @property
    def share(self) -> int:
        """Number of slots up to which an engine may fill its batch with lanes of bulk jobs."""
        return self.count // max(1, self.computing)

    @property
    def computing(self) -> int:
        """Number of engines that have sequences with slots."""
        with self.lock:
            return sum(1 for engine in self._engines if engine.active)

    def add_engine(self) -> EngineSequences:
        """Return the sequences of another engine. They count for as long as somebody keeps them."""
        engine = EngineSequences(threading.Condition(self.lock))
        with self.lock:
            self._engines.add(engine)
        return engine

    def enqueue(self, engine: EngineSequences, sequence: Sequence, resumed: bool = False) -> None:
        """Add a sequence to its engine, as the last of those that resume or of the others."""
        sequence.arrived = next(self._arrivals)
        (engine.resuming if resumed else engine.waiting).append(sequence)
        self.wake_next()

    def take(self, engine: EngineSequences) -> Sequence | None:
        """Give a free slot to an engine's first sequence, if no other engine's first precedes it.

        Return the sequence, which is then the last active one, or None.
        """
        if self.free <= 0 or self._next_engine() is not engine:
            return None
        sequence = (engine.resuming or engine.waiting).popleft()
        engine.active.append(sequence)
        return sequence

    def wake_next(self) -> None:
        """Wake the engine whose sequence may get a slot, if there are both."""
        if self.free > 0 and (engine := self._next_engine()) is not None:
            engine.wake.notify()

    def check_room(self, count: int = 1) -> None:
        """Raise QueueFullError unless `count` more can get a slot or a place in the queue."""
        waiting, running = self.waiting, sum(engine.running for engine in self._engines)
        room = self._max_queue + self.count - running - waiting
        if count <= room:
            self._refused = 0
            return
        self._refused += 1
        ended = self._refused - 1 + count - max(0, room)
        raise QueueFullError(waiting, retry_after(ended, *self._seconds_left()), count)

    def _next_engine(self) -> EngineSequences | None:
        engines = [engine for engine in self._engines if engine.waiting_count]
        return min(engines, key=operator.attrgetter("order"), default=None)

    def _seconds_left(self) -> tuple[list[float], list[float]]:
        """Return the seconds that each running and each waiting sequence needs, in their order."""
        running = [
            seconds for engine in self._engines for seconds in engine.seconds_left(engine.active)
        ]
        waiting = [
            (is_waiting, sequence.arrived, seconds)
            for engine in self._engines
            for is_waiting, queue in enumerate((engine.resuming, engine.waiting))
            for sequence, seconds in zip(queue, engine.seconds_left(queue), strict=True)
        ]
        return running, [seconds for _, _, seconds in sorted(waiting)]
