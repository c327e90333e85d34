"""Slots: the slots and the queue of a server, which the engines of all its models share."""

from __future__ import annotations

import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Iterable
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


class Slots:
    """Gives slots to the sequences of several engines in order of arrival.

    Sequences that resume come before those that have not had a slot yet. The sequences of a group
    leave an eighth of the slots to others: the sequences beyond its share wait behind the queue,
    until others of the group have left. Hold `lock` while you call a method. The properties
    `waiting` and `computing`, `waiting_of` and `add_engine` need no lock.

    Args:
        count: number of sequences that run at the same time, whichever engines they belong to.
        max_queue: number of sequences that may wait for a slot.

    Attributes:
        free: number of slots that no sequence has.
        most_of_group: number of slots that the sequences of a group may have.
    """

    def __init__(self, count: int, max_queue: int) -> None:
        self.count, self.free, self._max_queue = count, count, max_queue
        self.lock = threading.RLock()  # a signal handler may interrupt the thread that holds it
        self._batches: weakref.WeakSet[Batch] = weakref.WeakSet()
        # Each sequence with the batch that it wants to join. The first queue is served first.
        self._resuming: deque[tuple[Batch, Sequence]] = deque()
        self._waiting: deque[tuple[Batch, Sequence]] = deque()
        self._blocked: deque[tuple[Batch, Sequence]] = deque()  # because their group has its share
        self._shares: Counter[str] = Counter()  # sequences of a group with a slot or in a queue
        self.most_of_group = count - count // 8
        self._refused = 0  # in a row

    @property
    def waiting(self) -> int:
        """Number of sequences of all engines that wait for a slot, and not for their group."""
        return len(self._resuming) + len(self._waiting)

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
        """Add a sequence as the last of those that resume, of the others, or of those blocked."""
        queue, group = self._resuming if resumed else self._waiting, sequence.job.group
        if group is not None and self._shares[group] == self.most_of_group:
            queue = self._blocked
        elif group is not None:
            self._shares[group] += 1
        queue.append((batch, sequence))
        self.wake_next()

    def dequeue(self, batch: Batch, sequence: Sequence) -> None:
        """Remove a sequence from the queue, if it waits there."""
        entry = (batch, sequence)
        if entry in self._blocked:
            self._blocked.remove(entry)
        for queue in (self._resuming, self._waiting):
            if entry in queue:
                queue.remove(entry)
                self._release(sequence.job.group)
        self.wake_next()

    def take(self, batch: Batch) -> Sequence | None:
        """Give a free slot to the first sequence of the queue if it belongs to a batch.

        Return the sequence, which is then the last active one, or None.
        """
        entry = self._next()
        if entry is None or entry[0] is not batch:
            return None
        (self._resuming or self._waiting).popleft()
        self.add(batch, [entry[1]])
        return entry[1]

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
        self._release(sequence.job.group)
        return sequence

    def wake_next(self) -> None:
        """Wake the engine whose sequence may get a slot, if there are both."""
        if (entry := self._next()) is not None:
            entry[0].wake.notify()

    def _next(self) -> tuple[Batch, Sequence] | None:
        """Return the first entry of the queue that may get a slot, if there is a free one."""
        queue = self._resuming or self._waiting
        return queue[0] if queue and self.free > 0 else None

    def _queued(self) -> list[tuple[Batch, Sequence]]:
        return [*self._resuming, *self._waiting, *self._blocked]

    def _release(self, group: str | None) -> None:
        """Let the next blocked sequence wait for a slot, after another one has left."""
        if group is None:
            return
        blocked = next((entry for entry in self._blocked if entry[1].job.group == group), None)
        if blocked is not None:
            self._blocked.remove(blocked)
            self._waiting.append(blocked)
        elif self._shares[group] > 1:
            self._shares[group] -= 1
        else:
            del self._shares[group]

    def check_searches(self, searching: int) -> None:
        """Raise QueueFullError unless a search can join those that run or wait."""
        if searching >= self.count + self._max_queue:
            raise QueueFullError(searching, 1)

    def check_room(self, count: int) -> None:
        """Raise QueueFullError unless `count` of a group can get a slot or a place in the queue."""
        missing = self._missing(count, self.free)  # each job has a slot of its own
        if missing:  # bulk jobs give their further slots back
            running = sum(batch.running for batch in self._batches)
            missing = self._missing(count, self.count - running)
        if not missing:
            self._refused = 0
            return
        position, self._refused = self._refused + missing, self._refused + 1
        active = [own.seconds_left(one) for own in self._batches for one in own.active]
        queued = [own.seconds_left(one) for own, one in self._queued()]
        raise QueueFullError(len(queued), retry_after(position, active, queued), count)

    def _missing(self, count: int, free: int) -> int:
        """Return the number of sequences of a group without a slot or a place in the queue."""
        places = count - min(count, self.most_of_group, free - self.waiting)
        return max(0, places - max(0, self._max_queue - len(self._blocked)))


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
