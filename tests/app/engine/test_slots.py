"""The slots and the queue that several engines share."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.engine.chunk import Chunk
from app.engine.engine import Engine
from app.engine.scheduler import Scheduler
from app.engine.sequence import Delivery, Sequence
from app.engine.slots import Resources, Slots
from app.engine.slow_reader import LIMIT, OutputBuffer
from app.errors import QueueFullError
from model.checkpoints.checkpoint import Checkpoint
from model.decoding.decoder import Decoder
from tests.app.engine.bulk_jobs import bulk_job, many
from tests.app.engine.scheduling import finish, joined, new_sequence
from tests.app.engine.tiny_engine import LONG, alone, job, read, take, until


def submitted(scheduler: Scheduler, length: int = 10, client: str | None = None) -> Sequence:
    sequence = new_sequence(length, client)
    scheduler.submit(sequence)
    return sequence


def test_slots_go_to_the_engines_in_order_of_arrival() -> None:
    slots = Slots(2, max_queue=9)
    first, second = Scheduler(slots), Scheduler(slots)
    a, b, c, d = (submitted(scheduler) for scheduler in (first, second, second, first))
    assert joined(first) == [a], "d is behind c"
    assert joined(second) == [b]
    finish(first, a)
    assert joined(second) == [c]
    finish(second, b)
    assert joined(first) == [d]
    assert slots.computing == 2
    assert slots.taken == 2, "those of both"
    finish(second, c)
    assert slots.taken == 1
    assert slots.computing == 1


def test_one_client_leaves_slots_to_others_who_take_turns() -> None:
    scheduler = Scheduler(Slots(9, max_queue=99))
    texts = [submitted(scheduler, LONG, client="a") for _ in range(20)]
    assert joined(scheduler) == texts[:8]
    other, another, _ = (submitted(scheduler, LONG, client) for client in "bcc")
    assert joined(scheduler) == [other], "although 12 texts came before it"
    finish(scheduler, texts[0])
    assert joined(scheduler) == [texts[8]]
    finish(scheduler, texts[1])
    assert joined(scheduler) == [another]


def test_a_text_that_ends_soon_may_have_any_free_slot() -> None:
    scheduler = Scheduler(Slots(9, max_queue=99))
    texts = [submitted(scheduler, LONG) for _ in range(20)]
    assert joined(scheduler) == texts[:8]
    brief = submitted(scheduler, 10)
    assert joined(scheduler) == [brief]


def test_a_server_without_a_queue_says_that_its_slots_are_busy() -> None:
    scheduler = Scheduler(Slots(1, max_queue=0))
    text = submitted(scheduler, LONG)
    assert joined(scheduler) == [text]
    with pytest.raises(QueueFullError, match="all slots are busy; try again in"):
        submitted(scheduler, LONG)


def test_one_client_leaves_room_in_the_queue_to_others() -> None:
    scheduler = Scheduler(Slots(9, max_queue=9))
    with pytest.raises(QueueFullError, match="no room for 17 texts"):
        scheduler.check_room("a", 17)
    texts = [submitted(scheduler, LONG, client="a") for _ in range(16)]
    with pytest.raises(QueueFullError, match="16 waiting"):
        submitted(scheduler, LONG, client="a")
    others = [submitted(scheduler, LONG, client="b") for _ in range(2)]
    with pytest.raises(QueueFullError, match="18 waiting"):
        submitted(scheduler, LONG, client="b")
    assert joined(scheduler)[:4] == [texts[0], others[0], texts[1], others[1]]
    finish(scheduler, texts[0])
    submitted(scheduler, LONG, client="a")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 14), st.integers(0, 99))))
def test_a_client_has_no_more_than_its_share_and_a_free_slot_is_given(
    requests: list[tuple[str, int, int]],
) -> None:
    slots = Slots(9, max_queue=5)
    scheduler = Scheduler(slots)
    for client, count, row in requests:
        with suppress(QueueFullError):
            scheduler.check_room(client, count)
            for _ in range(count):
                submitted(scheduler, LONG, client)
        if scheduler.idle:
            continue
        joined(scheduler)
        running = [sequence.job.client for sequence in scheduler.active]
        assert max(map(running.count, "ab")) <= 8
        assert scheduler.waiting <= 5
        assert not slots.free or not scheduler.waiting or 8 in map(running.count, "ab")
        finish(scheduler, scheduler.active[row % len(running)])
    while not scheduler.idle:
        joined(scheduler)
        finish(scheduler, scheduler.active[0])
    assert slots.free == slots.count
    assert not slots.waiting


def test_a_slot_that_one_engine_frees_wakes_the_engine_whose_turn_it_is() -> None:
    slots = Slots(1, max_queue=9)
    first, second = Scheduler(slots), Scheduler(slots)
    a = submitted(first)
    assert joined(first) == [a]
    b = submitted(second)
    results: list[list[Sequence]] = []
    thread = threading.Thread(target=lambda: results.append(joined(second)))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive(), "there is no free slot"
    finish(first, a)
    thread.join(10)
    assert results == [[b]]


def test_the_queue_must_pause_for_all_engines_and_the_estimate_counts_all() -> None:
    slots = Slots(1, max_queue=1)
    first, second = Scheduler(slots), Scheduler(slots)
    first.batch.seconds_per_step, second.batch.seconds_per_step = 0.5, 2.0
    running, waiting = submitted(first, length=10), submitted(second, length=20)
    joined(first)
    estimates = []
    for scheduler in (first, second):
        with pytest.raises(QueueFullError, match="1 waiting") as caught:
            scheduler.submit(new_sequence())
        estimates.append(caught.value.retry_after)
    ends = running.stream.steps_left * 0.5
    assert estimates == [ends, ends + waiting.stream.steps_left * 2.0]
    second.cancel(waiting)
    submitted(second)


def test_several_sequences_need_room_together_and_wait_until_enough_have_ended() -> None:
    slots = Slots(3, max_queue=0)
    scheduler = Scheduler(slots)
    scheduler.batch.seconds_per_step = 1.0
    running = [submitted(scheduler, length) for length in (10, 20)]
    joined(scheduler)
    scheduler.check_room(None, 1)
    ends = [float(sequence.stream.steps_left) for sequence in running]
    for count, end in ((2, ends[0]), (3, ends[1])):
        with pytest.raises(QueueFullError, match=f"no room for {count} texts") as caught:
            scheduler.check_room(None, count)
        assert caught.value.retry_after == end
        scheduler.check_room(None, 1)  # otherwise the next one would wait for one more


def test_retry_after_ends_with_the_deadline_of_a_text() -> None:
    scheduler = Scheduler(Slots(1, max_queue=1))
    scheduler.batch.seconds_per_step = 1.0
    running, waiting = submitted(scheduler, 1000), submitted(scheduler, 1000)
    assert joined(scheduler) == [running]
    running.expires = waiting.expires = time.monotonic() + 99.5
    with pytest.raises(QueueFullError) as caught:
        submitted(scheduler)
    assert 90 < caught.value.retry_after <= 100


async def test_the_deadline_of_a_generation_is_known_to_its_sequence(tiny: Checkpoint) -> None:
    engine = Engine(Decoder(tiny, 1), Resources(1, 1, 0), deadline=100)
    engine.start()
    generation = engine.submit(job(length=LONG))
    assert generation.sequence is not None
    assert 90 < generation.sequence.expires - time.monotonic() <= 100
    generation.cancel()
    engine.stop()


def test_a_closed_engine_gives_its_slots_and_its_places_back() -> None:
    slots = Slots(1, max_queue=1)
    first, second = Scheduler(slots), Scheduler(slots)
    submitted(first)
    joined(first)
    submitted(first)
    assert len(first.close()) == 2
    assert slots.waiting == 0
    sequence = submitted(second)
    assert joined(second) == [sequence]


async def test_two_engines_with_one_slot_generate_exact_texts(tiny: Checkpoint) -> None:
    resources = Resources(slots=1, max_queue=20, cache_bytes=1 << 20)
    jobs = [job(length=60, seed=seed) for seed in range(5)]

    engines = [Engine(Decoder(tiny, 1), resources) for _ in range(2)]
    for engine in engines:
        engine.start()
    generations = [engine.submit(each) for each in jobs for engine in engines]
    assert engines[0].scheduler.slots.waiting >= len(generations) - 1
    texts = await asyncio.gather(*map(read, generations))
    assert texts == [alone(tiny, each) for each in jobs for _ in engines]
    for engine in engines:
        engine.stop()


async def test_bulk_jobs_of_two_engines_share_the_slots_and_give_them_to_others(
    tiny: Checkpoint,
) -> None:
    resources = Resources(slots=4, max_queue=0, cache_bytes=0)

    engines = [Engine(Decoder(tiny, 4), resources) for _ in range(2)]
    for engine in engines:
        engine.start()

    def rows() -> list[int]:
        return [len(engine.scheduler.active) for engine in engines]

    first = engines[0].submit(bulk_job(many(50_000)))
    await until(lambda: rows() == [4, 0])
    other = engines[1].submit(job(length=LONG))
    assert await take(other), "it got a slot from the bulk job"
    await until(lambda: rows() == [2, 1])
    other.cancel()
    second = engines[1].submit(bulk_job(many(50_000)))
    await until(lambda: rows() == [2, 2])
    first.cancel()
    await until(lambda: rows() == [0, 4])
    second.cancel()
    for engine in engines:
        engine.stop()


class AnyOrder(RuleBasedStateMachine):
    """Calls in any order: the slots are never exceeded, and sequences get them as they arrive."""

    @initialize(slots=st.integers(1, 3), engines=st.integers(1, 3))
    def start(self, slots: int, engines: int) -> None:
        self.slots = Slots(slots, max_queue=4)
        self.schedulers = [Scheduler(self.slots) for _ in range(engines)]
        self.expected: list[Sequence] = []  # those that wait, in the order in which they get a slot
        self.owners: dict[Sequence | None, Scheduler] = {}
        self.resuming = 0  # how many of them are first, because they resume

    def scheduler(self, number: int) -> Scheduler:
        return self.schedulers[number % len(self.schedulers)]

    @rule(number=st.integers(0, 99))
    def submit(self, number: int) -> None:
        sequence = new_sequence()
        try:
            self.scheduler(number).submit(sequence)
            self.owners[sequence] = self.scheduler(number)
            self.expected.append(sequence)
        except QueueFullError:
            assert self.slots.waiting >= 4

    @rule(number=st.integers(0, 99), row=st.integers(0, 99))
    def finish(self, number: int, row: int) -> None:
        if active := self.scheduler(number).active:
            finish(self.scheduler(number), active[row % len(active)])

    @rule(number=st.integers(0, 99))
    def pause_and_resume(self, number: int) -> None:
        scheduler = self.scheduler(number)
        if scheduler.active:
            sequence = scheduler.active[0]
            sequence.buffer.produce(LIMIT)
            scheduler.settle([(sequence, Delivery(Chunk()))])
            sequence.buffer = OutputBuffer()
            scheduler.resume(sequence)
            self.expected.insert(self.resuming, sequence)
            self.resuming += 1

    @rule(number=st.integers(0, 99), place=st.integers(0, 99))
    def cancel(self, number: int, place: int) -> None:
        scheduler = self.scheduler(number)
        own = [each for each in self.expected if self.owners[each] is scheduler]
        if own:
            sequence = own[place % len(own)]
            self.resuming -= self.expected.index(sequence) < self.resuming
            scheduler.cancel(sequence)
            self.expected.remove(sequence)

    @invariant()
    def free_slots_are_given_in_order(self) -> None:
        progress = True
        while progress:
            progress = False
            for scheduler in self.schedulers:
                if not (scheduler.active or self.may_join(scheduler)):
                    continue  # `next_changes` would wait
                for sequence in joined(scheduler):
                    progress = True
                    self.resuming -= self.resuming > 0
                    assert self.expected.pop(0) is sequence
        running = sum(len(scheduler.active) for scheduler in self.schedulers)
        assert running <= self.slots.count
        assert self.slots.waiting == len(self.expected)
        assert running == self.slots.count or not self.expected, "no slot is left empty"

    def may_join(self, scheduler: Scheduler) -> bool:
        running = sum(len(each.active) for each in self.schedulers)
        first = self.expected[0] if self.expected else None
        return running < self.slots.count and self.owners.get(first) is scheduler


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
