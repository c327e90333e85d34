"""Engine: many generations on one decoder. Knows nothing of HTTP.

One thread owns the decoder. Between steps, generations join and leave its batch (continuous
batching, Yu et al. 2022): those cancelled or finished leave, those waiting take their slots in
order of arrival. Each wake-up advances all of them a few characters, and hands everything that
came of it to the event loop in one call.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from app.metrics import Metrics
from app.prefix_cache import PrefixCache
from app.stop_matcher import StopMatcher
from model.decoder import Decoder, DecoderStream
from model.errors import DeadlineError, DrainingError, EngineError, QueueFullError
from model.sampling import SamplingParams
from model.scores import Score, scores_of
from model.vocabulary import Ids

FinishReason = Literal["length", "stop"]

# Aimed at between two deliveries: short to an eye, and some times what the event loop needs to
# send them, so that it does not hold the engine up.
_WAKE_SECONDS = 0.004
_WAKE_SECONDS_PER_STREAM = 0.0006
_MOST_STEPS = 128  # characters of one stream per delivery
_PRIME_STEPS = 128  # characters of a prime that may be read while the others wait
_MAILBOX = 4096  # unread characters at which a generation pauses until its reader catches up
_WARM_STEPS = 8

logger = logging.getLogger("charstream")


@dataclass(frozen=True)
class Job:
    """What to generate.

    Attributes:
        prime: ids to read first, at least one.
        length: characters to generate.
        stops: ids of the strings before which the text ends; none is empty.
        prime_characters: of the user's prime, which may be empty where `prime` is not.
        alternatives: with scores, which name so many of the likeliest characters; None: without.
        prompt_length: characters of `prime` before the text, all by default; the rest is
            the text's beginning, given instead of drawn.
    """

    prime: Ids
    length: int
    params: SamplingParams
    seed: int
    stops: tuple[tuple[int, ...], ...] = ()
    prime_characters: int = 0
    alternatives: int | None = None
    prompt_length: int | None = None

    def stream(self) -> DecoderStream:
        return DecoderStream(
            self.prime, self.length, self.params, self.seed, self.alternatives, self.prompt_length
        )


@dataclass(eq=False)
class Generation:
    """One text in the making, as its reader sees it; belongs to the event loop.

    Iterating gives the new ids each time there are some, merged while the reader lags. Whoever
    has one must `cancel` it when it is no longer wanted; after the end that does nothing.
    """

    job: Job
    _engine: Engine
    submitted: float = field(default_factory=time.monotonic)
    admitted: float | None = None
    first_character: float | None = None
    finished: float | None = None
    finish_reason: FinishReason | None = None
    generated: int = 0
    cached: int = 0  # characters of the prime that needed no reading
    text: list[int] = field(default_factory=list)  # all that the decoder made
    cancelled: bool = False
    paused: bool = False
    # Characters made, and characters read: each written by one thread alone.
    _made: int = 0
    _read: int = 0
    _error: EngineError | None = None
    _mailbox: list[int] = field(default_factory=list)
    _scores: list[Score] = field(default_factory=list)  # of characters taken or in the mailbox
    _held_scores: list[Score] = field(default_factory=list)  # engine's side, not delivered yet
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _deadline: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.stream = self.job.stream()
        self.matcher = StopMatcher(self.job.stops) if self.job.stops else None

    async def __aiter__(self) -> AsyncIterator[list[int]]:
        while ids := await self.take():
            yield ids

    async def take(self) -> list[int]:
        """Waits for ids and takes them; an empty list at the end.

        Raises:
            EngineError: if the engine could not finish the text.
        """
        while not self._mailbox and self.finished is None:
            self._news.clear()
            await self._news.wait()
        ids, self._mailbox = self._mailbox, []
        self._read += len(ids)
        if self.paused and self.unread < _MAILBOX // 2:
            self._engine.resume(self)
        if not ids and self._error is not None:
            raise self._error
        return ids

    def take_scores(self, count: int) -> list[Score]:
        """Scores of the next characters that were taken; none where the job has none."""
        scores, self._scores = self._scores[:count], self._scores[count:]
        return scores

    def cancel(self) -> None:
        """Frees the slot at the next step, or the place in the queue at once."""
        self._engine.cancel(self)

    @property
    def taken(self) -> int:
        """Characters that the reader has taken."""
        return self._read

    @property
    def unread(self) -> int:
        """Characters made that the reader has not taken."""
        return self._made - self._read

    @property
    def rate(self) -> float:
        """Characters per second since a slot was free, the time for the prime included."""
        if self.admitted is None or self.finished is None:
            return 0.0
        return self.generated / max(self.finished - self.admitted, 1e-9)

    @property
    def steps_to_next_place(self) -> int:
        """Engine's side: steps to the end of the prime, the first character or the last."""
        return self.stream.prompt_steps_left or (self.stream.steps_left if self.text else 1)

    def accept(self, ids: Sequence[int], scores: Sequence[Score] = ()) -> Delivery:
        """Engine's side: takes in what the decoder made and says what the reader may have."""
        self.text += ids
        self._held_scores += scores
        stopped = False
        if self.matcher is None:
            released = list(ids)
        else:
            released, stopped = self.matcher.feed(ids)
        at_length = self.stream.steps_left == 0
        if self.matcher is not None and at_length and not stopped:
            released += self.matcher.flush()
        self._made += len(released)
        reason: FinishReason | None = "stop" if stopped else "length" if at_length else None
        count = len(released)
        ready, self._held_scores = self._held_scores[:count], self._held_scores[count:]
        return Delivery(self, released, reason, scores=ready)

    def expire_after(self, seconds: float) -> None:
        """Ends the text with an error unless it has ended by then."""

        def expire() -> None:
            self.receive(Delivery(self, [], error=DeadlineError(seconds)))
            self.cancel()

        self._deadline = asyncio.get_running_loop().call_later(seconds, expire)

    def receive(self, delivery: Delivery) -> None:
        """Event loop's side of a delivery; after the end nothing is received."""
        if self.finished is not None:
            return
        if delivery.ids and self.first_character is None:
            self.first_character = delivery.made_at
        self.generated += len(delivery.ids)
        self._mailbox += delivery.ids
        self._scores += delivery.scores
        self._error = delivery.error
        if delivery.finish_reason is not None or delivery.error is not None:
            self.finish_reason = delivery.finish_reason
            self.finished = delivery.made_at
            self.forget_deadline()
            self._engine.count(self)
        self._news.set()

    def forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


