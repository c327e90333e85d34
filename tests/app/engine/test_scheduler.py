"""The scheduler: who gets a slot, who waits, and who leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.engine.chunk import Chunk
from app.engine.scheduler import Changes, Scheduler
from app.engine.sequence import Delivery, FinishReason, Sequence
from app.engine.slots import Slots
from app.engine.slow_reader import LIMIT
from app.errors import DrainingError, EngineError, QueueFullError
from tests.app.engine.scheduling import finish, joined, new_sequence


def submitted(scheduler: Scheduler, count: int) -> list[Sequence]:
    sequences = [new_sequence() for _ in range(count)]
    for sequence in sequences:
        scheduler.submit(sequence)
    return sequences


def pause(scheduler: Scheduler, sequence: Sequence) -> None:
    """Fill the output buffer of an active sequence, and let the scheduler notice it."""
    sequence.buffer.produce(LIMIT)
    assert scheduler.settle([(sequence, Delivery(Chunk()))]) == Changes([sequence], [])
    assert sequence.paused


def test_resumed_sequences_keep_the_order_in_which_they_resume() -> None:
    scheduler = Scheduler(Slots(2, max_queue=9))
    first, second = submitted(scheduler, 2)
    joined(scheduler)
    pause(scheduler, first)
    pause(scheduler, second)
    scheduler.resume(second)
    scheduler.resume(first)
    assert joined(scheduler) == [second, first]


def test_only_a_paused_sequence_can_be_resumed() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    active, waiting = submitted(scheduler, 2)
    joined(scheduler)
    for sequence in (active, waiting, new_sequence()):
        scheduler.resume(sequence)
    assert (scheduler.active, scheduler.waiting) == ([active], 1)


def test_a_sequence_with_room_in_its_buffer_keeps_its_slot() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    (sequence,) = submitted(scheduler, 1)
    joined(scheduler)
    sequence.buffer.produce(LIMIT - 1)
    assert scheduler.settle([(sequence, Delivery(Chunk()))]) == Changes([], [])
    assert scheduler.active == [sequence]


def test_a_finished_sequence_with_a_full_buffer_is_not_paused() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    (sequence,) = submitted(scheduler, 1)
    joined(scheduler)
    sequence.buffer.produce(LIMIT)
    finish(scheduler, sequence)
    assert scheduler.idle


def new_waiting(scheduler: Scheduler) -> Sequence:
    submitted(scheduler, 1)
    joined(scheduler)
    return submitted(scheduler, 1)[0]


def new_paused(scheduler: Scheduler) -> Sequence:
    sequence = new_active(scheduler)
    pause(scheduler, sequence)
    return sequence


def new_resuming(scheduler: Scheduler) -> Sequence:
    sequence = new_paused(scheduler)
    scheduler.resume(sequence)
    return sequence


def new_active(scheduler: Scheduler) -> Sequence:
    (sequence,) = submitted(scheduler, 1)
    joined(scheduler)
    return sequence


STATES = [new_waiting, new_paused, new_resuming, new_active]


@pytest.mark.parametrize("state", STATES)
def test_a_cancelled_sequence_leaves_its_queue_at_once_or_its_slot_before_the_next_step(
    state: Callable[[Scheduler], Sequence],
) -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    sequence = state(scheduler)
    others = len(scheduler.active) - (sequence in scheduler.active)
    had_slot = sequence in scheduler.active
    scheduler.cancel(sequence)
    assert sequence.cancelled
    assert (scheduler.waiting, scheduler.paused) == (0, 0)
    if had_slot:
        assert scheduler.next_changes() == Changes([sequence], [])
    assert len(scheduler.active) == others
    scheduler.cancel(sequence)  # has no effect
    scheduler.resume(sequence)
    assert len(scheduler.active) == others


def test_the_last_row_moves_into_the_gap_of_a_sequence_that_leaves() -> None:
    scheduler = Scheduler(Slots(4, max_queue=9))
    first, second, third, fourth = submitted(scheduler, 4)
    joined(scheduler)
    scheduler.cancel(second)
    (fifth,) = submitted(scheduler, 1)
    assert scheduler.next_changes() == Changes([second], [fifth])
    assert scheduler.active == [first, fourth, third, fifth]


def test_a_cancelled_sequence_with_a_full_buffer_is_not_paused() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    sequence = new_active(scheduler)
    scheduler.cancel(sequence)
    sequence.buffer.produce(LIMIT)
    assert scheduler.settle([(sequence, Delivery(Chunk()))]) == Changes([], [])
    assert scheduler.next_changes() == Changes([sequence], [])
    assert scheduler.idle


def test_a_full_queue_refuses_until_there_is_room() -> None:
    scheduler = Scheduler(Slots(1, max_queue=2))
    first, *_ = submitted(scheduler, 3)  # free slots count as room in the queue
    joined(scheduler)
    with pytest.raises(QueueFullError, match="2 waiting"):
        scheduler.submit(new_sequence())
    finish(scheduler, first)
    scheduler.submit(new_sequence())


def in_thread(scheduler: Scheduler, wake: Callable[[], None]) -> Changes | None:
    """Return what `next_changes` returns to a thread that waits in it when `wake` is called."""
    results: list[Changes | None] = []
    thread = threading.Thread(target=lambda: results.append(scheduler.next_changes()))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive(), "there is nothing to compute"
    wake()
    thread.join(10)
    assert not thread.is_alive()
    return results[0]


def test_an_idle_engine_thread_wakes_up_for_a_new_sequence() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    sequence = new_sequence()
    changes = in_thread(scheduler, lambda: scheduler.submit(sequence))
    assert changes == Changes([], [sequence])


def test_an_idle_engine_thread_ends_when_the_scheduler_stops() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    assert in_thread(scheduler, scheduler.stop) is None


def test_an_idle_engine_thread_ends_after_the_drain_time() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    assert in_thread(scheduler, lambda: scheduler.drain(0.05)) is None


def test_a_draining_scheduler_serves_its_sequences_and_accepts_no_new_ones() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    first, second = submitted(scheduler, 2)
    scheduler.drain(600)
    with pytest.raises(DrainingError):
        scheduler.submit(new_sequence())
    assert joined(scheduler) == [first]
    finish(scheduler, first)
    assert joined(scheduler) == [second]
    scheduler.drain(0)
    assert scheduler.next_changes() is None
    assert scheduler.close() == [second]


def test_closing_returns_the_sequences_of_every_state() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    paused, resuming = new_paused(scheduler), new_resuming(scheduler)
    joined(scheduler)  # the resuming one has a slot again
    active = resuming
    waiting = submitted(scheduler, 2)
    assert set(scheduler.close()) == {paused, active, *waiting}
    assert scheduler.idle
    assert scheduler.close() == []
    assert scheduler.next_changes() is None
    with pytest.raises(DrainingError):
        scheduler.submit(new_sequence())


def test_a_failed_scheduler_refuses_with_a_new_instance_of_the_failure() -> None:
    scheduler = Scheduler(Slots(1, max_queue=9))
    scheduler.failure = "the engine failed: out of memory"
    refusals = []
    for _ in range(2):
        with pytest.raises(EngineError, match="out of memory") as caught:
            scheduler.submit(new_sequence())
        refusals.append(caught.value)
    assert refusals[0] is not refusals[1], "an error keeps the frames of the request that it ended"


class AnyOrder(RuleBasedStateMachine):
    """Calls in any order: each sequence is in one state, and the rows match the decoder's."""

    @initialize(slots=st.integers(1, 3))
    def start(self, slots: int) -> None:
        self.slots = slots
        self.scheduler = Scheduler(Slots(slots, max_queue=3))
        self.rows: list[Sequence] = []  # of a decoder that follows the changes
        self.sequences: list[Sequence] = []  # neither finished nor cancelled

    @rule()
    def submit(self) -> None:
        sequence = new_sequence()
        try:
            self.scheduler.submit(sequence)
            self.sequences.append(sequence)
        except QueueFullError:
            assert self.scheduler.waiting >= 3  # more if paused sequences resumed

    @rule(number=st.integers(0, 99))
    def cancel(self, number: int) -> None:
        if self.sequences:
            self.scheduler.cancel(self.sequences.pop(number % len(self.sequences)))

    @rule(number=st.integers(0, 99))
    def resume(self, number: int) -> None:
        if self.sequences:
            self.scheduler.resume(self.sequences[number % len(self.sequences)])

    @rule(number=st.integers(0, 99), finish_reason=st.sampled_from([None, "stop"]))
    def step(self, number: int, finish_reason: FinishReason | None) -> None:
        """Finish the sequence of a row, or fill its buffer."""
        if not self.rows:
            return
        sequence = self.rows[number % len(self.rows)]
        if finish_reason is not None:
            self.sequences.remove(sequence)
        elif not sequence.buffer.must_pause:
            sequence.buffer.produce(LIMIT)
        self.follow(self.scheduler.settle([(sequence, Delivery(Chunk(), finish_reason))]))

    @invariant()
    def every_sequence_is_in_one_state(self) -> None:
        if self.scheduler.active or self.scheduler.waiting:
            changes = self.scheduler.next_changes()
            assert changes is not None
            self.follow(changes)
        count = len(self.scheduler.active) + self.scheduler.waiting + self.scheduler.paused
        assert count == len(self.sequences)
        assert self.scheduler.idle == (not self.sequences)

    def follow(self, changes: Changes) -> None:
        """Change the rows as `Decoder.leave` and `Decoder.join` do."""
        for sequence in changes.left:
            self.rows[self.rows.index(sequence)] = self.rows[-1]
            self.rows.pop()
        self.rows += changes.joined
        assert self.rows == self.scheduler.active
        assert len(self.rows) <= self.slots

    def teardown(self) -> None:
        if hasattr(self, "scheduler"):
            assert set(self.scheduler.close()) == set(self.sequences)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
