"""Sequence: the engine thread's view of a text that is generated."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from app.engine.cell_search import CellFinder, FoundCells
from app.engine.chunk import NO_CHARACTERS, Chunk
from app.engine.job import Job
from app.engine.slow_reader import OutputBuffer
from app.engine.stop_matcher import StopMatcher
from app.errors import EngineError
from model.decoding.beam_search import BeamSearch
from model.decoding.decoder_stream import DecoderStream
from model.decoding.text_scoring import TextScores, TextStream

FinishReason = Literal["length", "pattern", "stop"]

# Characters of a text that are delivered at once, although the first one could come sooner.
_SHORT = 24

# Characters of a prime and a text that take a slot for so short a time that nobody has to wait.
_BRIEF = 128

MAX_KEPT = 200_000  # characters of a text; the state after a longer one is not cached


@dataclass(frozen=True)
class Delivery:
    """The result of one wake-up of the engine for one generation.

    Times are in seconds of the monotonic clock.
    """

    chunk: Chunk = NO_CHARACTERS  # the new characters
    finish_reason: FinishReason | None = None  # why the text ended; None if it did not
    error: EngineError | None = None  # why the generation failed; None if it did not
    admitted: float | None = None  # time when the sequence got its first slot
    cached: int = 0  # the prime's characters whose state the prefix cache had
    found: FoundCells | None = None  # by a search that has read the text once
    made_at: float = field(default_factory=time.monotonic)
    scored: int = 0  # characters that a bulk job has scored; they are not in the chunk
    scores: TextScores | None = None  # the result of a bulk job that has ended
    suggestions: BeamSearch | None = None  # the result of a search for suggestions

    @property
    def characters(self) -> int:
        """Number of characters generated or scored."""
        return len(self.chunk) + self.scored


class Sequence:
    """What one slot computes for a job, and its progress. Belongs to the engine thread.

    Args:
        job: what to generate.
        buffer: the output buffer, which counts characters that the reader has not taken.
        deliver: function that receives the deliveries. It is called in the event loop.
    """

    def __init__(self, job: Job, buffer: OutputBuffer, deliver: Callable[[Delivery], None]) -> None:
        self.job, self.buffer, self.deliver = job, buffer, deliver
        self.stream: DecoderStream = job.stream()
        self.search: BeamSearch | None = None  # for suggestions, after the prime was read
        self.texts = job.scoring()  # of a bulk job, which may have several sequences
        self.text = array("i")  # what the decoder produced after the prompt, see `MAX_KEPT`
        self.admitted: float | None = None  # see `Delivery`
        self.cached = 0
        self.cancelled = self.paused = False  # the scheduler's lock guards both
        self.found: FoundCells | None = None  # by a search that has read the text once
        self.expires = math.inf  # time of the monotonic clock at which the server ends it
        self.rereads = False  # whether a search must read the text again
        self._finder = CellFinder(job.search, job.cells) if job.search else None
        self.is_brief = self.steps_left <= _BRIEF
        self._matcher = StopMatcher(job.stops) if job.stops else None
        self._held = NO_CHARACTERS  # may turn out to be part of a stop string

    @property
    def text_stream(self) -> TextStream | None:
        """The text of a bulk job that is scored now. None while the prime is read."""
        return self.stream if isinstance(self.stream, TextStream) else None

    @property
    def steps_left(self) -> int:
        """Number of steps until the job is complete, if no other sequence works for it."""
        if self.texts is not None:
            return self.stream.prompt_steps_left + self.texts.characters_left
        again = self.stream.length + len(self.stream.prime) - 1 if self._finder is not None else 0
        return self.stream.steps_left + again

    @property
    def steps_to_boundary(self) -> int:
        """Number of steps to the next boundary: end of the prompt, first character, or end.

        A bulk job and a short text have no boundary after the first character.
        """
        left = self.stream.steps_left
        whole = self.texts is not None or self.text or left <= _SHORT
        return self.stream.prompt_steps_left or (left if whole else 1)

    @property
    def is_new_and_short(self) -> bool:
        """Whether the prompt was read, and all of a short text is still to come."""
        return not self.text and self.may_pass_end(False) and self.texts is None

    def may_pass_end(self, others_wait: bool) -> bool:
        """Return whether a call of the decoder may take more steps than the text has left.

        It does not lose time to one more call for each text then. The state after the text is lost,
        which is worth little if the whole text is short, or if other texts wait for the slot.
        """
        if self.stream.prompt_steps_left or self.job.params.pattern is not None or self.job.search:
            return False
        is_short = len(self.text) + self.stream.steps_left <= _SHORT
        return self.text_stream is not None or others_wait or is_short

    def accept(self, chunk: Chunk) -> Delivery:
        """Add a decoded chunk. Return a delivery of the part that certainly belongs to the text."""
        if len(self.text) < MAX_KEPT:
            self.text += chunk.ids
        reason = self._end_without_stop()
        if self._finder is not None:
            return self._search(self._finder, chunk, reason is not None)
        if self._matcher is not None:
            chunk, reason = self._match(self._matcher, chunk, reason)
        self.buffer.produce(len(chunk))
        return self.delivery(chunk=chunk, finish_reason=reason)

    def reread(self) -> None:
        """Return to the beginning, to report the cells that were found."""
        assert self.found is not None
        self.stream.restart()
        self.stream.cells = self.found.cells
        self.text, self.rereads, self._finder = array("i"), False, None

    def delivery(self, **fields: Any) -> Delivery:
        """Return a delivery with these fields and what is known so far."""
        return Delivery(admitted=self.admitted, cached=self.cached, found=self.found, **fields)

    def _end_without_stop(self) -> FinishReason | None:
        """Return why the text has ended if it does not contain a stop string."""
        if self.stream.ended:
            return "pattern"
        return "length" if self.stream.steps_left <= 0 else None

    def _search(self, finder: CellFinder, chunk: Chunk, at_end: bool) -> Delivery:
        assert chunk.cells is not None
        finder.add(chunk.cells)
        if at_end:
            self.found, self.rereads = finder.found(), True
        return self.delivery()

    def _match(
        self, matcher: StopMatcher, chunk: Chunk, otherwise: FinishReason | None
    ) -> tuple[Chunk, FinishReason | None]:
        """Return what is released, and why the text has ended: "stop" comes before `otherwise`."""
        released, stopped = matcher.feed(chunk.ids)
        if otherwise and not stopped:
            released += matcher.flush()
        ready, self._held = (self._held + chunk).split(len(released))
        return ready, "stop" if stopped else otherwise


Deliveries = list[tuple[Sequence, Delivery]]
