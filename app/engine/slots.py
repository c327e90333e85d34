"""Slots: the slots and the queue of a server, which the engines of all its models share."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field

from app.engine.bulk_scoring import count_jobs
from app.engine.prefix_cache import CacheMemory
from app.engine.retry_after import retry_after
from app.engine.sequence import Sequence
from app.errors import QueueFullError


@dataclass(eq=False)
class Batch:
    """The sequences of one engine that have a slot."""

    wake: threading.Condition  # wakes the engine thread; its lock is the lock of `Slots`
    active: list[Sequence] = field(default_factory=list)  # in the order of the decoder's rows
    seconds_per_step: float = 0.001  # measured by the engine thread

    @property
    def running(self) -> int:
        """Number of jobs that have a slot. Some of them have several."""
        return count_jobs(list(self.active))  # a copy: the engine thread may change the list

    def seconds_left(self, sequence: Sequence) -> float:
        """Return the estimated seconds that a sequence needs, at most until its deadline."""
        left = max(0.0, sequence.expires - time.monotonic())
        return min(sequence.steps_left * self.seconds_per_step, left)


# The client and whether the text is brief, with the texts in order of arrival. They take turns.
Queue = dict[tuple[Hashable, bool], deque[tuple[Batch, Sequence]]]


class Slots:
    """Gives slots to the sequences of several engines in order of arrival.

    Sequences that resume come before those that have not had a slot yet. If several clients wait,
    they take turns. A client leaves a ninth of the slots and of the queue to others. Texts that end
    soon may have every free slot.

    Hold `lock` while you call a method. The properties `waiting` and `computing`, `waiting_of` and
    `add_engine` need no lock.

    Args:
        count: number of sequences that run at the same time, whichever engines they belong to.
        max_queue: number of sequences that may wait for a slot.

    Attributes:
        free: number of slots that no sequence has.
        waiting: number of sequences of all engines that wait for a slot.
    """

    def __init__(self, count: int, max_queue: int) -> None:
        self.count, self.free, self._max_queue = count, count, max_queue
        self._most = _most_of(count)  # that a client may have
        self.waiting = 0
        self.lock = threading.RLock()  # a signal handler may interrupt the thread that holds it
        self._batches: weakref.WeakSet[Batch] = weakref.WeakSet()
        self._queues: tuple[Queue, Queue] = ({}, {})  # of those that resume, and of the others
        self._refused = 0  # in a row

    @property
    def taken(self) -> int:
        """Number of slots that sequences of all engines have."""
        return self.count - self.free

    @property
    def share(self) -> int:
        """Number of slots up to which an engine may fill its batch with lanes of bulk jobs."""
        return self.count // max(1, self.computing)

    @property
    def computing(self) -> int:
        """Number of engines that have sequences with slots."""
        with self.lock:
            return sum(1 for batch in self._batches if batch.active)

    def waiting_of(self, batch: Batch) -> int:
        """Return the number of all sequences that wait to join a batch."""
        with self.lock:
            return sum(own is batch for own, _ in self._queued())

    def add_engine(self) -> Batch:
        """Return the batch of another engine."""
        batch = Batch(threading.Condition(self.lock))
        with self.lock:
            self._batches.add(batch)
        return batch

    def close(self, batch: Batch) -> list[Sequence]:
        """Remove and return all sequences of a batch, also those that wait to join it."""
        waiting = [sequence for own, sequence in self._queued() if own is batch]
        for sequence in waiting:
            self.dequeue(batch, sequence)
        sequences = [self.leave(batch, sequence) for sequence in list(batch.active)]
        self.wake_next()
        return sequences + waiting

    def enqueue(self, batch: Batch, sequence: Sequence, resumed: bool = False) -> None:
        """Add a sequence as the last one of its client, of those that resume or of the others."""
        queue = self._queues[0 if resumed else 1]
        queue.setdefault(_line_of(sequence), deque()).append((batch, sequence))
        self.waiting += 1
        self.wake_next()

    def dequeue(self, batch: Batch, sequence: Sequence) -> None:
        """Remove a sequence from the queue, if it waits there."""
        entry, line = (batch, sequence), _line_of(sequence)
        for queue in self._queues:
            if entry in queue.get(line, ()):
                queue[line].remove(entry)
                self.waiting -= 1
                if not queue[line]:
                    del queue[line]
        self.wake_next()

    def take(self, batch: Batch) -> Sequence | None:
        """Give a free slot to the first sequence that may have it, if it belongs to a batch.

        Return the sequence, which is then the last active one, or None.
        """
        found = self._next()
        if found is None or found[0][found[1]][0][0] is not batch:
            return None
        queue, line = found
        entries = queue.pop(line)
        _, sequence = entries.popleft()
        if entries:
            queue[line] = entries  # behind those of other clients
        self.waiting -= 1
        self.add(batch, [sequence])
        return sequence

    def add(self, batch: Batch, sequences: Iterable[Sequence]) -> None:
        """Give free slots to sequences that do not wait in the queue."""
        for sequence in sequences:
            batch.active.append(sequence)
            self.free -= 1

    def leave(self, batch: Batch, sequence: Sequence) -> Sequence:
        """Free the slot of a sequence and return it. The last row of the batch fills the gap."""
        last = batch.active.pop()
        if last is not sequence:
            batch.active[batch.active.index(sequence)] = last
        self.free += 1
        return sequence

    def wake_next(self) -> None:
        """Wake the engine whose sequence may get a slot, if there are both."""
        if (found := self._next()) is not None:
            queue, line = found
            queue[line][0][0].wake.notify()

    def check_room(self, client: Hashable, count: int) -> None:
        """Raise QueueFullError unless `count` more of a client can run or wait."""
        both = ((client, True), (client, False))
        own = sum(len(queue.get(line, ())) for queue in self._queues for line in both)
        own += self._running(client)
        taken = self.waiting + sum(batch.running for batch in self._batches)
        places = self.count + self._max_queue
        missing = count - min(self._most + _most_of(self._max_queue) - own, places - taken)
        if missing <= 0:
            self._refused = 0
            return
        position, self._refused = self._refused + missing, self._refused + 1
        active = [batch.seconds_left(one) for batch in self._batches for one in batch.active]
        queued = [batch.seconds_left(one) for batch, one in self._queued()]
        raise QueueFullError(len(queued), retry_after(position, active, queued), count)

    def check_searches(self, searching: Collection[Sequence], client: Hashable) -> None:
        """Raise QueueFullError unless a search of a client can join those that run or wait."""
        most = self.count + self._max_queue
        own = sum(one.job.client == client for one in searching)
        if own >= _most_of(most) or len(searching) >= most:
            raise QueueFullError(len(searching), 1)

    def _next(self) -> tuple[Queue, tuple[Hashable, bool]] | None:
        """Return where the sequence waits that gets the next slot, if there is a free one."""
        for queue in self._queues if self.free > 0 else ():
            for line in queue:
                client, is_brief = line
                if (
                    is_brief
                    or self.free > self.count - self._most
                    or self._running(client) < self._most
                ):
                    return queue, line
        return None

    def _running(self, client: Hashable) -> int:
        """Return the number of a client's jobs that have slots."""
        active = [one for batch in self._batches for one in list(batch.active)]
        return count_jobs(one for one in active if one.job.client == client)

    def _queued(self) -> list[tuple[Batch, Sequence]]:
        return [entry for queue in self._queues for line in queue.values() for entry in line]


def _most_of(count: int) -> int:
    """Return how many of the slots, or of the places in the queue, a client may have."""
    return count - count // 9


def _line_of(sequence: Sequence) -> tuple[Hashable, bool]:
    return sequence.job.client, sequence.is_brief


class Resources:
    """What the engines of one server share: slots, queue, and the memory of the prefix caches.

    Args:
        slots: number of generations that run at the same time.
        max_queue: number of generations that may wait for a slot.
        cache_bytes: maximum size of all prefix caches together. 0 disables them.
    """

    def __init__(self, slots: int, max_queue: int, cache_bytes: int) -> None:
        self.slots = Slots(slots, max_queue)
        self.cache_memory = CacheMemory(cache_bytes)
