"""Generation: the event loop's view of a text that is generated."""

from __future__ import annotations

import asyncio
import time

from app.engine.cell_search import FoundCells
from app.engine.chunk import Chunk
from app.engine.job import Job
from app.engine.metrics import ModelMetrics
from app.engine.scheduler import Scheduler
from app.engine.sequence import Delivery, FinishReason, Sequence
from app.engine.slow_reader import OutputBuffer, cost_of
from app.errors import DeadlineError, EngineError
from model.decoding.beam_search import BeamSearch
from model.decoding.text_scoring import TextScores


class Generation:
    """A queued, running or finished generation. Belongs to the event loop.

    Call `read`, or alternate `wait` and `take`. Call `cancel` when you need no more characters.

    Args:
        job: what to generate.
        scheduler: the scheduler of the engine.
        metrics: the metrics to update when the generation ends.
        ready: event to set when there is something to take. Several generations may share one.

    The times are in seconds of the monotonic clock, and None before the event.
    """

    def __init__(
        self,
        job: Job,
        scheduler: Scheduler,
        metrics: ModelMetrics,
        ready: asyncio.Event | None = None,
    ) -> None:
        self.job = job
        self.submitted = time.monotonic()  # when the job was queued
        self.admitted: float | None = None  # when it got a slot
        self.first_character: float | None = None  # when the first one was generated
        self.finished: float | None = None  # when the text ended or failed
        self.finish_reason: FinishReason | None = None  # why it ended; None also if it failed
        self.generated = 0  # characters received from the engine, or scored by it
        self.cached = 0  # the prime's characters whose state the prefix cache had
        self.scores: TextScores | None = None  # of a bulk job that has ended
        self.suggestions: BeamSearch | None = None  # of a search for suggestions that has ended
        self.found: FoundCells | None = None  # by the job's search
        self._scheduler, self._metrics = scheduler, metrics
        self._ready = ready or asyncio.Event()
        self.buffer = OutputBuffer(cost_of(job.alternatives))  # received and not taken
        self._error: EngineError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        # Set by the engine. None after the end or a cancellation, so that no cycle keeps memory.
        self.sequence: Sequence | None = None

    @property
    def readable(self) -> bool:
        """Whether `take` has something to return: characters, the end, or an error."""
        return len(self.buffer) > 0 or self.finished is not None

    @property
    def ended(self) -> bool:
        """Whether the text is complete and every character was taken."""
        return self.finish_reason is not None and not self.buffer

    async def wait(self) -> None:
        """Wait until `take` has something to return. Can be cancelled without a loss."""
        while not self.readable:
            self._ready.clear()
            await self._ready.wait()

    def take(self, most: int | None = None) -> Chunk:
        """Return the characters that have arrived, at most `most` of them.

        If the generation was readable and the chunk is empty, the text has ended.

        Raises:
            EngineError: once, after the last character, if the text could not be finished.
        """
        chunk = self.buffer.take(most)
        if (sequence := self.sequence) is not None and sequence.paused and self.buffer.may_resume:
            self._scheduler.resume(sequence)
        if not chunk and self._error is not None:
            raise self._pop_error()
        return chunk

    async def read(self) -> Chunk:
        """Read to the end and return the whole text.

        Raises:
            EngineError: if the text could not be finished.
        """
        chunks: list[Chunk] = []
        while not chunks or chunks[-1]:
            await self.wait()
            chunks.append(self.take())
        return chunks[0] if len(chunks) < 3 else Chunk.joined(chunks)  # the last one is empty

    def take_scores(self) -> TextScores:
        """Return the scores of a bulk job that has ended, and keep them no longer."""
        scores, self.scores = self.scores, None
        assert scores is not None
        return scores

    def receive(self, delivery: Delivery) -> None:
        """Take a delivery of the engine, unless the generation has ended."""
        if self.sequence is None:
            return
        if delivery.characters and self.first_character is None:
            self.first_character = delivery.made_at
        self.admitted, self.cached = delivery.admitted, delivery.cached
        self.found = delivery.found
        self.generated += delivery.characters
        self.buffer.put(delivery.chunk)
        if delivery.finish_reason is not None or delivery.error is not None:
            self._error, self.finish_reason = delivery.error, delivery.finish_reason
            self.scores, self.suggestions = delivery.scores, delivery.suggestions
            self.finished = delivery.made_at
            self._detach()
            self._count()
        self._ready.set()

    def cancel(self) -> None:
        """Cancel the generation. After the end, this does nothing.

        A queued generation leaves the queue now. A running one frees its slot before the next step.
        """
        if self.sequence is not None:
            self._metrics.count_generation("cancelled")
            self._scheduler.cancel(self.sequence)
            self._detach()

    def expire_after(self, seconds: float) -> None:
        """End the generation with DeadlineError if it has not ended after `seconds` seconds."""
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._expire, seconds)
        if self.sequence is not None:
            self.sequence.expires = time.monotonic() + seconds

    @property
    def characters_per_second(self) -> float:
        """Mean rate since the generation got a slot, including the time for reading the prime.

        It is 0 before the end.
        """
        if self.admitted is None or self.finished is None:
            return 0.0
        return self.generated / max(self.finished - self.admitted, 1e-9)

    def _expire(self, seconds: float) -> None:
        if (sequence := self.sequence) is not None:
            self.receive(sequence.delivery(error=DeadlineError(seconds)))
            self._scheduler.cancel(sequence)

    def _detach(self) -> None:
        self.sequence = None
        if self._deadline is not None:
            self._deadline.cancel()

    def _pop_error(self) -> EngineError:
        """Return the error and forget it: its traceback will hold a reference to this object."""
        error, self._error = self._error, None
        assert error is not None
        return error

    def _count(self) -> None:
        metrics, submitted = self._metrics, self.submitted
        metrics.count_generation(self.finish_reason or "error")
        if self.admitted is not None:
            metrics.queue.observe(self.admitted - submitted)
        if self.first_character is not None:
            metrics.first_character.observe(self.first_character - submitted)
        if self.finished is not None:
            metrics.duration.observe(self.finished - submitted)