@dataclass(frozen=True)
class Delivery:
    """What one wake-up brought one generation."""

    generation: Generation
    ids: list[int]
    finish_reason: FinishReason | None = None
    error: EngineError | None = None
    scores: list[Score] = field(default_factory=list)
    made_at: float = field(default_factory=time.monotonic)


class Engine:
    """Runs generations on a decoder of `decoder.slots` slots.

    `start` and `submit` belong to one event loop; `drain` may be called from anywhere.

    Args:
        max_queue: generations that may wait for a slot.
        cache: where what was read is looked up and kept.
        threads: of torch, for the thread that owns the decoder.
        metrics: where the engine counts; its own by default.
        deadline: seconds that a text may take, its time in the queue included; 0: any time.
    """

    def __init__(
        self,
        decoder: Decoder,
        max_queue: int,
        cache: PrefixCache,
        threads: int = 1,
        metrics: Metrics | None = None,
        deadline: float = 0,
    ) -> None:
        self._decoder, self._max_queue, self._threads = decoder, max_queue, threads
        self._metrics, self._deadline = metrics or Metrics(), deadline
        self._cache = cache  # belongs to the engine's thread
        self._wake = threading.Condition()  # guards all that follows
        self._waiting: deque[Generation] = deque()
        self._resuming: deque[Generation] = deque()  # have been in a slot; come first
        self._paused: list[Generation] = []
        self._active: list[Generation] = []  # in the order of decoder.streams
        self._stopping = False
        self._drain_deadline: float | None = None
        self._failure: EngineError | None = None
        self._seconds_per_step = 0.001
        self._refused = 0  # in a row
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # Event loop's side --------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Warms the decoder and starts the thread.

        Args:
            loop: receives the results; the running one by default. Naming it allows for a start
                in another thread than its own.

        Raises:
            EngineError: if the decoder does not work.
        """
        self._loop = loop or asyncio.get_running_loop()
        warm = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(warm.set,), name="engine", daemon=True
        )
        self._thread.start()
        warm.wait()
        self.check_alive()

    def stop(self) -> None:
        """Ends every generation with an error and the thread with it."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def drain(self, seconds: float) -> None:
        """Takes no new generations, and ends those left after so long. Safe in signal handlers."""
        with self._wake:
            self._drain_deadline = time.monotonic() + seconds
            self._wake.notify()

    def submit(self, job: Job) -> Generation:
        """Queues a job.

        Raises:
            QueueFullError: if every slot and every place in the queue is taken.
            DrainingError: if the engine is shutting down.
        """
        with self._wake:
            self.check_ready()
            self._check_room()
            generation = Generation(job, self)
            self._waiting.append(generation)
            self._wake.notify()
        if self._deadline:
            generation.expire_after(self._deadline)
        return generation

    def cancel(self, generation: Generation) -> None:
        """Frees a generation's place in the queue now, or its slot before the next step."""
        generation.forget_deadline()
        if generation.finished is None and not generation.cancelled:
            self._metrics.texts.labels("cancelled").inc()
        with self._wake:
            generation.cancelled = True
            for place in (self._waiting, self._resuming, self._paused):
                if generation in place:
                    place.remove(generation)
            self._wake.notify()

    def resume(self, generation: Generation) -> None:
        """Lets a paused generation go on, ahead of those that have not begun."""
        with self._wake:
            if generation in self._paused:
                self._paused.remove(generation)
                generation.paused = False
                self._resuming.append(generation)
                self._wake.notify()

    @property
    def active(self) -> int:
        """Generations in a slot."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Generations without a slot."""
        return len(self._waiting) + len(self._resuming)

    @property
    def paused(self) -> int:
        """Generations whose readers lag behind."""
        return len(self._paused)

    @property
    def slots(self) -> int:
        """Generations that can be advanced together."""
        return self._decoder.slots

    @property
    def cache_bytes(self) -> int:
        """Taken by the prefix cache."""
        return self._cache.bytes

    @property
    def idle(self) -> bool:
        """Whether no generation is in the making."""
        with self._wake:  # or one that moves from place to place would be overlooked
            return not (self.active or self.waiting or self.paused)

    def count(self, generation: Generation) -> None:
        """Takes account of a generation that has ended."""
        metrics, begun = self._metrics, generation.submitted
        metrics.texts.labels(generation.finish_reason or "error").inc()
        if generation.admitted is not None:
            metrics.queue.observe(generation.admitted - begun)
        if generation.first_character is not None:
            metrics.first_character.observe(generation.first_character - begun)
        if generation.finished is not None:
            metrics.text.observe(generation.finished - begun)

    @property
    def failed(self) -> bool:
        """Whether the engine has broken down, and makes no more texts."""
        return self._failure is not None

    def check_alive(self) -> None:
        """Raises EngineError if the engine has failed."""
        if self._failure is not None:
            raise self._failure

    def check_ready(self) -> None:
        """Raises EngineError unless new generations are taken."""
        self.check_alive()
        if self._drain_deadline is not None or self._stopping:
            raise DrainingError

    def _check_room(self) -> None:
        free = self._decoder.slots - self.active
        if self.waiting < self._max_queue + free:
            self._refused = 0
            return
        self._refused += 1
        raise QueueFullError(self.waiting, self._retry_after(self._refused))

    def _retry_after(self, place: int) -> float:
        """Seconds until so many texts will have ended, each of which makes room for one more.

        Slots take over from the queue in order, at the measured time per step. The n-th that is
        refused in a row is told the n-th end, so that they do not all come back at once.
        """
        ends = [generation.stream.steps_left for generation in self._active]
        queue = [generation.stream.steps_left for generation in (*self._resuming, *self._waiting)]
        heapq.heapify(ends)
        steps = 0
        for ended in range(place):
            if not ends:
                break
            steps = heapq.heappop(ends)
            if ended < len(queue):
                heapq.heappush(ends, steps + queue[ended])
        return max(1.0, math.ceil(steps * self._seconds_per_step))

    # Engine thread's side -----------------------------------------------------

    def _run(self, warmed: Callable[[], None]) -> None:
        try:
            torch.set_num_threads(self._threads)  # counts for the calling thread alone
            self._warm()
            warmed()
            while self._prepare():
                self._step_all()
            self._fail_all(DrainingError())
        except Exception as error:
            logger.exception("the engine failed")
            self._failure = EngineError(f"the engine failed: {error}")
            self._fail_all(self._failure)
        finally:
            warmed()

    def _warm(self) -> None:
        """Runs the smallest and the largest batch once, so that no user waits for the set-up."""
        prime = np.zeros(1, dtype=np.int32)
        for count in {1, self._decoder.slots}:
            streams = [
                DecoderStream(prime, _WARM_STEPS, SamplingParams(), seed) for seed in range(count)
            ]
            for stream in streams:
                self._decoder.join(stream)
            self._decoder.advance(_WARM_STEPS)
            for stream in streams:
                self._decoder.leave(stream)

    def _prepare(self) -> bool:
        """Brings the batch up to date, waiting for work if there is none; False to stop."""
        with self._wake:
            while not self._stopping and self._drain_seconds_left() != 0:
                self._drop_cancelled()
                admitted = self._fill_slots()
                if self._active:
                    break
                self._wake.wait(self._drain_seconds_left())
            else:
                return False
        for generation in admitted:
            self._join(generation)
        if admitted:
            self._read_primes(len(self._active) - len(admitted))
        return True

    def _read_primes(self, first: int) -> None:
        """Gives newcomers the machine for a part of their primes, so that they are soon heard.

        Once a wake-up and so many characters at the most, so that the others go on meanwhile.
        """
        nearest = min(generation.stream.prompt_steps_left for generation in self._active[first:])
        if nearest > 0:
            self._step(min(nearest, _PRIME_STEPS), first)

    def _step_all(self) -> None:
        steps = self._choose_steps()
        began = time.monotonic()
        self._step(steps)
        seconds = (time.monotonic() - began) / steps
        self._seconds_per_step += 0.2 * (seconds - self._seconds_per_step)

    def _step(self, steps: int, first: int = 0) -> None:
        active = self._active[first:]
        hidden = [generation.stream.prompt_steps_left for generation in active]
        began = time.monotonic()
        made = self._decoder.advance(steps, first)
        self._metrics.step.observe((time.monotonic() - began) / steps)
        self._metrics.batch.observe(len(active))
        deliveries = []
        for row, (generation, skip) in enumerate(zip(active, hidden, strict=True)):
            stream = generation.stream
            if skip == steps:  # as far as a prime can be shared: its last character is read next
                self._cache.put(stream.prime[: stream.read], self._decoder.state(stream))
            elif skip < steps and not generation.cancelled:
                scores: list[Score] = []
                if made.scores is not None and stream.alternatives is not None:
                    scores = scores_of(made.scores[skip:, row], stream.alternatives)
                deliveries.append(generation.accept(made.ids[skip:, row].tolist(), scores))
        self._metrics.characters.inc(sum(len(delivery.ids) for delivery in deliveries))
        with self._wake:
            for delivery in deliveries:
                self._settle(delivery)
        for delivery in deliveries:
            if delivery.finish_reason == "length":
                self._keep(delivery.generation)
        self._deliver([d for d in deliveries if d.ids or d.finish_reason is not None])

    def _choose_steps(self) -> int:
        """As many as fit the time between deliveries, but not past three places.

        They are the ends of a prime and of a text, where a state is worth keeping, and a text's
        first character, for which somebody waits.
        """
        seconds = _WAKE_SECONDS + _WAKE_SECONDS_PER_STREAM * len(self._active)
        fitting = int(seconds / self._seconds_per_step)
        nearest = min(generation.steps_to_next_place for generation in self._active)
        return max(1, min(fitting, nearest, _MOST_STEPS))

    def _settle(self, delivery: Delivery) -> None:
        """Takes finished generations and those with a full mailbox out of the batch."""
        generation = delivery.generation
        if delivery.finish_reason is not None:
            self._remove(generation)
        elif generation.unread >= _MAILBOX and not generation.cancelled:
            self._remove(generation)
            generation.paused = True
            self._paused.append(generation)
            self._metrics.reader_pauses.inc()

    def _keep(self, generation: Generation) -> None:
        """Keeps the state after a text, for whoever goes on from it."""
        stream = generation.stream
        text = np.array(generation.text[:-1], dtype=np.int32)
        if stream.state is not None:
            read = np.concatenate([stream.prime[: stream.prompt_length], text])
            self._cache.put(read, stream.state)

    def _remove(self, generation: Generation) -> None:
        """Mirrors `Decoder.leave`: the last row moves into the gap."""
        self._decoder.leave(generation.stream)
        last = self._active.pop()
        if last is not generation:
            self._active[self._active.index(generation)] = last

    def _drop_cancelled(self) -> None:
        for generation in [g for g in self._active if g.cancelled]:
            self._remove(generation)

    def _fill_slots(self) -> list[Generation]:
        admitted = []
        while len(self._active) < self._decoder.slots and (self._resuming or self._waiting):
            generation = (self._resuming or self._waiting).popleft()
            self._active.append(generation)
            admitted.append(generation)
        return admitted

    def _join(self, generation: Generation) -> None:
        """Brings a generation into the decoder, past what has been read of its prime before."""
        if generation.admitted is None:
            generation.admitted = time.monotonic()
            stream = generation.stream
            read, state = self._cache.longest(stream.prime[: stream.prompt_length])
            if state is None:
                self._metrics.cache_misses.inc()
            else:
                stream.skip(read, state)
                generation.cached = read
                self._metrics.cache_hits.inc()
                self._metrics.cache_characters.inc(read)
        self._decoder.join(generation.stream)

    def _drain_seconds_left(self) -> float | None:
        if self._drain_deadline is None:
            return None
        return max(0.0, self._drain_deadline - time.monotonic())

    def _fail_all(self, error: EngineError) -> None:
        with self._wake:
            self._stopping = True
            generations = [*self._active, *self._waiting, *self._resuming, *self._paused]
            self._active.clear()
            for place in (self._waiting, self._resuming, self._paused):
                place.clear()
        self._deliver([Delivery(generation, [], error=error) for generation in generations])

    def _deliver(self, deliveries: list[Delivery]) -> None:
        assert self._loop is not None
        if deliveries and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_hand_over, deliveries)


def _hand_over(deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        delivery.generation.receive(delivery)
