"""Scheduler: decide which sequences are in an engine's batch, which wait, and which pause."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from app.engine.bulk_scoring import lanes_by_job, spare_lanes, spread
from app.engine.sequence import Delivery, Sequence
from app.engine.slots import Slots
from app.errors import DrainingError, EngineError


class Changes(NamedTuple):
    """Changes of the batch. The decoder must remove `left` before it adds `joined`."""

    left: list[Sequence]  # removed in this order; each time, the last row moved into the gap
    joined: list[Sequence]  # appended as the last rows


class Scheduler:
    """Moves sequences between queue, slots and the list of paused sequences. Thread-safe.

    The event loop submits, cancels and resumes sequences. The engine thread asks for changes
    between steps, and only it changes `active`.

    Args:
        slots: the slots and the queue, which several schedulers may share.

    Attributes:
        active: the sequences that have a slot, in the order of the decoder's rows.
        searching: the sequences that search for suggestions, without a slot, in order of arrival.
        failure: why the engine has failed; None if it has not.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots, self.batch = slots, slots.add_engine()
        self.active = self.batch.active
        self._wake = self.batch.wake  # its lock guards everything below
        self.failure: str | None = None
        self.searching: list[Sequence] = []
        self._paused: list[Sequence] = []
        self._stopping = False
        self._drain_deadline: float | None = None

    @property
    def running(self) -> int:
        """Number of jobs that have a slot."""
        return self.batch.running

    @property
    def waiting(self) -> int:
        """Number of sequences that wait for a slot."""
        return self.slots.waiting_of(self.batch)

    @property
    def paused(self) -> int:
        """Number of sequences whose reader is behind."""
        return len(self._paused)

    @property
    def idle(self) -> bool:
        """Whether there is no sequence at all."""
        with self._wake:  # without the lock, this could miss a sequence that is being moved
            return not (self.active or self.searching or self.waiting or self.paused)

    # Event loop ---------------------------------------------------------------

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence.

        Raises:
            QueueFullError: if every slot and every position in the queue is taken.
            DrainingError: if the engine is shutting down.
            EngineError: if the engine has failed.
        """
        with self._wake:
            if sequence.job.beam_search is None:
                self.check_room(sequence.job.client, 1)
                self.slots.enqueue(self.batch, sequence)
                return
            self.check_ready()
            self.slots.check_searches(self.searching, sequence.job.client)
            self.searching.append(sequence)
            self._wake.notify()

    def check_room(self, client: Hashable, count: int) -> None:
        """Raise what `submit` raises unless `count` more of a client can run or wait."""
        with self._wake:
            self.check_ready()
            self.slots.check_room(client, count)

    def cancel(self, sequence: Sequence) -> None:
        """Free a job's position in the queue now, or its slots before the next step."""
        with self._wake:
            sequence.cancelled = True
            if sequence.texts is not None:
                for lane in lanes_by_job(self.active).get(sequence.texts, ()):
                    lane.cancelled = True
            for others in (self._paused, self.searching):
                if sequence in others:
                    others.remove(sequence)
            self.slots.dequeue(self.batch, sequence)
            self._wake.notify()

    def resume(self, sequence: Sequence) -> None:
        """Let a paused sequence continue, ahead of sequences that have not had a slot yet."""
        with self._wake:
            if sequence in self._paused:
                self._paused.remove(sequence)
                sequence.paused = False
                self.slots.enqueue(self.batch, sequence, resumed=True)

    def check_ready(self) -> None:
        """Raise EngineError unless new sequences are accepted."""
        if self.failure is not None:
            raise EngineError(self.failure)
        if self._drain_deadline is not None or self._stopping:
            raise DrainingError

    def drain(self, seconds: float) -> None:
        """Accept no new sequences, and stop after `seconds` seconds. Safe in signal handlers."""
        with self._wake:
            self._drain_deadline = time.monotonic() + seconds
            self._wake.notify()

    def stop(self) -> None:
        """Make the engine thread stop before its next step."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    # Engine thread ------------------------------------------------------------

    def next_changes(self) -> Changes | None:
        """Wait for work and return the changes of the batch, or None if the worker must stop.

        Cancelled sequences lose their slots. Waiting sequences get the free slots and those that
        bulk jobs can spare: first the resumed ones, then the others in order of arrival. If none
        waits, bulk jobs get the free slots.
        """
        with self._wake:
            while not self._stopping and self._drain_seconds_left() != 0:
                cancelled = [sequence for sequence in self.active if sequence.cancelled]
                left = [self._leave(sequence) for sequence in cancelled]
                room = self._make_room()
                joined = list(iter(lambda: self.slots.take(self.batch), None))
                changes = Changes(left + room, joined)
                if not changes.joined:
                    self._share_lanes(changes)
                self.slots.wake_next()
                if self.active or changes.left or self.searching:
                    return changes
                self._wake.wait(self._drain_seconds_left())
            return None

    def end_searches(self, sequences: Iterable[Sequence]) -> None:
        """Remove sequences whose search has ended."""
        with self._wake:
            self.searching = [one for one in self.searching if one not in sequences]

    def settle(
        self, deliveries: Iterable[tuple[Sequence, Delivery]], ended: Iterable[Sequence] = ()
    ) -> Changes:
        """Remove finished sequences, and pause sequences whose reader is too far behind.

        A sequence that must read its text again leaves its slot, and gets the next free one.
        `ended` are lanes that have no text left.

        Call this before the deliveries are sent. A reader that takes the last of them then finds
        its sequence paused and resumes it.
        """
        with self._wake:
            left = [self._leave(lane) for lane in ended]
            for sequence, delivery in deliveries:
                if delivery.finish_reason is not None:
                    left.append(self._leave(sequence))
                elif sequence.cancelled:
                    continue
                elif sequence.rereads:
                    left.append(self._leave(sequence))
                    self.slots.enqueue(self.batch, sequence, resumed=True)
                elif sequence.buffer.must_pause:
                    left.append(self._leave(sequence))
                    sequence.paused = True
                    self._paused.append(sequence)
            self.slots.wake_next()
        return Changes(left, [])

    def close(self) -> list[Sequence]:
        """Accept no more sequences. Remove and return all of them."""
        with self._wake:
            self._stopping = True
            sequences = self.slots.close(self.batch) + self._paused + self.searching
            self._paused, self.searching = [], []
        return sequences

    def _make_room(self) -> list[Sequence]:
        """Take slots from bulk jobs with several, for waiting sequences and other engines."""
        missing = self.slots.waiting - self.slots.free
        excess = len(self.active) - self.slots.share
        lanes = spare_lanes(self.active, max(0, missing, excess))
        return [self._leave(lane) for lane in lanes]

    def _share_lanes(self, changes: Changes) -> None:
        """Give the free slots to bulk jobs, up to this engine's share of all slots."""
        free = min(self.slots.free - self.slots.waiting, self.slots.share - len(self.active))
        ended, added = spread(self.active, free)
        changes.left.extend([self._leave(lane) for lane in ended])
        # After the last removal, because the decoder removes rows before it adds new ones.
        self.slots.add(self.batch, added)
        changes.joined.extend(added)

    def _leave(self, sequence: Sequence) -> Sequence:
        return self.slots.leave(self.batch, sequence)

    def _drain_seconds_left(self) -> float | None:
        if self._drain_deadline is None:
            return None
        return max(0.0, self._drain_deadline - time.monotonic())
